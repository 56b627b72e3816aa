"""A compiled network as an .onnx file, with what tools and readers must know of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from snncc.backends.onnx.networks import as_graph, in_registers
from snncc.backends.onnx.writer import as_model
from snncc.diagnostics import refuse
from snncc.ir.files import write_whole
from snncc.ir.graph import Graph
from snncc.ir.network import Network, Population
from snncc.ir.ops import Dynamics, Input
from snncc.ir.text import print_graph, print_network

FORMAT = 1
PREFIX = "org.snncc."


@dataclass(frozen=True)
class Written:
    """What was written: its size, and the tensors that float32 cannot hold as they are."""

    bytes: int
    rounded: tuple[str, ...]


def export(
    form: Graph | Network, path: Path, *, dtype: str = "float32", about: Mapping[str, str] = {}
) -> Written:
    """Write ``form`` as an ONNX file. ``about`` goes into its metadata as it is.

    Raises SnnccError: SNN317 where the package onnx is missing, SNN324 for an op that ONNX has no
    form for, SNN305 where the file cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        help = 'pip install "snncc[onnx]"'
        raise refuse("SNN317", "the package onnx, which writes the file, is missing", help=help)
    graph = as_graph(form) if isinstance(form, Network) else in_registers(form)
    real: type[np.floating[Any]] = np.float64 if dtype == "float64" else np.float32
    rounded: set[str] = set()
    model = as_model(graph, dtype=real, about={**facts(form, graph), **about}, rounded=rounded)
    data = model.SerializeToString(deterministic=True)
    try:
        write_whole(path, data)
    except OSError as error:
        said = f"{path} cannot be written: {error.strerror or error}"
        raise refuse("SNN305", said, help="choose a file that can be written") from error
    return Written(len(data), tuple(sorted(rounded)))


def facts(form: Graph | Network, graph: Graph) -> dict[str, str]:
    """The metadata that a file has of its own; a reader believes none of it."""
    text = print_network(form) if isinstance(form, Network) else print_graph(form)
    (node, *_) = graph.inputs
    static = all(each.signal.rate != "step" for each in graph.inputs)
    known = {
        "format": str(FORMAT),
        "snncc": version("snncc"),
        "form": "network" if isinstance(form, Network) else "graph",
        "layout": "N" if static else "TN",
        "time_steps": "" if graph.time_steps is None else str(graph.time_steps),
        "input": node.op.kind if isinstance(node.op, Input) else "",
        "resets": json.dumps(_resets(form), sort_keys=True),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    return {f"{PREFIX}{name}": value for name, value in known.items()}


def _resets(form: Graph | Network) -> dict[str, str]:
    """How each population resets."""
    if isinstance(form, Network):
        places = [p for p in form.places.values() if isinstance(p, Population)]
        return {p.name: f"{p.neuron.reset}, {p.neuron.when}" for p in places}
    return {
        node.name: f"{node.op.reset}, {node.op.when}"
        for node in form.nodes.values() if isinstance(node.op, Dynamics)
    }  # fmt: skip
