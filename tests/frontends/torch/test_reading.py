"""docs/reading.md: every block is run, and its commands are given as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import snncc

DOCUMENT = Path(__file__).parents[3] / "docs" / "reading.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_every_network_of_the_document_compiles(tmp_path, monkeypatch):
    pytest.importorskip("snntorch")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "document"}
    programs = []
    torch.manual_seed(0)
    for block in blocks("python"):
        names.pop("program", None)
        exec(compile(block, str(DOCUMENT), "exec"), names)
        programs += [names["program"]] if "program" in names else []
    assert len(programs) == 4
    for program in programs:
        assert isinstance(program, snncc.Program)
        assert program.network.populations


@pytest.mark.slow
def test_the_commands_of_the_document_are_what_to_type(tmp_path, monkeypatch):
    train, *_ = blocks("python")
    (tmp_path / "train.py").write_text(train)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "train"}
    exec(compile(train, "train.py", "exec"), names)
    torch.manual_seed(0)
    torch.save(names["Net"]().state_dict(), "net.pt")
    exec(compile(blocks("python")[1], str(DOCUMENT), "exec"), names)
    plain = re.findall(r"```\n(snncc .*?)\n```", DOCUMENT.read_text(), re.DOTALL)
    assert len(plain) == 2
    for line in plain:
        _, *words = line.split()
        done = subprocess.run(
            [sys.executable, "-m", "snncc", *words], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "accuracy" in done.stdout
