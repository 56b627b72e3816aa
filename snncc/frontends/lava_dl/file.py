"""The layers of a .net file of Lava-DL, read without executing anything and without other files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from snncc.diagnostics import Finding, Location
from snncc.frontends.hdf5 import Arrays, read_apart
from snncc.frontends.lava_dl.hdf5 import FIX


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of the file: its Lava-DL type and its tensors by the names Lava-DL gives them.

    ``neuron_type`` is "" for a layer without neurons, ``neuron`` their parameters. A value that is
    a group of tensors, as complex weights are, is None.
    """

    number: int
    kind: str
    values: Mapping[str, np.ndarray | None]
    neuron_type: str
    neuron: Mapping[str, np.ndarray | None]

    @property
    def name(self) -> str:
        """What it is called in messages, and its population in the program."""
        known = self.kind.isidentifier() and len(self.kind) < 20
        return f"{self.kind if known else 'layer'}{self.number}"

    def unread(self, said: str, help: str = "") -> Finding:
        """The finding that this layer has no form here."""
        return Finding("SNN330", f"layer `{self.name}` {said}", Location(self.name), help=help)


def read_file(path: Path, source: str = "") -> tuple[Layer, ...]:
    """The layers of a .net file, in their order.

    Raises SnnccError: SNN317 where h5py is missing, SNN305 for a file that is not there, damaged
    or of another kind, SNN304 for one that asks for other files or for code, SNN307 for values
    that are not finite.
    """
    source = source or str(path)
    arrays = read_apart("snncc.frontends.lava_dl.hdf5", path, source, ".net", "lava-dl", FIX)
    return tuple(_layer(each, arrays) for each in json.loads(arrays["layers"].item()))


def _layer(said: Any, arrays: Arrays) -> Layer:
    def tensors(fields: Mapping[str, Any]) -> dict[str, np.ndarray | None]:
        return {
            name: None if number is None else arrays[str(number)]
            for name, number in fields.items()
            if name != "type"
        }

    neuron = said["neuron"]
    return Layer(
        said["number"], said["kind"], tensors(said["fields"]), neuron.get("type", ""),
        tensors(neuron),
    )  # fmt: skip
