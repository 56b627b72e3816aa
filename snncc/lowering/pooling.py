"""Max pools on spikes are OR over the window, on counts one OR for each level (rule 3)."""

from __future__ import annotations

from dataclasses import replace

import torch

from snncc.ir.graph import Node
from snncc.ir.ops import AdaptivePool, Pool
from snncc.ir.shapes import has_empty_window
from snncc.lowering.combination import Region, Term, accumulate, plus
from snncc.lowering.cones import levels_of
from snncc.lowering.draft import Draft
from snncc.lowering.gates import GATE_LIMIT, gate, level
from snncc.lowering.linear import offset_through
from snncc.lowering.tables import is_current


def max_pool(draft: Draft, node: Node, op: Pool | AdaptivePool) -> Region:
    """The largest value is the lowest one and, for each level above, a step if any is there."""
    (source,) = node.inputs
    region = draft.of(source)
    members = draft.sets[source].members
    if region.broken and (members or not is_current(draft.graph, (source,))):
        return region
    if members is None:
        return draft.find("SNN104", node, f"{node.name} takes the maximum of currents")
    if isinstance(op, Pool) and has_empty_window(op, draft.graph.nodes[source].signal.shape):
        return draft.find("SNN104", node, f"{node.name} has a window of padding alone")
    if draft.sets[source].is_spike:
        return _any(draft, node, node.name, region, op)
    levels = levels_of(members)
    if len(levels) - 1 > GATE_LIMIT:
        message = f"{node.name} takes the maximum of values with {len(levels)} levels"
        return draft.find("SNN111", node, message)
    total = Region({}, torch.tensor(levels[0][0], dtype=torch.float64))
    for number in range(1, len(levels)):
        reached = level(draft, source, number)
        step = _any(draft, node, f"{node.name}.or{number}", reached, op, "")
        total = plus(total, step, levels[number][0] - levels[number - 1][0])
    return total


def _any(
    draft: Draft, node: Node, name: str, spikes: Region, op: Pool | AdaptivePool,
    stands_for: str | None = None,
) -> Region:  # fmt: skip
    """A gate that fires when a spike is in the window."""
    shape = draft.graph.nodes[node.inputs[0]].signal.shape
    count = replace(op, kind="sum")
    terms: dict[Term, float] = {}
    for (source, chain), coefficient in spikes.terms.items():
        accumulate(terms, (source, (*chain, count)), coefficient)
    offset = offset_through(draft.store, count, spikes.offset, shape)
    return gate(draft, node, name, [Region(terms, offset)], (1,), 1, stands_for)
