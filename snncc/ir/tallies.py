"""How much the nodes of a Graph say in a run, from how much some of them said.

The tally of a node is the sum of its values over all steps and samples, of the node's own shape.
A tally goes through whatever is affine: of M values x, Σ f(x) = f(Σ x) + (M − 1)·f(0). It also
goes back to the one argument of a sum that is not known, as to the product in the gate
1 − (1 − a)(1 − b). So the work of a network can be counted from the tallies of its populations, and
no value of a step is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import TensorStore, Value, apply
from snncc.ir.ops import Concat, Constant, Elementwise, MatMul, OverTime, Repeat, is_linear


def tallied(graph: Graph, wanted: Collection[str], known: Collection[str]) -> frozenset[str]:
    """The nodes of ``wanted`` whose tallies follow from those of ``known``."""
    return frozenset(set(_ways(graph, known)) & set(wanted)) | (frozenset(wanted) & set(known))


def _ways(graph: Graph, known: Collection[str]) -> dict[str, Node]:
    """Of each node that follows the one whose meaning says how, in an order to take them in."""
    follows, ways = set(known), dict[str, Node]()
    news = True
    while news:
        news = False
        for node in graph.nodes.values():
            free = _free(graph, node)
            unknown = [name for name in free if name not in follows]
            if node.name not in follows and not unknown and _is_affine(node, free):
                found = node.name
            elif node.name in follows and len(unknown) == 1 and _solves(graph, node, unknown[0]):
                (found,) = unknown
            else:
                continue
            ways[found] = node
            follows.add(found)
            news = True
    return ways


def tallies(
    graph: Graph, wanted: Collection[str], known: Mapping[str, Value], samples: int, steps: int
) -> dict[str, Value]:
    """The tallies, float64, of the nodes ``wanted``, all of which are `tallied`."""
    store = TensorStore(graph.tensors, torch.float64)
    ready = {name: tally.double() for name, tally in known.items() if name in graph.nodes}
    for name, node in _ways(graph, ready).items():
        if name == node.name:
            ready[name] = _tally(graph, node, ready, store, samples, steps)
        else:
            nothing, one = (
                _tally(graph, node, {**ready, name: torch.full_like(ready[node.name], value)},
                       store, samples, steps)
                for value in (0.0, 1.0)
            )  # fmt: skip
            ready[name] = (ready[node.name] - nothing) / (one - nothing)
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


def _solves(graph: Graph, node: Node, name: str) -> bool:
    """Whether the tally of ``name``, which ``node`` reads once, follows from all others there."""
    source = graph.nodes[name].signal
    alike = (source.shape, source.rate) == (node.signal.shape, node.signal.rate)
    plain = isinstance(node.op, Elementwise) and node.op.function in ("add", "sub", "neg")
    return alike and plain and node.inputs.count(name) == 1


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
            return node.op.kind in ("mean", "sum")
    return is_linear(node.op)
