"""The README: short, and its two commands print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").lower()


def test_it_is_short():
    assert README.count("\n") <= 100


@pytest.mark.slow
def test_its_commands_print_what_it_says_and_the_glossary_has_the_words(tmp_path):
    block = README.split("```console\n")[1].split("```")[0]
    for each in block.removeprefix("$ ").split("\n$ "):
        command, *shown = each.strip().splitlines()
        name, *options = command.replace("build/", f"{tmp_path}/").split()
        assert name == "snncc"
        done = subprocess.run(
            [sys.executable, "-m", name, *options], capture_output=True, text=True, cwd=ROOT,
            timeout=300, check=True,
        )  # fmt: skip
        said = done.stdout.replace(f"{tmp_path}/", "build/").splitlines()
        assert said[: len(shown)] == shown
        for line in said[1:]:
            if options[0] == "compile" and (title := re.match(r"  (\w[\w ]*?)  ", line)):
                assert title[1].rstrip("s") in GLOSSARY, title[1]
