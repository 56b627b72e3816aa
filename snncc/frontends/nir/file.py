"""The parts and edges of a NIR file, read without executing anything and without other files.

The HDF5 is not read by the package nir, which does not open every file that its users wrote (stale
names of nested graphs, shapes with a batch axis), and in a process of its own
(`snncc.frontends.hdf5`), because HDF5 may run for ever on a damaged file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from snncc.diagnostics import refuse
from snncc.frontends.hdf5 import read_apart
from snncc.frontends.nir.hdf5 import FIX


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
    arrays = read_apart("snncc.frontends.nir.hdf5", path, source, ".nir", "nir", FIX)
    return _flat(_nested(json.loads(arrays["tree"].item()), arrays), source)


def _nested(tree: Any, arrays: Mapping[str, np.ndarray]) -> _Nested:
    parts: dict[str, Part | _Nested] = {}
    for name, part in tree["parts"].items():
        if "kind" not in part:
            parts[name] = _nested(part, arrays)
            continue
        values = {
            field: np.asarray(value) if isinstance(value, str) else arrays[str(value)]
            for field, value in part["values"].items()
        }
        parts[name] = Part(part["kind"], values, _metadata(part, arrays))
    edges = tuple((before, after) for before, after in tree["edges"])
    return _Nested(parts, edges, _metadata(tree, arrays))


def _metadata(tree: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Metadata by name; arrays of numbers lie among the tensors."""
    return {
        name: arrays[str(value["tensor"])] if isinstance(value, dict) else value
        for name, value in tree["metadata"].items()
    }


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
            end = graph.parts[name]
            ends.append(prefix + (name if isinstance(end, Part) else _end(end, name, kind, source)))
        edges.append((ends[0], ends[1]))


def _end(graph: _Nested, name: str, kind: str, source: str) -> str:
    ends = [each for each, part in graph.parts.items()
            if isinstance(part, Part) and part.kind == kind]  # fmt: skip
    if len(ends) != 1:
        message = f"the graph `{name}` inside {source} has {len(ends)} {kind} parts and not one"
        raise refuse("SNN305", message, help=FIX)
    return f"{name}.{ends[0]}"
