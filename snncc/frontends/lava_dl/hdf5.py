"""The layers of a .net file on standard output: a program that reads for `file`.

    python -m snncc.frontends.lava_dl.hdf5 FILE SOURCE

What comes out is an .npz (`snncc.frontends.hdf5`): ``layers`` as JSON, and their tensors by number.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.frontends.hdf5 import Arrays, Reading, write

if TYPE_CHECKING:
    import h5py

LAYERS = 10_000
"""Maximum number of layers of a file."""

FIX = "export the network again, with export_hdf5"


class _Layers(Reading):
    """Reads the layers of one file."""

    def __init__(self, source: str) -> None:
        super().__init__(source, "Lava-DL file", FIX)
        self._tensors: list[np.ndarray] = []

    def arrays(self, file: h5py.File) -> Arrays:
        """The arrays of the .npz."""
        group = self.group(file, "layer")
        if len(group) > LAYERS:
            raise self.damaged(f"it has more than {LAYERS:,} layers")
        names = [str(number) for number in range(len(group))]
        if set(names) != set(group):
            raise self.damaged(f"its {len(names)} layers are not numbered from 0 on")
        layers = [self._layer(self.group(group, name), name) for name in names]
        numbered = {str(number): tensor for number, tensor in enumerate(self._tensors)}
        return {"layers": np.array(json.dumps(layers)), **numbered}

    def _layer(self, group: h5py.Group, name: str) -> dict[str, Any]:
        kind = self.text(group, "type")
        neuron = {}
        if "neuron" in list(group):
            inner = self.group(group, "neuron")
            neuron = self._fields(inner, f"layer {name}")
            neuron["type"] = self.text(inner, "type")
        fields = self._fields(group, f"layer {name}")
        return {"number": int(name), "kind": kind, "fields": fields, "neuron": neuron}

    def _fields(self, group: h5py.Group, part: str) -> dict[str, Any]:
        """The numbers of tensors by name; a group, as complex weights have one, is None."""
        found: dict[str, Any] = {}
        for name in group:
            if name in ("type", "neuron"):
                continue
            if not self.is_dataset(group, name):
                found[str(name)] = None
                continue
            self._tensors.append(self.numbers(group, name, part))
            found[str(name)] = len(self._tensors) - 1
        return found


def main() -> None:
    path, source = sys.argv[1:]
    layers = _Layers(source)
    write(path, layers, layers.arrays)


if __name__ == "__main__":
    main()
