"""select-head: Graph → Graph, bit for bit. The chosen head comes first.

1. a head given by index or name is taken
2. else the only head that is spike-only up to its readout
3. else, when an auxiliary path leaks into the spike path, the edges it leaks by are the findings,
   with what else is wrong in the spike path alone
4. else, with several heads, the user must choose, and hears what is wrong with each where all are;
   with one, the check says what is wrong with it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph
from snncc.passes.base import Form, Outcome, Pass
from snncc.passes.leaks import beside_leaks, leaks
from snncc.passes.regions import Lowering


@dataclass(frozen=True)
class SelectHead(Pass):
    """``head``: index or name of an output of the network; empty for the automatic choice."""

    name: ClassVar[str] = "select-head"
    reads: ClassVar[type[Form]] = Graph
    writes: ClassVar[type[Form]] = Graph

    head: str = ""

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Graph)
        names = list(form.heads)
        if self.head:
            named = self.head in names
            numbered = self.head.isdigit() and int(self.head) < len(names)
            if not named and not numbered:
                listed = ", ".join(names)
                message = f"there is no head {self.head!r}; the network has {listed}"
                return Outcome(form, (Finding("SNN313", message),))
            chosen = self.head if named else names[int(self.head)]
            return _first(form, chosen, f"head {chosen} was asked for")  # rule 1
        if len(names) == 1:
            return _first(form, names[0], "")
        lowered = {name: Lowering(single(form, name)) for name in names}
        good = [name for name, lowering in lowered.items() if lowering.network is not None]
        if len(good) == 1:  # rule 2
            others = [
                f"{name} is not ({next(f for f in lowering.findings if f.is_error).code})"
                for name, lowering in lowered.items()
                if name != good[0]
            ]
            why = f"head {good[0]} is spike-only up to its readout, {', '.join(others)}"
            return _first(form, good[0], why)
        leaked = {name: leaks(form, name) for name in names}
        if any(leaked.values()) and not good:  # rule 3
            edges = {f.message: f for found in leaked.values() for f in found}
            own = [f for name in names if leaked[name] for f in beside_leaks(form, name)]
            return Outcome(form, (*edges.values(), *own))
        state = "all are" if good else "none is"  # rule 4
        message = f"the network has the heads {', '.join(names)}, and {state} spike-only"
        node = form.nodes[form.heads[names[0]]]
        found = [f for each in lowered.values() for f in each.findings if f.is_error]
        reasons = () if good else dict.fromkeys(found)
        return Outcome(form, (Finding("SNN403", message, node.origin, node.name), *reasons))


def single(graph: Graph, head: str) -> Graph:
    """The backward slice of one head."""
    return graph.keep(graph.ancestors(graph.heads[head]), {head: graph.heads[head]})


def _first(graph: Graph, head: str, why: str) -> Outcome:
    heads = {head: graph.heads[head]} | dict(graph.heads)
    chosen = graph.keep(graph.nodes, heads)
    node = graph.nodes[graph.heads[head]]
    findings = (Finding("SNN504", why, node.origin, node.name),) if why else ()
    return Outcome(chosen, findings, {"head": head})
