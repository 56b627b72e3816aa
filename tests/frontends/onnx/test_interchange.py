"""docs/interchange.md: every block is run, in order, and its networks compile."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch

import snncc

DOCUMENT = Path(__file__).parents[3] / "docs" / "interchange.md"


@pytest.mark.slow
def test_every_block_of_the_document_runs(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "document"}
    torch.manual_seed(0)
    programs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older exporter is deprecated, and read
        for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
            names.pop("program", None) if "program =" in block else None
            exec(compile(block, str(DOCUMENT), "exec"), names)
            programs += [names["program"]] if "program =" in block else []
    assert len(programs) == 4
    for program in programs:
        assert isinstance(program, snncc.Program)
        assert program.network.populations
