"""The values of an HDF5 file on standard output: a program that reads for `file`.

    python -m snncc.frontends.nir.hdf5 FILE SOURCE

HDF5's own library may run for ever on a damaged file, or end the process; so it works in a process
of its own, which has a limit of time and of memory. What comes out is an .npz: ``tree``, the graph
as JSON, and its tensors by number; or ``finding``, why there is no graph.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.diagnostics import Location, SnnccError, refuse

if TYPE_CHECKING:
    import h5py

LARGEST = 1 << 28
"""So many numbers a tensor has at most."""

PARTS = 100_000
"""So many parts a file has at most, those of nested graphs too."""

DEPTH = 16
"""So deep graphs lie inside one another at most."""

FIX = "write the file again, with nir.write"
_PLAIN = (None, "gzip", "lzf")


class _Reading:
    """Reads one file."""

    def __init__(self, source: str) -> None:
        self._source, self._count = source, 0
        self.tensors: list[np.ndarray] = []

    def graph(self, group: h5py.Group, depth: int = 0) -> Tree:
        """A graph: its parts by name, its edges and its metadata."""
        if depth > DEPTH:
            raise self._damaged(f"more than {DEPTH} graphs lie inside one another")
        parts = {name: self._part(each, name, depth) for name, each in self._groups(group)}
        edges = [self._pair(pair) for pair in self._dataset(group, "edges").tolist()]
        return {"parts": parts, "edges": edges, "metadata": self._metadata(group)}

    def _groups(self, group: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
        nodes = _group(group, "nodes", self._source)
        for name in nodes:
            self._count += 1
            if self._count > PARTS:
                raise self._damaged(f"it has more than {PARTS:,} parts")
            yield str(name), _group(nodes, name, self._source)

    def _part(self, group: h5py.Group, name: str, depth: int) -> Tree:
        kind = self._text(group, "type")
        if kind == "NIRGraph":
            return self.graph(group, depth + 1)
        values = {
            str(field): self._numbers(group, field, name)
            for field in group
            if field not in ("type", "metadata") and self._is_dataset(group, field)
        }
        return {"kind": kind, "values": values, "metadata": self._metadata(group)}

    def _pair(self, pair: Any) -> tuple[str, str]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise self._damaged("its edges are not pairs of names")
        before, after = (each.decode() if isinstance(each, bytes) else str(each) for each in pair)
        return before, after

    def _text(self, group: h5py.Group, name: str) -> str:
        value = self._dataset(group, name)
        said = value.item() if value.size == 1 else value
        if not isinstance(said, bytes | str):
            raise self._damaged(f"`{name}` of `{group.name}` is no text")
        return said.decode() if isinstance(said, bytes) else said

    def _numbers(self, group: h5py.Group, name: str, part: str) -> int | str:
        """A text, or the number of a tensor."""
        value = self._dataset(group, name)
        if value.dtype.kind in "SO":  # padding="same"
            return self._text(group, name)
        if value.dtype.kind not in "biuf":
            raise self._damaged(f"`{name}` of `{part}` holds no numbers")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            said = f"`{name}` of `{part}` in {self._source} holds NaN or infinity"
            raise refuse("SNN307", said, Location(module=part))
        self.tensors.append(value)
        return len(self.tensors) - 1

    def _metadata(self, group: h5py.Group) -> Mapping[str, Any]:
        if "metadata" not in list(group) or self._is_dataset(group, "metadata"):
            return {}
        inner = _group(group, "metadata", self._source)
        found: dict[str, Any] = {}
        for name in inner:
            if self._is_dataset(inner, name):
                value = self._dataset(inner, name)
                if value.ndim and value.dtype.kind in "biuf":
                    found[str(name)] = {"tensor": self._numbers(inner, name, str(group.name))}
                    continue
                plain = value.item() if value.size == 1 else value.tolist()
                found[str(name)] = plain.decode() if isinstance(plain, bytes) else plain
        return found

    def _is_dataset(self, group: h5py.Group, name: str) -> bool:
        import h5py

        _check_link(group, name, self._source)  # the class of a link would be that of its target
        return group.get(name, getclass=True) is h5py.Dataset

    def _dataset(self, group: h5py.Group, name: str) -> np.ndarray:
        """The values of a dataset, after a look at its size and at how it is stored."""
        import h5py

        _check_link(group, name, self._source)
        dataset = group[name]
        if not isinstance(dataset, h5py.Dataset):
            raise self._damaged(f"`{name}` of `{group.name}` is no tensor")
        if dataset.is_virtual or dataset.external:
            raise _elsewhere(f"`{name}` of `{group.name}`", self._source)
        if dataset.compression not in _PLAIN or dataset.scaleoffset is not None:
            said = f"`{name}` of `{group.name}` in {self._source} is packed in a way not read here"
            raise refuse("SNN304", said, help="pack it with gzip or not at all")
        if dataset.size is None or dataset.size > LARGEST:
            raise self._damaged(f"`{name}` of `{group.name}` has more than {LARGEST:,} values")
        return np.asarray(dataset[()])

    def _damaged(self, said: str) -> SnnccError:
        return refuse("SNN305", f"{self._source} is damaged: {said}", help=FIX)


def _group(group: h5py.Group, name: str, source: str) -> h5py.Group:
    import h5py

    if name not in list(group):  # `in group` would follow a link
        raise refuse("SNN305", f"{source} is no NIR file: it has no `{name}`", help=FIX)
    _check_link(group, name, source)
    inner = group[name]
    if not isinstance(inner, h5py.Group):
        raise refuse("SNN305", f"{source} is no NIR file: `{name}` is no group", help=FIX)
    return inner


def _check_link(group: h5py.Group, name: str, source: str) -> None:
    """Raise SNN304 for a name that leads out of its place."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _elsewhere(f"`{name}` of `{group.name}`", source)


def _elsewhere(what: str, source: str) -> SnnccError:
    message = f"{what} in {source} lies elsewhere, in another file or under another name"
    return refuse("SNN304", message, help="write all values into the file itself")


Tree = dict[str, Any]


def contents(path: str, source: str) -> dict[str, np.ndarray]:
    """The arrays of the .npz."""
    import h5py

    reading = _Reading(source)
    try:
        with open(path, "rb") as stream, h5py.File(stream, "r") as file:
            tree = reading.graph(_group(file, "node", source))
        text = json.dumps(tree)
    except SnnccError as error:
        return {"finding": _finding(error)}
    except Exception as error:  # what HDF5 raises on damaged files is of many types
        said = " ".join(str(error).split())[:160] or type(error).__name__
        damaged = refuse("SNN305", f"{source} is no NIR file: {said}", help=FIX)
        return {"finding": _finding(damaged)}
    return {"tree": np.array(text), **{str(n): each for n, each in enumerate(reading.tensors)}}


def _finding(error: SnnccError) -> np.ndarray:
    (finding, *_) = error.findings
    said: Mapping[str, str] = {
        "code": finding.code,
        "message": finding.message,
        "module": finding.location.module,
        "help": finding.help,
    }
    return np.array(json.dumps(said))


def main() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **contents(*sys.argv[1:]))  # type: ignore[arg-type]
    sys.stdout.buffer.write(buffer.getvalue())


if __name__ == "__main__":
    main()
