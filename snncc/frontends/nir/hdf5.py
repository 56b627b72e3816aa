"""The values of a NIR file on standard output: a program that reads for `file`.

    python -m snncc.frontends.nir.hdf5 FILE SOURCE

What comes out is an .npz (`snncc.frontends.hdf5`): ``tree``, the graph as JSON, and its tensors by
number.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.frontends.hdf5 import Arrays, Reading, write

if TYPE_CHECKING:
    import h5py

PARTS = 100_000
"""So many parts a file has at most, those of nested graphs too."""

DEPTH = 16
"""So deep graphs lie inside one another at most."""

FIX = "write the file again, with nir.write"

Tree = dict[str, Any]


class _Graphs(Reading):
    """Reads the graphs of one file."""

    def __init__(self, source: str) -> None:
        super().__init__(source, "NIR file", FIX)
        self._count = 0
        self._tensors: list[np.ndarray] = []

    def arrays(self, file: h5py.File) -> Arrays:
        """The arrays of the .npz."""
        text = json.dumps(self._graph(self.group(file, "node")))
        return {"tree": np.array(text), **{str(n): each for n, each in enumerate(self._tensors)}}

    def _graph(self, group: h5py.Group, depth: int = 0) -> Tree:
        """A graph: its parts by name, its edges and its metadata."""
        if depth > DEPTH:
            raise self.damaged(f"more than {DEPTH} graphs lie inside one another")
        parts = {name: self._part(each, name, depth) for name, each in self._groups(group)}
        edges = [self._pair(pair) for pair in self.dataset(group, "edges").tolist()]
        return {"parts": parts, "edges": edges, "metadata": self._metadata(group)}

    def _groups(self, group: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
        nodes = self.group(group, "nodes")
        for name in nodes:
            self._count += 1
            if self._count > PARTS:
                raise self.damaged(f"it has more than {PARTS:,} parts")
            yield str(name), self.group(nodes, name)

    def _part(self, group: h5py.Group, name: str, depth: int) -> Tree:
        kind = self.text(group, "type")
        if kind == "NIRGraph":
            return self._graph(group, depth + 1)
        values = {
            str(field): self._values(group, field, name)
            for field in group
            if field not in ("type", "metadata") and self.is_dataset(group, field)
        }
        return {"kind": kind, "values": values, "metadata": self._metadata(group)}

    def _pair(self, pair: Any) -> tuple[str, str]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise self.damaged("its edges are not pairs of names")
        before, after = (each.decode() if isinstance(each, bytes) else str(each) for each in pair)
        return before, after

    def _values(self, group: h5py.Group, name: str, part: str) -> int | str:
        """A text, or the number of a tensor."""
        if group[name].dtype.kind in "SO":  # padding="same"
            return self.text(group, name)
        self._tensors.append(self.numbers(group, name, part))
        return len(self._tensors) - 1

    def _metadata(self, group: h5py.Group) -> Mapping[str, Any]:
        if "metadata" not in list(group) or self.is_dataset(group, "metadata"):
            return {}
        inner = self.group(group, "metadata")
        found: dict[str, Any] = {}
        for name in inner:
            if self.is_dataset(inner, name):
                value = self.dataset(inner, name)
                if value.ndim and value.dtype.kind in "biuf":
                    found[str(name)] = {"tensor": self._values(inner, name, str(group.name))}
                    continue
                plain = value.item() if value.size == 1 else value.tolist()
                found[str(name)] = plain.decode() if isinstance(plain, bytes) else plain
        return found


def main() -> None:
    path, source = sys.argv[1:]
    graphs = _Graphs(source)
    write(path, graphs, graphs.arrays)


if __name__ == "__main__":
    main()
