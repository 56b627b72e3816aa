"""What a Graph and a Network mean: the interpreter all else is held against.

Values are torch tensors. A static or final value has axes (N, *features), a step value
(T, N, *features). Everything is computed in ``dtype``, float64 unless told otherwise, a fixed
Network in whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from snncc.ir.interpreter.fixed import run_fixed
from snncc.ir.interpreter.floating import Cell, fire, gather, run_floating
from snncc.ir.interpreter.graphs import run_graph
from snncc.ir.interpreter.operations import TensorStore, Value, apply
from snncc.ir.interpreter.runs import (
    Disagreement,
    Run,
    encoded,
    feeds_back,
    fire_loop,
    project,
    read_out,
    steps_of,
)
from snncc.ir.interpreter.written import Written, fire_as_written
from snncc.ir.network import Network

__all__ = [
    "Cell",
    "Disagreement",
    "Run",
    "TensorStore",
    "Value",
    "Written",
    "apply",
    "encoded",
    "feeds_back",
    "fire",
    "fire_as_written",
    "fire_loop",
    "gather",
    "project",
    "read_out",
    "run_graph",
    "run_network",
    "steps_of",
]


def run_network(
    network: Network,
    inputs: Mapping[str, Value],
    *,
    forced: Mapping[str, Value] | None = None,
    steps: int | None = None,
    dtype: torch.dtype = torch.float64,
    limit: int = 20,
) -> Run:
    """Run every place.

    ``inputs`` holds, for each Source, its spikes (T, N, *shape) and, for each encoder, the analog
    input under the name of its Graph's Input node, (N, …) where static, else (T, N, …).
    ``forced`` maps what populations stand for (or their names) to given spikes: each population is
    compared with them, resets by them and passes them on, so that one difference stays one.
    A fixed Network runs in whole numbers, whatever the ``dtype``.
    """
    if network.is_fixed:
        return run_fixed(network, inputs, forced=forced, steps=steps, limit=limit)
    return run_floating(network, inputs, forced=forced, steps=steps, dtype=dtype, limit=limit)
