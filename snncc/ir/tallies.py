"""How much the nodes of a Graph say in a run, from how much some of them said.

The tally of a node is the sum of its values over all steps and samples, of the node's own shape.
A tally goes through whatever is affine: of M values x, Σ f(x) = f(Σ x) + (M − 1)·f(0). So the work
of a network can be counted from the tallies of its populations, and no value of a step is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from snncc.ir.graph import Graph, Node, backward
from snncc.ir.interpreter import TensorStore, Value, apply
from snncc.ir.ops import Concat, Constant, Elementwise, MatMul, OverTime, Repeat, is_linear


def tallied(graph: Graph, wanted: Collection[str], known: Collection[str]) -> frozenset[str]:
    """The nodes of ``wanted`` whose tallies follow from those of ``known``."""
    follows = set(known)
    for node in graph.nodes.values():
        free = _free(graph, node)
        if node.name not in follows and follows.issuperset(free) and _is_affine(node, free):
            follows.add(node.name)
    return frozenset(follows & set(wanted))


def tallies(
    graph: Graph, wanted: Collection[str], known: Mapping[str, Value], samples: int, steps: int
) -> dict[str, Value]:
    """The tallies, float64, of the nodes ``wanted``, all of which are `tallied`."""
    store = TensorStore(graph.tensors, torch.float64)
    ready = {name: tally.double() for name, tally in known.items() if name in graph.nodes}
    needed = backward(graph.nodes, wanted, ready)
    for node in graph.nodes.values():
        if node.name in needed and node.name not in ready and _free(graph, node):
            ready[node.name] = _tally(graph, node, ready, store, samples, steps)
    return {name: ready[name] for name in wanted}


def _tally(
    graph: Graph,
    node: Node,
    ready: Mapping[str, Value],
    store: TensorStore,
    samples: int,
    steps: int,
) -> Value:
    match node.op:
        case Repeat():
            return ready[node.inputs[0]] * steps
        case OverTime():
            return ready[node.inputs[0]] / (steps if node.op.kind == "mean" else 1)
    args, zeros = [], []
    for name in node.inputs:
        source = graph.nodes[name]
        if isinstance(source.op, Constant):
            each = nothing = store.number(source.op.value)
        else:
            again = (source.signal.rate, node.signal.rate) == ("static", "step")
            each = ready[name][None] * (steps if again else 1)
            nothing = torch.zeros_like(each)
        args.append(each)
        zeros.append(nothing)
    times = samples * (steps if node.signal.rate == "step" else 1)
    total: Value = apply(node.op, args, store) + (times - 1) * apply(node.op, zeros, store)
    return total[0]


def _free(graph: Graph, node: Node) -> list[str]:
    """What a node reads that is not constant."""
    return [name for name in node.inputs if not isinstance(graph.nodes[name].op, Constant)]


def _is_affine(node: Node, free: list[str]) -> bool:
    """Whether a node is affine in all of ``free`` together."""
    if not free:
        return False
    match node.op:
        case Elementwise(function="add" | "sub" | "neg") | Concat() | Repeat():
            return True
        case Elementwise(function="mul") | MatMul():
            return len(free) == 1
        case Elementwise(function="div"):
            return free == [node.inputs[0]]
        case OverTime():
            return node.op.kind != "last"
    return is_linear(node.op)
