"""A module recorded again: what the nodes of its Graph are on other inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import refuse
from snncc.frontends.torch.copies import private_copy, undisturbed
from snncc.frontends.torch.notes import Notes
from snncc.frontends.torch.runs import FORWARD, Noted, Run, left_behind, record_run, record_steps
from snncc.frontends.torch.states import held
from snncc.frontends.torch.widening import Widened
from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.ops import Constant, Unread
from snncc.passes.recognise_neurons import RecogniseNeurons


def noted(
    module: nn.Module, graph: Graph, names: Collection[str], inputs: torch.Tensor,
    dtype: torch.dtype,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """What the nodes ``names`` are, (T, N, *shape), when ``module`` runs on ``inputs``.

    They are nodes of the recording, in which a neuron may be written as arithmetic; so it is made
    again, on one sample more than there are where their number would not tell their axis. Of a
    module of one step, ``inputs`` may have the steps in front. Steps in which the module does not
    compute one are NaN: nobody reads what its last step would leave.
    """
    (node,) = graph.inputs
    axes = node.signal.axes
    timed = graph.is_of_one_step and inputs.dim() > len(axes)
    steps = inputs.shape[0] if timed else graph.time_steps
    if "T" in axes:
        steps = inputs.shape[axes.index("T")]
    batch = axes.index("N") + timed
    count = inputs.shape[batch]
    samples = next(n for n in (count, count + 1, count + 2) if n not in (1, steps))
    run = Run.again(graph, samples, steps)
    data = inputs.index_select(batch, torch.arange(samples) % count).to(dtype)
    seen: Noted = {name: {} for name in names}
    record_run(lambda: private_copy(module, dtype), data, run, Notes(), seen)
    return {
        name: (values[None] if None in values else _in_turn(values, steps))[:, :count].double()
        for name, values in seen.items()
        if values
    }


def _in_turn(values: Mapping[int | None, torch.Tensor], steps: int | None) -> torch.Tensor:
    """The values of each step, those of a constant as large as the others, NaN for none."""
    whole = max(values.values(), key=torch.Tensor.dim).shape
    none = torch.tensor(torch.nan)
    each = [values.get(t, none) for t in range(len(values) if steps is None else steps)]
    return torch.stack([value.double().expand(whole) for value in each])


def keeps_states(module: nn.Module, graph: Graph, dtype: torch.dtype) -> bool:
    """Whether a module of one step keeps states of its own, and ``graph`` has all of them."""
    (node,) = graph.inputs
    axes, samples = node.signal.axes, 3
    if not graph.is_of_one_step:
        return False
    sizes = iter(node.signal.shape)
    data = torch.zeros([samples if role == "N" else next(sizes) for role in axes], dtype=dtype)
    run = Run.again(graph, samples, graph.time_steps)
    twin = private_copy(module, dtype)
    before = held(twin)
    try:
        with undisturbed(twin, dtype), Widened() if dtype == torch.float64 else nullcontext():
            twin(data.clone())
        if not left_behind(twin, before):
            return False
        again, _ = record_steps(private_copy(module, dtype), data, run, Notes(), None)
        found = RecogniseNeurons()(again).form
        assert isinstance(found, Graph)
        check_same(graph, found)
    except Exception:
        return False  # whoever runs it next says why
    return True


def check_same(first: Graph, second: Graph) -> None:
    """Refuse recordings that differ in anything but the data."""
    for one, two in zip(first.nodes.values(), second.nodes.values(), strict=False):
        if _form(one) != _form(two):
            ops = f"one has {one.name} where the other has {two.name}"
            message = f"two runs on other data and another number of samples differ: {ops}"
            raise refuse("SNN315", message, _reader(first, one).origin)
        for ref in one.op.refs():
            if not np.array_equal(first.tensors[ref], second.tensors[ref]):
                reader = _reader(first, one)
                message = f"a constant that {reader.name} reads differs between two runs"
                raise refuse("SNN315", message, reader.origin)
    if len(first.nodes) != len(second.nodes):
        longer = max(first, second, key=lambda graph: len(graph.nodes))
        node = list(longer.nodes.values())[min(len(first.nodes), len(second.nodes))]
        message = "two runs on different data do different numbers of ops"
        raise refuse("SNN315", message, node.origin)
    if first.heads != second.heads or first.time_steps != second.time_steps:
        raise refuse("SNN315", "two runs on different data return different outputs", FORWARD)


def _reader(graph: Graph, node: Node) -> Node:
    """The node itself, or the first that reads it where it is a constant, which no line made."""
    readers = graph.readers[node.name] if isinstance(node.op, Constant) else ()
    return graph.nodes[readers[0]] if readers else node


def _form(node: Node) -> tuple[object, ...]:
    signal: Signal = node.signal
    op = replace(node.op, message="") if isinstance(node.op, Unread) else node.op
    return node.name, op, node.inputs, signal.shape, signal.rate
