"""What a Graph means: every node, loops step after step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from snncc.ir.graph import Graph, Node, backward
from snncc.ir.interpreter.operations import TensorStore, Value, apply
from snncc.ir.interpreter.written import Written, fire_as_written
from snncc.ir.ops import Constant, Delay, Dynamics, Elementwise, Input, OverTime, Repeat


def run_graph(
    graph: Graph,
    inputs: Mapping[str, Value],
    *,
    keep: Collection[str] = (),
    forced: Mapping[str, Value] | None = None,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Value]:
    """Run every node; return the values of the heads' nodes and of the nodes in ``keep``.

    ``inputs`` holds one tensor for each Input node, (T, N, *features), or (N, *features) where its
    rate is static. ``forced`` replaces the values of the nodes it names. Without any step input, T
    comes from ``graph.time_steps``.
    """
    forced = forced or {}
    store = TensorStore(graph.tensors, dtype)
    steps = graph.time_steps
    for node in graph.inputs:
        if node.signal.rate == "step" and node.name in inputs:
            steps = inputs[node.name].shape[0]
    for name, value in forced.items():
        if name in graph.nodes and graph.nodes[name].signal.rate == "step":
            steps = value.shape[0]
    wanted = set(keep) | set(graph.heads.values())
    needed = backward(graph.nodes, wanted, forced)
    readers = {n: sum(r in needed for r in graph.readers[n]) for n in needed}
    values: dict[str, Value] = {}
    for name in forced.keys() & needed:
        values[name] = _given(graph.nodes[name], forced[name], dtype)
    for group in graph.groups(needed - forced.keys()):
        if len(group) > 1:
            values |= _run_loop(graph, group, values, store, _known(steps, graph.nodes[group[0]]))
        else:
            node = graph.nodes[group[0]]
            values[node.name] = _run_node(graph, node, values, inputs, store, steps, dtype)
        for name in group:
            for source in dict.fromkeys(graph.nodes[name].inputs):
                readers[source] -= 1
                if not readers[source] and source not in wanted:
                    del values[source]
    return {name: values[name] for name in wanted}


def _run_loop(
    graph: Graph, names: Sequence[str], values: Mapping[str, Value], store: TensorStore, steps: int
) -> dict[str, Value]:
    """The nodes of a loop, step after step; only a Delay reads one behind itself."""
    outside = {s: graph.nodes[s] for n in names for s in graph.nodes[n].inputs if s not in names}
    samples = next(
        values[name].shape[node.signal.rate == "step"]
        for name, node in outside.items()
        if not isinstance(node.op, Constant)
    )
    cells: dict[str, Written] = {}
    past: dict[str, list[Value]] = {name: [] for name in names}

    def argument(name: str, t: int) -> Value:
        if name in past:
            return past[name][t]
        return values[name][t] if outside[name].signal.rate == "step" else values[name]

    for t in range(steps):
        for name in names:
            node = graph.nodes[name]
            op = node.op
            if isinstance(op, Delay):
                first = store.number(op.initial).expand(samples, *node.signal.shape)
                value = argument(node.inputs[0], t - 1) if t else first
            elif isinstance(op, Dynamics):
                current = argument(node.inputs[0], t)
                cell = cells.setdefault(name, Written(op, current.shape, store))
                value = cell.value(current)
            else:
                value = apply(op, [argument(source, t) for source in node.inputs], store)
            past[name].append(value)
    return {name: torch.stack(steps) for name, steps in past.items()}


def _run_node(
    graph: Graph,
    node: Node,
    values: Mapping[str, Value],
    inputs: Mapping[str, Value],
    store: TensorStore,
    steps: int | None,
    dtype: torch.dtype,
) -> Value:
    op = node.op
    args = [values[name] for name in node.inputs]
    rates = [graph.nodes[name].signal.rate for name in node.inputs]
    match op:
        case Input():
            return _given(node, inputs[node.name], dtype)
        case Constant():
            return store.number(op.value)
        case Repeat():
            return args[0].expand(_known(steps, node), *args[0].shape)
        case OverTime():
            if op.kind == "last":
                return args[0][-1]
            if op.kind == "max":
                return args[0].amax(0)
            return args[0].mean(0) if op.kind == "mean" else args[0].sum(0)
        case Dynamics():
            current = args[0]
            if rates[0] != "step":
                current = current.expand(_known(steps, node), *current.shape)
            return fire_as_written(op, current, store)
        case Delay():
            whole = args[0]
            if rates[0] != "step":
                whole = whole.expand(_known(steps, node), *whole.shape)
            first = store.number(op.initial).expand(whole.shape[1:])
            return torch.cat([first[None].to(dtype), whole[:-1]])
        case Elementwise():
            return apply(op, args, store)
    if "step" not in rates:
        return apply(op, args, store)
    lead = next(a.shape[:2] for a, rate in zip(args, rates, strict=True) if rate == "step")
    constant = [isinstance(graph.nodes[name].op, Constant) for name in node.inputs]
    each = [
        a if rate == "step" or lone else a.expand(*lead, *a.shape[1:])
        for a, rate, lone in zip(args, rates, constant, strict=True)
    ]
    flat = [a if lone else a.flatten(0, 1) for a, lone in zip(each, constant, strict=True)]
    together: Value = apply(op, flat, store).unflatten(0, lead)
    return together


def _given(node: Node, value: Value, dtype: torch.dtype) -> Value:
    """A value from outside; a static one may come once for every step."""
    repeated = node.signal.rate == "static" and value.dim() == len(node.signal.shape) + 2
    return (value[0] if repeated else value).to(dtype)


def _known(steps: int | None, node: Node) -> int:
    if steps is None:
        raise ValueError(f"{node.name}: the number of time steps is not known")
    return steps
