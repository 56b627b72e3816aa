"""Pages of docs/ whose blocks are run: files are written, commands are typed, answers compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

LEARNT = re.compile(
    r"loss |.* on \d+ samples, |  (accuracy|spikes per sample|AC|energy of|flips|  Lava against) ?"
)
"""Lines with numbers that depend on learnt weights."""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Language and text of every block of code."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """What is typed and what is answered, in a block `console`."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


def typed(command: str, folder: Path) -> str:
    """What a command prints in ``folder``, on one thread. Raises CalledProcessError."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PATH": found, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout


def run(page: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Write the files of a page and type its commands, in their order, in an empty folder.

    A block of Python that begins with ``# name.py`` is a file. Yields each command, the answer on
    the page and the answer that was given.
    """
    for language, block in blocks(page):
        if language == "python" and (named := re.match(r"# ([\w.]+\.py)\n", block)):
            (folder / named[1]).write_text(block)
        if language == "console":
            for command, shown in commands(block):
                yield command, shown, typed(command, folder)


def same_everywhere(answer: str) -> str:
    """An answer without the numbers that depend on learnt weights.

    Training in floats ends with other weights on another processor, because sums are added up in
    another order. What does not depend on the weights stays as it is.
    """
    lines = answer.rstrip().splitlines()
    return "\n".join(
        re.sub(r"[\d.,e-]*\d( [pnµ]J)?%?", "#", re.sub(" +", " ", line))
        if LEARNT.match(line)
        else line
        for line in lines
    )
