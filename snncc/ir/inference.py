"""Value sets for every node of a Graph, from what the inputs are declared to be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import truediv

import numpy as np

from snncc.ir.elementwise import BOOLEAN
from snncc.ir.graph import Graph, Node
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Delay,
    Dense,
    Elementwise,
    Identity,
    Input,
    MatMul,
    Membrane,
    Norm,
    Normalise,
    OverTime,
    Pad,
    Permute,
    Pool,
    Reduce,
    Ref,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Sparse,
    Spiking,
    Unread,
    Upsample,
)  # fmt: skip
from snncc.ir.shapes import Shape, adaptive_spans, has_empty_window, pool_windows
from snncc.ir.values import REAL, SPIKE, ValueSet

CONE_LIMIT = 6
"""So many leaves a group of elementwise ops may have to be taken as one function of them."""

COUNT_LIMIT = 255
"""A declared count is at most this per pixel and step."""

TABLE_LIMIT = 4096

AVERAGE_LIMIT = 64
"""So many averages of counts are worth telling apart."""


_REAL = (
    AdaptivePool, Argmax, Conv, ConvTranspose, Dense, Input, MatMul, Membrane, Norm, Normalise,
    OverTime, Pool, Reduce, Scale, Softmax, Sparse, Unread,
)  # fmt: skip
"""Ops that may yield any number, where nothing more is known."""


def with_values(graph: Graph) -> Graph:
    """The same Graph with every signal's value set inferred.

    In a loop each round knows what the round before made of the nodes that come later, at first
    that they may be anything: every round is sound, and the second is enough for spikes.
    """
    later: dict[str, ValueSet] = {}
    for _ in range(2 if graph.of_type(Delay) else 1):
        sets: dict[str, ValueSet] = {}
        for group in graph.groups(graph.nodes):
            for name in group:
                sets[name] = _values(graph, graph.nodes[name], sets, later)
        later = sets
    nodes = (
        replace(node, signal=replace(node.signal, values=sets[node.name]))
        for node in graph.nodes.values()
    )
    return Graph.build(nodes, graph.tensors, graph.heads, graph.name, graph.time_steps)


def _values(
    graph: Graph, node: Node, sets: Mapping[str, ValueSet], later: Mapping[str, ValueSet]
) -> ValueSet:
    if isinstance(node.op, Delay):
        (source,) = node.inputs
        return _delayed(graph, node.op, sets.get(source, later.get(source, REAL)))
    args = [sets[name] for name in node.inputs]
    match node.op:
        case Input(kind="spike") | Spiking():
            return SPIKE
        case Input(kind="count"):
            return ValueSet.of(range(COUNT_LIMIT + 1))
        case Constant(value=value):
            return ValueSet.of(
                np.unique(graph.tensors[value]) if isinstance(value, Ref) else [value]
            )
        case Identity() | Reshape() | Permute() | Slice() | Broadcast() | Upsample() | Repeat():
            return args[0]
        case OverTime(kind="last" | "max"):
            return args[0]
        case Pad():
            return args[0] if args[0].members is None else ValueSet.of((*args[0].members, 0.0))
        case Concat():
            if any(a.members is None for a in args):
                return REAL
            return ValueSet.of(v for a in args for v in a.members or ())
        case Pool(kind="max"):
            shape = graph.nodes[node.inputs[0]].signal.shape
            return REAL if has_empty_window(node.op, shape) else args[0]
        case AdaptivePool(kind="max"):
            return args[0]
        case Scale(factor=float(factor)):
            return args[0].image(lambda x: x * factor)
        case Elementwise():
            values = elementwise_values(graph, node, sets)
            return SPIKE if node.op.function in BOOLEAN and not values.is_finite else values
        case Pool() | AdaptivePool() | Reduce() if args[0].is_count:
            return _sums(node.op, args[0], graph.nodes[node.inputs[0]].signal.shape)
        case op if isinstance(op, _REAL):
            return REAL
        case op:
            raise TypeError(f"no rule gives the values of `{type(op).__name__}`")


def _delayed(graph: Graph, op: Delay, values: ValueSet) -> ValueSet:
    """A value and what comes before its first step."""
    if values.members is None:
        return REAL
    initial = graph.tensors[op.initial] if isinstance(op.initial, Ref) else op.initial
    return ValueSet.of((*values.members, *np.unique(initial)))


def _sums(op: Pool | AdaptivePool | Reduce, counts: ValueSet, shape: Shape) -> ValueSet:
    """Sums, or averages, of as many counts as the windows hold.

    An average is the float that torch makes of it: it divides the sum by the size of the window,
    but an adaptive pool to more than one position divides by one side after the other.
    """
    axes: list[list[tuple[int, int]]]
    by_side = False
    match op:
        case Reduce():
            axes = [[(shape[axis], shape[axis])] for axis in op.axes]
        case AdaptivePool():
            lengths = zip(shape[-len(op.size) :], op.size, strict=True)
            spans = [{b - a for a, b in adaptive_spans(n, m)} for n, m in lengths]
            axes = [[(length, length) for length in sorted(axis)] for axis in spans]
            by_side = math.prod(op.size) > 1
        case Pool():
            axes = pool_windows(op, shape)
            if not op.count_padding:
                axes = [[(inside, inside) for inside, _ in axis] for axis in axes]
    top = int(max(counts.members or (0.0,)))
    sizes: set[tuple[int, tuple[int, ...]]] = set()
    for window in itertools.product(*map(set, axes)):
        sides = tuple(counted for _, counted in window)
        divisors = () if op.kind == "sum" else sides if by_side else (math.prod(sides),)
        sizes.add((math.prod(inside for inside, _ in window), divisors))
    limit = TABLE_LIMIT if op.kind == "sum" else AVERAGE_LIMIT
    alike = {(inside, math.prod(divisors)) for inside, divisors in sizes}
    if sum(top * inside + 1 for inside, _ in alike) > limit:
        return REAL
    return ValueSet.of(
        reduce(truediv, divisors, float(number))
        for inside, divisors in sizes
        for number in range(top * inside + 1)
    )


def elementwise_values(graph: Graph, node: Node, sets: Mapping[str, ValueSet]) -> ValueSet:
    """All values of the whole group of elementwise ops that ends in ``node``.

    The group is taken as one function of its leaves, so that ``a + b − a·b`` is known to be 0 or
    1; where it has too many leaves, ``node`` alone as a function of its arguments.
    """
    for leaves in (group_leaves(graph, node.name, sets), tuple(dict.fromkeys(node.inputs))):
        members = [sets[leaf].members for leaf in leaves]
        known = [m for m in members if m is not None]
        size = math.prod(len(m) for m in known)
        if len(known) == len(members) and size <= TABLE_LIMIT:
            columns = np.array(list(itertools.product(*known)), dtype=np.float64).T
            table = dict(zip(leaves, columns.reshape(len(leaves), -1), strict=True))
            return ValueSet.of(np.unique(evaluate(graph, node.name, table)))
    return REAL


def group_leaves(graph: Graph, root: str, sets: Mapping[str, ValueSet]) -> tuple[str, ...]:
    """What the group of elementwise ops that ends in ``root`` reads, constants left out.

    The group is cut at every spike inside it that something outside it reads too.
    """
    group = _elementwise_slice(graph, root)
    leaves: dict[str, None] = {}
    pending, seen = [root], {root}
    while pending:
        for source in reversed(graph.nodes[pending.pop()].inputs):
            if source in seen:
                continue
            seen.add(source)
            node = graph.nodes[source]
            shared = any(reader not in group for reader in graph.readers[source])
            shared |= source in graph.heads.values()
            if _is_number(node):
                continue
            if isinstance(node.op, Elementwise) and not (shared and sets[source].is_spike):
                pending.append(source)
            else:
                leaves[source] = None
    order = {name: index for index, name in enumerate(graph.nodes)}
    return tuple(sorted(leaves, key=order.__getitem__))


def _elementwise_slice(graph: Graph, root: str) -> set[str]:
    group, pending = {root}, [root]
    while pending:
        for source in graph.nodes[pending.pop()].inputs:
            if source not in group and isinstance(graph.nodes[source].op, Elementwise):
                group.add(source)
                pending.append(source)
    return group


def _is_number(node: Node) -> bool:
    return isinstance(node.op, Constant) and not isinstance(node.op.value, Ref)


def evaluate(graph: Graph, root: str, leaves: Mapping[str, np.ndarray]) -> np.ndarray:
    """``root`` as a function of its leaves, on one value of each leaf per column."""
    import torch

    from snncc.ir.elementwise import function

    values = {name: torch.from_numpy(column) for name, column in leaves.items()}

    def value(name: str) -> torch.Tensor:
        if name not in values:
            node = graph.nodes[name]
            if isinstance(node.op, Constant):
                values[name] = torch.tensor(node.op.value, dtype=torch.float64)
            else:
                assert isinstance(node.op, Elementwise)
                run = function(node.op.function)
                values[name] = run(*(value(source) for source in node.inputs))
        return values[name]

    count = len(next(iter(leaves.values()))) if leaves else 1
    result: np.ndarray = value(root).expand(count).numpy()
    return result
