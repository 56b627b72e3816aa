"""docs/first-steps.md: its script is run, its commands are given, and they print what it shows."""

from __future__ import annotations

import re
import shlex

import pytest
from python_process import ROOT, python

DOCUMENT = ROOT / "docs" / "first-steps.md"


def blocks(language):
    """The texts of the blocks in that language; commands have none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def test_what_init_prints(run, tmp_path):
    script, _ = blocks("python")
    (shown,) = blocks("text")
    (tmp_path / "train.py").write_text(script)
    result = run("init", "train.py")
    assert result.stdout == shown
    assert result.exit_code == 0


@pytest.mark.slow
def test_the_page(tmp_path):
    script, saving = blocks("python")
    (shown,) = blocks("text")
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "save.py").write_text(f"import torch\n{saving}")
    network = re.search(r"<<'END'\n(.*?)END\n", shown, re.DOTALL)[1]
    (tmp_path / "snncc_network.py").write_text(network)
    for file in ("train.py", "save.py"):
        done = python(tmp_path, file)
        assert done.returncode == 0, done.stderr
    _, with_allow = blocks("")
    (proposed,) = re.findall(r"^snncc compile .*", shown, re.MULTILINE)
    for command in (proposed, with_allow):
        done = python(tmp_path, "-m", *shlex.split(command))
        assert done.returncode == 0, done.stderr
    refused = python(tmp_path, "-m", "snncc", "compile", "net.pt")
    assert refused.returncode == 2
    assert "SNN350" in refused.stderr
    assert "`train:Net(hidden=32)`" in refused.stderr
