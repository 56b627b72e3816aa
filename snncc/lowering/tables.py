"""Groups of elementwise ops: which are linear, and which are functions of a few values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from snncc.ir.graph import Graph, Node
from snncc.ir.inference import CONE_LIMIT, evaluate
from snncc.ir.ops import Concat, Constant, Elementwise, Identity, Ref, is_linear
from snncc.lowering.cones import Table, by_level, gates_of, is_exact, levels_of, realise
from snncc.lowering.draft import Draft
from snncc.lowering.gates import GATE_LIMIT
from snncc.lowering.linear import WEIGHTED

STEP_LIMIT = 4096
"""Maximum number of values of one count that is read as a staircase."""


def is_number(graph: Graph, name: str) -> bool:
    """Whether it is one number."""
    op = graph.nodes[name].op
    return isinstance(op, Constant) and not isinstance(op.value, Ref)


def is_constant(graph: Graph, name: str) -> bool:
    """Whether it is a number or a tensor of numbers."""
    return isinstance(graph.nodes[name].op, Constant)


def is_linear_elementwise(graph: Graph, node: Node) -> bool:
    """Whether it adds, or multiplies by a constant."""
    if not isinstance(node.op, Elementwise):
        return False
    constant = [is_constant(graph, name) for name in node.inputs]
    match node.op.function:
        case "add" | "sub" | "neg":
            return True
        case "mul":
            return any(constant)
        case "div":
            return constant[1]
    return False


def group_is_nonlinear(graph: Graph, node: Node, leaves: tuple[str, ...]) -> bool:
    """Whether an op above the leaves, ``node`` included, is not linear."""
    pending, seen = [node.name], set(leaves)
    while pending:
        inner = graph.nodes[pending.pop()]
        if isinstance(inner.op, Elementwise) and not is_linear_elementwise(graph, inner):
            return True
        for source in inner.inputs:
            if source not in seen and isinstance(graph.nodes[source].op, Elementwise):
                seen.add(source)
                pending.append(source)
    return False


def is_current(graph: Graph, names: tuple[str, ...]) -> bool:
    """Whether a layer with weights made one of these: they stay real, whatever it reads."""
    pending, seen = list(names), set(names)
    while pending:
        node = graph.nodes[pending.pop()]
        if isinstance(node.op, WEIGHTED):
            return True
        through = is_linear(node.op) or isinstance(node.op, Concat | Identity)
        if through or is_linear_elementwise(graph, node):
            pending += [name for name in node.inputs if name not in seen]
            seen.update(node.inputs)
    return False


# -- functions of a few values -------------------------------------------------------------------


def is_few(draft: Draft, leaves: tuple[str, ...]) -> bool:
    """Whether the leaves have so few levels together that a table lists them."""
    if not all(draft.sets[leaf].is_finite for leaf in leaves):
        return False
    limit = STEP_LIMIT if len(leaves) == 1 else 2**CONE_LIMIT
    return math.prod(level_counts(draft, leaves)) <= limit


def level_counts(draft: Draft, leaves: Iterable[str]) -> tuple[int, ...]:
    """How many levels each leaf has."""
    return tuple(len(levels_of(draft.sets[leaf].members or ())) for leaf in leaves)


def values(draft: Draft, node: Node, leaves: tuple[str, ...]) -> np.ndarray:
    """The values of ``node`` for all members of the leaves, which are few."""
    members = [draft.sets[leaf].members or () for leaf in leaves]
    columns = np.array(list(itertools.product(*members)), dtype=np.float64).T
    rows = dict(zip(leaves, columns.reshape(len(leaves), -1), strict=True))
    return evaluate(draft.graph, node.name, rows)


def table(draft: Draft, node: Node, leaves: tuple[str, ...]) -> Table | None:
    """The values of ``node`` for all levels of the leaves; None where it is no function."""
    found = values(draft, node, leaves)
    if not np.isfinite(found).all():
        return None
    return by_level(found, [levels_of(draft.sets[leaf].members or ()) for leaf in leaves])


def is_function_of(draft: Draft, node: Node, leaves: tuple[str, ...]) -> bool:
    """Whether ``node`` is a function of finitely many values that a few gates compute."""
    if not is_few(draft, leaves):
        return False
    levels, rows = level_counts(draft, leaves), table(draft, node, leaves)
    if rows is None:
        return False
    form = realise(rows, levels)
    if not is_exact(form, rows, levels):
        return False
    return max(levels, default=0) <= 2 or gates_of(form) <= GATE_LIMIT
