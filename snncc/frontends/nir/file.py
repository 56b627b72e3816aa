"""The parts and edges of a NIR file, read without executing anything and without other files.

The HDF5 is read here and not by the package nir, which does not open every file that its users
wrote (stale names of nested graphs, shapes with a batch axis).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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

_FIX = "write the file again, with nir.write"
_PLAIN = (None, "gzip", "lzf")


@dataclass(frozen=True, eq=False)
class Part:
    """A node of the file: its NIR type, its tensors by the names NIR gives them, its metadata."""

    kind: str
    values: Mapping[str, np.ndarray]
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Parts:
    """A graph without others inside: what was nested has the name of its graph in front.

    ``inputs`` and ``outputs`` are the outermost Input and Output parts.
    """

    parts: Mapping[str, Part]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]
    source: str

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name, part in self.parts.items() if part.kind == "Input")

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for name, part in self.parts.items() if part.kind == "Output")


@dataclass(frozen=True, eq=False)
class _Nested:
    """A graph as the file has it."""

    parts: Mapping[str, Part | _Nested]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]


def read_file(path: Path, source: str = "") -> Parts:
    """Open a NIR file.

    Raises SnnccError: SNN317 where h5py is missing, SNN305 for a file that is not there, damaged
    or of another kind, SNN304 for one that asks for other files or for code, SNN307 for values
    that are not finite.
    """
    source = source or str(path)
    if importlib.util.find_spec("h5py") is None:
        message = f"the package h5py, which reads {source}, is not installed"
        raise refuse("SNN317", message, help='pip install "snncc[nir]"')
    import h5py

    try:
        with path.open("rb") as stream, h5py.File(stream, "r") as file:
            return _flat(_Reading(source).graph(_group(file, "node", source), 0), source)
    except SnnccError:
        raise
    except FileNotFoundError:
        raise refuse("SNN305", f"{source} does not exist", help="give a .nir file") from None
    except Exception as error:  # what HDF5 raises on damaged files is of many types
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise refuse("SNN305", f"{source} is no NIR file: {said}", help=_FIX) from None


class _Reading:
    """Reads one file."""

    def __init__(self, source: str) -> None:
        self._source, self._count = source, 0

    def graph(self, group: h5py.Group, depth: int) -> _Nested:
        if depth > DEPTH:
            raise self._damaged(f"more than {DEPTH} graphs lie inside one another")
        parts = {name: self._part(each, name, depth) for name, each in self._groups(group)}
        edges = [self._pair(pair) for pair in self._dataset(group, "edges").tolist()]
        return _Nested(parts, tuple(edges), self._metadata(group))

    def _groups(self, group: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
        nodes = _group(group, "nodes", self._source)
        for name in nodes:
            self._count += 1
            if self._count > PARTS:
                raise self._damaged(f"it has more than {PARTS:,} parts")
            yield str(name), _group(nodes, name, self._source)

    def _part(self, group: h5py.Group, name: str, depth: int) -> Part | _Nested:
        kind = self._text(group, "type")
        if kind == "NIRGraph":
            return self.graph(group, depth + 1)
        values = {}
        for field_ in group:
            if field_ in ("type", "metadata") or not self._is_dataset(group, field_):
                continue
            values[str(field_)] = self._numbers(group, field_, name)
        return Part(kind, values, self._metadata(group))

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

    def _numbers(self, group: h5py.Group, name: str, part: str) -> np.ndarray:
        value = self._dataset(group, name)
        if value.dtype.kind in "SO":  # padding="same"
            return np.asarray(self._text(group, name))
        if value.dtype.kind not in "biuf":
            raise self._damaged(f"`{name}` of `{part}` holds no numbers")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            said = f"`{name}` of `{part}` in {self._source} holds NaN or infinity"
            raise refuse("SNN307", said, Location(module=part))
        return value

    def _metadata(self, group: h5py.Group) -> Mapping[str, Any]:
        if "metadata" not in list(group) or self._is_dataset(group, "metadata"):
            return {}
        inner, found = _group(group, "metadata", self._source), {}
        for name in inner:
            if self._is_dataset(inner, name):
                value = self._dataset(inner, name)
                plain = value.item() if value.size == 1 else value
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
        return refuse("SNN305", f"{self._source} is damaged: {said}", help=_FIX)


def _group(group: h5py.Group, name: str, source: str) -> h5py.Group:
    import h5py

    if name not in list(group):  # `in group` would follow a link
        raise refuse("SNN305", f"{source} is no NIR file: it has no `{name}`", help=_FIX)
    _check_link(group, name, source)
    inner = group[name]
    if not isinstance(inner, h5py.Group):
        raise refuse("SNN305", f"{source} is no NIR file: `{name}` is no group", help=_FIX)
    return inner


def _check_link(group: h5py.Group, name: str, source: str) -> None:
    """Raise SNN304 for a name that leads out of its place."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _elsewhere(f"`{name}` of `{group.name}`", source)


def _elsewhere(what: str, source: str) -> SnnccError:
    message = f"{what} in {source} lies elsewhere, in another file or under another name"
    return refuse("SNN304", message, help="write all values into the file itself")


# -- graphs inside graphs ------------------------------------------------------------------------


def _flat(graph: _Nested, source: str) -> Parts:
    """The same without nested graphs: an edge to one ends at its Input, one from it at its Output.

    Inputs and outputs of nested graphs stay, as parts that hand on what they get.
    """
    parts: dict[str, Part] = {}
    edges: list[tuple[str, str]] = []
    _add(graph, "", parts, edges, source)
    return Parts(parts, tuple(dict.fromkeys(edges)), graph.metadata, source)


def _add(
    graph: _Nested, prefix: str, parts: dict[str, Part], edges: list[tuple[str, str]], source: str
) -> None:
    for name, part in graph.parts.items():
        if isinstance(part, _Nested):
            _add(part, f"{prefix}{name}.", parts, edges, source)
        elif prefix and part.kind in ("Input", "Output"):
            parts[prefix + name] = Part("Identity", {}, part.metadata)
        else:
            parts[prefix + name] = part
    for before, after in graph.edges:
        ends = []
        for name, kind in ((before, "Output"), (after, "Input")):
            if name not in graph.parts:
                known = ", ".join(f"`{each}`" for each in graph.parts)
                message = f"an edge of {source} names `{prefix}{name}`, which is not there"
                raise refuse("SNN305", message, help=f"the parts there are {known}")
            ends.append(
                prefix + name if isinstance(part, Part) else prefix + _end(part, name, kind, source)
            )
        edges.append((ends[0], ends[1]))


def _end(graph: _Nested, name: str, kind: str, source: str) -> str:
    ends = [each for each, part in graph.parts.items()
            if isinstance(part, Part) and part.kind == kind]  # fmt: skip
    if len(ends) != 1:
        message = f"the graph `{name}` inside {source} has {len(ends)} {kind} parts and not one"
        raise refuse("SNN305", message, help=_FIX)
    return f"{name}.{ends[0]}"
