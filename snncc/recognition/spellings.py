"""One spelling of a spike: ge, gt, le or lt, and 1 where it is one.

1. what is 1 where a comparison does not hold is the opposite comparison
2. the sign of a value, compared with 0 or cut off below it, is a comparison of the value
3. a comparison with 0 that gets a value of its own at 0 is one (how ONNX writes heaviside)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.ops import Constant, Elementwise, Identity, Ref

OPPOSITE = {"ge": "lt", "gt": "le", "le": "gt", "lt": "ge"}


def in_one_spelling(graph: Graph, names: Collection[str]) -> Graph:
    """The Graph with the spikes among ``names`` spelled so, value for value."""
    nodes: dict[str, Node] = {}
    for node in graph.nodes.values():
        if node.name in names and isinstance(node.op, Elementwise):
            node = (
                _opposite(graph, nodes, node) or _of_sign(graph, nodes, node)
                or _apart_at_zero(graph, nodes, node) or node
            )  # fmt: skip
        nodes[node.name] = node
    whole = Graph.build(nodes.values(), graph.tensors, graph.heads, graph.name, graph.time_steps)
    unread = [name for name in graph.nodes if not graph.readers[name]]
    return whole.keep(whole.ancestors(*whole.heads.values(), *unread))


def _opposite(graph: Graph, nodes: dict[str, Node], node: Node) -> Node | None:
    """Rule 1."""
    match _function(node), *node.inputs:
        case ["not", test] | ["sub", _, test] | ["where", test, _, _]:
            pass
        case _:
            return None
    if not _is_opposite(graph, node, test):
        return None
    asked = _behind_copies(nodes, test)
    function = OPPOSITE.get(_function(asked))
    if function is None or asked.signal.shape != node.signal.shape or _is_spike(graph, asked.name):
        return None
    return replace(node, op=Elementwise(function), inputs=asked.inputs)


def _of_sign(graph: Graph, nodes: dict[str, Node], node: Node) -> Node | None:
    """Rule 2."""
    match _function(node), *node.inputs:
        case ["relu", test]:
            function = "gt"
        case ["maximum", test, zero] if _is(graph, zero, 0):
            function = "gt"
        case ["ge" | "gt" | "le" | "lt" as function, test, zero] if _is(graph, zero, 0):
            pass
        case _:
            return None
    sign = _behind_copies(nodes, test)
    if _function(sign) != "sign":
        return None
    zero = f"{node.name}.zero"
    nodes[zero] = Node(zero, Constant(0.0), (), Signal((), "static"), node.origin)
    return replace(node, op=Elementwise(function), inputs=(*sign.inputs, zero))


def _apart_at_zero(graph: Graph, nodes: dict[str, Node], node: Node) -> Node | None:
    """Rule 3."""
    if _function(node) != "where":
        return None
    test, at_zero, otherwise = (_behind_copies(nodes, name) for name in node.inputs)
    if _function(test) != "eq" or _function(otherwise) not in ("ge", "gt"):
        return None
    (x, zero), (y, end) = test.inputs, otherwise.inputs
    compared = _behind_copies(nodes, x).name == _behind_copies(nodes, y).name
    if not compared or not (_is(graph, zero, 0) and _is(graph, end, 0)):
        return None
    if otherwise.signal.shape != node.signal.shape:
        return None
    for value, function in ((0, "gt"), (1, "ge")):
        if _is(graph, at_zero.name, value):
            return replace(node, op=Elementwise(function), inputs=otherwise.inputs)
    return None


def _is_spike(graph: Graph, name: str) -> bool:
    """Whether anything asks for a comparison itself, and not for its opposite."""
    readers = [graph.nodes[reader] for reader in graph.readers[name]]
    return name in graph.heads.values() or any(
        _is_spike(graph, each.name) if isinstance(each.op, Identity)
        else not _is_opposite(graph, each, name)
        for each in readers
    )  # fmt: skip


def _is_opposite(graph: Graph, node: Node, test: str) -> bool:
    match _function(node), *node.inputs:
        case ["not", _]:
            return True
        case ["sub", one, of]:
            return of == test and _is(graph, one, 1)
        case ["where", of, zero, one]:
            return of == test and _is(graph, zero, 0) and _is(graph, one, 1)
    return False


def _function(node: Node) -> str:
    return node.op.function if isinstance(node.op, Elementwise) else ""


def _behind_copies(nodes: dict[str, Node], name: str) -> Node:
    while isinstance(nodes[name].op, Identity):
        (name,) = nodes[name].inputs
    return nodes[name]


def _is(graph: Graph, name: str, value: float) -> bool:
    """Whether a node is this number everywhere."""
    op = graph.nodes[name].op
    if not isinstance(op, Constant):
        return False
    number = graph.tensors[op.value] if isinstance(op.value, Ref) else op.value
    return bool(np.all(np.asarray(number) == value))
