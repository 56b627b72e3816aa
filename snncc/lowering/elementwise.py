"""Elementwise groups over spikes: affine parts, one gate, or AND gates and an affine part (2)."""

from __future__ import annotations

import numpy as np

from snncc.ir.elementwise import ACTIVATIONS, COMPARISONS
from snncc.ir.graph import Node
from snncc.ir.inference import CONE_LIMIT, group_leaves
from snncc.ir.ops import Elementwise, Ref, Scale, is_max_pool
from snncc.lowering.combination import Region, Term, accumulate, combine, plus
from snncc.lowering.cones import Affine, Moebius, Threshold, bits, realise, used
from snncc.lowering.draft import Draft
from snncc.lowering.gates import bit, comparison, gate
from snncc.lowering.linear import widened
from snncc.lowering.tables import (
    group_is_nonlinear,
    is_constant,
    is_current,
    is_few,
    is_function_of,
    is_linear_elementwise,
    is_number,
    level_counts,
    table,
    values,
)


def elementwise(draft: Draft, node: Node, op: Elementwise) -> Region:
    """A linear op as it is, a function of few values as gates, a comparison as a neuron."""
    graph = draft.graph
    linear = is_linear_elementwise(graph, node)
    own = tuple(n for n in dict.fromkeys(node.inputs) if not is_number(graph, n))
    leaves = group_leaves(graph, node.name, draft.sets)
    if node.signal.rate == "final" and not linear:
        message = f"`{node.name}` is no sum of what all time steps yield, but a function of it"
        return draft.find("SNN112", node, message)
    for read in (leaves, own):
        if is_few(draft, read) and not np.isfinite(values(draft, node, read)).all():
            message = f"`{node.name}` is infinite or no number for some of what it reads"
            return draft.find("SNN108", node, message)
    if not linear or group_is_nonlinear(graph, node, leaves):
        for read in dict.fromkeys((leaves, own)):
            if is_function_of(draft, node, read):
                return _cone(draft, node, read) if draft.sound(read) else Region({}, broken=True)
    if not draft.sound(own) and (linear or not is_current(graph, own)):
        return Region({}, broken=True)
    if linear:
        return _linear(draft, node, op)
    rounds = is_few(draft, own) and table(draft, node, own) is None
    if op.function in COMPARISONS and draft.sound(own) and not rounds:
        region = comparison(draft, node, op)
        return _refused(draft, node, op, node.inputs) if region is None else region
    return _refused(draft, node, op, leaves)


def _linear(draft: Draft, node: Node, op: Elementwise) -> Region:
    shape = node.signal.shape
    wide = [
        widened(draft.of(name), draft.graph.nodes[name].signal.shape, shape) for name in node.inputs
    ]
    match op.function:
        case "add":
            return plus(wide[0], wide[1], 1.0)
        case "sub":
            return plus(wide[0], wide[1], -1.0)
        case "neg":
            return plus(Region({}), wide[0], -1.0)
    index = 0 if is_constant(draft.graph, node.inputs[0]) else 1
    value, region = wide[index].offset, wide[1 - index]
    assert value is not None
    factor = value if op.function == "mul" else 1 / value
    offset = None if region.offset is None else region.offset * factor
    if factor.numel() == 1:
        terms = {term: c * float(factor) for term, c in region.terms.items()}
        return Region(terms, offset, region.broken)
    name = f"{node.name}.factor"
    full = factor.reshape((1,) * (len(shape) - factor.dim()) + factor.shape)
    draft.tensors[name] = full.numpy()
    scaled: dict[Term, float] = {}
    for (source, chain), coefficient in region.terms.items():
        accumulate(scaled, (source, (*chain, Scale(Ref(name)))), coefficient)
    return Region(scaled, offset, region.broken)


def _cone(draft: Draft, node: Node, leaves: tuple[str, ...]) -> Region:
    levels, rows = level_counts(draft, leaves), table(draft, node, leaves)
    assert rows is not None
    form = realise(rows, levels)
    read = used(form)
    parts = [
        bit(draft, leaves[leaf], j, node.signal.shape) if i in read else Region({})
        for i, (leaf, j) in enumerate(bits(levels))
    ]
    match form:
        case Affine():
            return combine(parts, form.weights, form.constant)
        case Threshold():
            if (form.low, form.high) == (0.0, 1.0):
                return gate(draft, node, node.name, parts, form.weights, form.threshold)
            name = f"{node.name}.gate"
            fires = gate(draft, node, name, parts, form.weights, form.threshold, "")
            return combine([fires], (form.high - form.low,), form.low)
        case Moebius():
            total = combine(parts, form.weights, form.constant)
            for chosen, coefficient in form.products:
                name = f"{node.name}.and{'.'.join(map(str, chosen))}"
                ones = tuple(1 for _ in chosen)
                both = gate(draft, node, name, [parts[i] for i in chosen], ones, len(chosen), "")
                total = plus(total, both, coefficient)
            if node.signal.values.is_spike and _wants_spikes(draft, node):
                return gate(draft, node, node.name, [total], (1,), 1)
            return total


def _wants_spikes(draft: Draft, node: Node) -> bool:
    """Whether one more population is cheaper than its parts at every reader, or needed."""
    readers = [draft.graph.nodes[r] for r in draft.graph.readers[node.name] if r in draft.needed]
    nonlinear = any(isinstance(r.op, Elementwise) or is_max_pool(r.op) for r in readers)
    return nonlinear or len(readers) > 1


def _refused(draft: Draft, node: Node, op: Elementwise, leaves: tuple[str, ...]) -> Region:
    finite = all(draft.sets[leaf].is_finite for leaf in leaves)
    spikes = finite and all(draft.sets[leaf].is_spike for leaf in leaves)
    few = is_few(draft, leaves)
    if spikes and few:
        message = f"`{node.name}` yields numbers too far apart to be added up exactly"
        return draft.find("SNN108", node, message)
    if spikes:
        message = f"{node.name} reads {len(leaves)} spikes at once, more than {CONE_LIMIT}"
        return draft.find("SNN109", node, message)
    factors = [name for name in node.inputs if not is_constant(draft.graph, name)]
    what = node.name if op.function in node.name else f"{node.name} ({op.function})"
    if op.function in ("mul", "div") and len(factors) > 1:
        return draft.find("SNN103", node, f"{what} reads two values that are not spikes")
    if few and table(draft, node, leaves) is None:
        message = f"{what} tells averages apart that differ by rounding alone"
        return draft.find("SNN111", node, message)
    if finite:
        levels = max(level_counts(draft, leaves))
        return draft.find("SNN111", node, f"{what} reads a value with {levels} levels")
    if op.function in ("div", "pow", "square"):
        code = "SNN103"
    else:
        code = "SNN105" if op.function in ACTIVATIONS else "SNN108"
    return draft.find(code, node, f"{what} reads real values")
