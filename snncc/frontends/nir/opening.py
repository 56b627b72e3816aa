"""A .nir file as the network a user names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from snncc.diagnostics import refuse
from snncc.frontends.checkpoints.checkpoint import Checkpoint, Said
from snncc.frontends.nir.exact import facts
from snncc.frontends.nir.file import read_file
from snncc.frontends.nir.network import FileNetwork
from snncc.frontends.nir.timing import Timing, notes, timing_of
from snncc.options import InputKind


def open_nir(spec: str, allow: Sequence[str] = (), said: Said | None = None) -> Checkpoint:
    """Open a .nir file, with what the user says that the file does not.

    Raises SnnccError as `read_file`, `timing_of` and `FileNetwork` do.
    """
    said = said or Said()
    path = Path(spec)
    parts = read_file(path, spec)
    known = facts(parts)
    asked = Timing(said.dt, said.discretise, said.reset, said.reset_when)
    if known is not None and asked != Timing():
        message = f"{spec} was written by snncc and says itself how its equations become steps"
        help = "leave --dt, --discretise, --reset and --reset-when out"
        raise refuse("SNN316", message, help=help)
    timing = timing_of(parts, asked)
    network = FileNetwork(parts, timing, said.shape)
    return Checkpoint(
        module=network.eval(),
        shape=None,
        dtype=None,
        time_steps=known.time_steps if known is not None and known.layout == "TN" else None,
        layout="TN" if known is None else known.layout,
        input=None if known is None else cast("InputKind", known.input),
        source=spec,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        features=network.shape,
        notes=notes(parts, timing),
    )
