"""docs/data.md runs as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from snncc.diagnostics import RULES
from snncc.frontends.data.encoders import encoder_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "data.md"


@pytest.mark.slow
def test_the_code_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "test_sets.py").write_text(blocks[0])
    names: dict[str, object] = {"__name__": "document"}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    del sys.modules["test_sets"]


def test_what_it_names_is_there() -> None:
    text = DOCUMENT.read_text()
    assert set(re.findall(r"SNN\d\d\d", text)) <= set(RULES)
    rows = re.findall(r"^\| (`.*?`) \|", text.partition("## Encoders")[2], re.MULTILINE)
    specs = [spec for row in rows for spec in re.findall(r"`([^`]+)`", row) if "--" not in spec]
    assert len([encoder_of(spec) for spec in specs]) == 4
