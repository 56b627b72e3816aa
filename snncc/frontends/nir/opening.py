"""A .nir file as the network a user names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from snncc.frontends.checkpoints.checkpoint import Checkpoint, Said
from snncc.frontends.nir.file import read_file
from snncc.frontends.nir.network import FileNetwork
from snncc.frontends.nir.timing import Timing, notes, timing_of


def open_nir(spec: str, allow: Sequence[str] = (), said: Said | None = None) -> Checkpoint:
    """Open a .nir file, with what the user says that the file does not.

    Raises SnnccError as `read_file`, `timing_of` and `FileNetwork` do.
    """
    said = said or Said()
    path = Path(spec)
    parts = read_file(path, spec)
    timing = timing_of(parts, Timing(said.dt, said.discretise, said.reset, said.reset_when))
    network = FileNetwork(parts, timing, said.shape)
    return Checkpoint(
        module=network.eval(),
        shape=None,
        dtype=None,
        time_steps=None,
        layout="TN",
        input=None,
        source=spec,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        features=network.shape,
        notes=notes(parts, timing),
    )
