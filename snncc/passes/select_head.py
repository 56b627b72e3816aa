"""select-head: Graph → Graph, bit for bit. The chosen head comes first.

1. a head given by index or name is taken
2. else the only head that is spike-only up to its readout
3. else, when an auxiliary path leaks into the spike path, the edges it leaks by are the findings,
   with what else is wrong in the spike path alone
4. else, with several spike-only heads, the user must choose
5. else what is wrong is said, first of all heads and then of each; which of them is to be mended is
   for the user to say where nothing is wrong with all
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph
from snncc.lowering.leaks import beside_leaks, leaks
from snncc.lowering.lower import Lowered, lower
from snncc.options import Options
from snncc.passes.base import Outcome, Pass, refused
from snncc.reports import Report
from snncc.targets import Target


@dataclass(frozen=True)
class Chosen(Report):
    """The name of the output that is kept."""

    head: str


@dataclass(frozen=True)
class SelectHead(Pass[Graph, Graph]):
    """``head``: index or name of an output of the network; empty for the automatic choice."""

    name: ClassVar[str] = "select-head"
    summary: ClassVar[str] = "Chooses the output that is kept."
    reports: ClassVar[type[Report]] = Chosen

    head: str = ""

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(head=options.head or "")

    def __call__(self, form: Graph) -> Outcome[Graph]:
        names = list(form.heads)
        if self.head:
            named = self.head in names
            numbered = self.head.isdigit() and int(self.head) < len(names)
            if not named and not numbered:
                listed = ", ".join(names)
                message = f"there is no head {self.head!r}; the network has {listed}"
                return refused([Finding("SNN313", message)])
            chosen = self.head if named else names[int(self.head)]
            return _first(form, chosen, f"head {chosen} was asked for")  # rule 1
        if len(names) == 1:
            return _first(form, names[0], "")
        lowered = {name: lower(form.single(name)) for name in names}
        good = [name for name, each in lowered.items() if each.network is not None]
        if len(good) == 1:  # rule 2
            others = [
                f"{name} is not ({next(f for f in each.findings if f.is_error).code})"
                for name, each in lowered.items()
                if name != good[0]
            ]
            why = f"head {good[0]} is spike-only up to its readout, {', '.join(others)}"
            return _first(form, good[0], why)
        leaked = {name: leaks(form, name) for name in names}
        if any(leaked.values()) and not good:  # rule 3
            edges = {f.message: f for found in leaked.values() for f in found}
            own = [f for name in names if leaked[name] for f in beside_leaks(form, name)]
            return refused([*edges.values(), *own])
        if not good:
            return refused(_wrong(form, lowered))  # rule 5
        message = f"the network has the heads {', '.join(names)}, and more than one is spike-only"
        said = f"{message}: {', '.join(good)}"  # rule 4
        node = form.nodes[form.heads[good[0]]]
        return refused([Finding("SNN403", said, node.origin, node.name)])


def _wrong(graph: Graph, lowered: Mapping[str, Lowered]) -> Iterator[Finding]:
    """What is wrong where no head is spike-only; a head without neurons is none to be mended."""
    found = {name: tuple(f for f in each.findings if f.is_error) for name, each in lowered.items()}
    spiking = {name: each for name, each in found.items() if _codes(each) != {"SNN113"}}
    if not spiking:
        (first, *_), heads = next(iter(found.values())), ", ".join(found)
        said = first.message.partition(":")
        alone = f"none of the heads {heads} depends on a spiking neuron{said[1]}{said[2]}"
        yield replace(first, message=alone)
        return
    every = dict.fromkeys(finding for each in spiking.values() for finding in each)
    common = [f for f in every if all(f in each for each in spiking.values())]
    yield from common
    yield from (finding for finding in every if finding not in common)
    if not common:
        node = graph.nodes[graph.heads[next(iter(spiking))]]
        said_of = ", ".join(f"{name} ({each[0].code})" for name, each in spiking.items())
        message = f"no head of the network is spike-only: {said_of}"
        help = "mend what is said of the head you want, and name it with --head"
        yield Finding("SNN403", message, node.origin, node.name, help)


def _codes(findings: Iterable[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def _first(graph: Graph, head: str, why: str) -> Outcome[Graph]:
    chosen = graph.with_first(head)
    node = graph.nodes[graph.heads[head]]
    findings = (Finding("SNN504", why, node.origin, node.name),) if why else ()
    return Outcome(chosen, findings, Chosen(head))
