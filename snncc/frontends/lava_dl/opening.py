"""A .net file of Lava-DL as the network a user names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from snncc.diagnostics import Finding
from snncc.frontends.checkpoints.checkpoint import Checkpoint, Said
from snncc.frontends.lava_dl.file import read_file
from snncc.frontends.lava_dl.network import LavaNetwork


def open_net(spec: str, allow: Sequence[str] = (), said: Said | None = None) -> Checkpoint:
    """Open a .net file; where the user says that the input is spikes, the input layer is left out.

    Raises SnnccError as `read_file` and `LavaNetwork` do.
    """
    said = said or Said()
    path = Path(spec)
    layers = read_file(path, spec)
    spikes = said.input in ("spike", "count")
    network = LavaNetwork(layers, spec, said.shape, spikes)
    return Checkpoint(
        module=network.eval(),
        shape=None,
        dtype=None,
        time_steps=None,
        layout="TN",
        input=None if network.has_input_layer else "spike",
        source=spec,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        features=network.shape,
        notes=tuple(_notes(network, spikes)),
    )


def _notes(network: LavaNetwork, spikes: bool) -> Iterator[Finding]:
    if network.has_input_layer and spikes:
        said = "the input is the spikes of the input layer, whose own neurons are left out"
        yield Finding("SNN515", said)
    elif network.has_input_layer:
        yield Finding("SNN515", "the input is the pixels that the input layer turns into currents")
