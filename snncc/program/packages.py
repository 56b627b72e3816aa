"""The package that a backend runs, written from a program."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from snncc.diagnostics import refuse
from snncc.program.parts import Parts


def emit(backend: str, program: Parts, folder: Path) -> Any:
    """Write the package a backend runs. Raises SnnccError as the backend does, and SNN313.

    Returns what the backend says of it, plain values for the manifest.
    """
    options = {"stock_only": True} if program.about.get("options", {}).get("stock_only") else {}
    for entry in entry_points(group="snncc.backends", name=backend):
        return entry.load()(program.scheduled, folder, program.graph.time_steps, **options)
    known = ", ".join(sorted(e.name for e in entry_points(group="snncc.backends")))
    raise refuse("SNN313", f"there is no backend {backend!r} to emit for; there are {known}")
