"""The package that a backend runs, written from a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from snncc.backends.base import Backend, emitting
from snncc.program.parts import Parts
from snncc.registry import with_known


def emit(backend: Backend, program: Parts, folder: Path) -> Mapping[str, Mapping[str, int]] | None:
    """Write the package a backend runs; of stock parts alone where the program is.

    Returns what the backend says of it. Raises SnnccError as the backend does, and SNN316 where it
    writes none or the program is not what it takes.
    """
    stock = {"stock_only": True} if program.about.options.stock_only else {}
    writer = emitting(replace(backend, **with_known(backend, stock)))
    return writer.emit(program.at(writer.takes), folder)
