"""strip-aap: Graph → Graph; the chosen head, bit for bit.

1. what the first head does not depend on goes, by data flow and never by name
2. non-interference: no node that goes feeds one that stays (checked edge by edge)
3. an auxiliary value that the first head does depend on is a leak: refused, the edge named, beside
   what else is wrong in the spike path alone
4. one output that merges a spike-only and another branch is cut at the merge only when told to
   (``cut_merge``)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph
from snncc.ir.ops import Constant, Dense, Elementwise, Identity, Norm, Op, OverTime, Ref, Softmax
from snncc.lowering.leaks import beside_leaks, leaks
from snncc.lowering.lower import lower
from snncc.options import Options
from snncc.passes.base import Outcome, Pass, refused
from snncc.reports import Report
from snncc.targets import Target


@dataclass(frozen=True)
class Stripped(Report):
    """The ops and outputs that went, and how many learnt parameters were theirs alone."""

    nodes: tuple[str, ...]
    heads: tuple[str, ...]
    parameters: int


@dataclass(frozen=True)
class StripAap(Pass[Graph, Graph]):
    """``cut_merge``: keep the spike-only branch of a merged output."""

    name: ClassVar[str] = "strip-aap"
    summary: ClassVar[str] = "Removes what the kept output does not depend on."
    reports: ClassVar[type[Report]] = Stripped

    cut_merge: bool = False

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(cut_merge=options.cut_merge)

    def __call__(self, form: Graph) -> Outcome[Graph]:
        head = next(iter(form.heads))
        target = form.heads[head]
        if len(form.heads) == 1 and (merged := _merge(form, target)):  # rule 4
            add, branch = merged
            if not self.cut_merge:
                message = f"head {head} merges a spike-only branch, {branch}, with another at {add}"
                return refused([Finding("SNN402", message, form.nodes[add].origin, add)])
            target = branch
        found = leaks(form, head)  # rule 3
        if found:
            return refused([*found, *beside_leaks(form, head)])
        if target == form.heads[head]:  # rule 1
            kept = form.single(head)
        else:
            kept = form.keep(form.ancestors(target), {head: target})
        removed = [node for node in form.nodes.values() if node.name not in kept.nodes]
        for node in kept.nodes.values():  # rule 2
            assert all(source in kept.nodes for source in node.inputs), node.name
        report = _report(form, kept)
        if not removed:
            return Outcome(kept, report=report)
        message = (
            f"{len(removed)} ops and {report.parameters:,} parameters that head {head} does not "
            f"depend on were stripped; none of them feeds an op that stays"
        )
        first = removed[0]
        return Outcome(kept, (Finding("SNN404", message, first.origin, first.name),), report)


def _report(graph: Graph, kept: Graph) -> Stripped:
    statistics = {ref for n in graph.of_type(Norm) for ref in _statistics(n.op)}
    gone = graph.tensors.keys() - kept.tensors.keys() - statistics
    return Stripped(
        tuple(name for name in graph.nodes if name not in kept.nodes),
        tuple(head for head in graph.heads if head not in kept.heads),
        sum(graph.tensors[name].size for name in gone),
    )


def _statistics(op: Op) -> tuple[Ref, ...]:
    """What a batch norm measured, in contrast to what it learnt."""
    return (op.mean, op.variance) if isinstance(op, Norm) else ()


def _merge(graph: Graph, target: str) -> tuple[str, str] | None:
    """The add at the end of the network that joins one spike-only branch to one that is not."""
    if lower(graph).network is not None:
        return None
    node = graph.nodes[target]
    while True:
        live = [n for n in node.inputs if not isinstance(graph.nodes[n].op, Constant)]
        if (
            isinstance(node.op, Elementwise)
            and node.op.function in ("add", "sub")
            and len(live) == 2
        ):
            break
        through = isinstance(node.op, Elementwise | Identity | OverTime | Dense | Softmax)
        if not through or len(live) != 1:
            return None
        node = graph.nodes[live[0]]
    good = [
        name
        for name in live
        if lower(graph.keep(graph.ancestors(name), {"branch": name})).network is not None
    ]
    return (node.name, good[0]) if len(good) == 1 else None
