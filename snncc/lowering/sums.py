"""What it costs that sums of spikes travel term by term, beside the same network with gates."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph, Node
from snncc.ir.network import Network
from snncc.ir.ops import (
    AdaptivePool,
    Conv,
    ConvTranspose,
    Dense,
    Elementwise,
    Op,
    Pool,
    Reduce,
    Ref,
    Scale,
)  # fmt: skip
from snncc.ir.shapes import Shape
from snncc.ir.synapses import synapses
from snncc.lowering.combination import Region, Term
from snncc.reports import Report

Chain = tuple[Op, ...]

GATHERING = (Conv, ConvTranspose, Dense, Pool, AdaptivePool, Reduce)


@dataclass(frozen=True)
class Cost(Report):
    """Axons are source neurons, once for each map that reads them; synapses are accumulates of a
    step in which every neuron fires."""

    axons: int = 0
    synapses: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.axons + other.axons, self.synapses + other.synapses)


@dataclass(frozen=True)
class CostOfSums(Report):
    """How many sums there are, what they cost as they are, and with gates."""

    sums: int
    term_by_term: Cost
    with_gates: Cost


@dataclass(frozen=True)
class Sums:
    """Sums of spikes that linear maps read, as they are and with a binary gate (such as IAND) in
    the place of each: a population of the sum's size that reads its two arguments."""

    names: tuple[str, ...]
    distributed: Cost
    gated: Cost

    @property
    def report(self) -> CostOfSums:
        return CostOfSums(len(self.names), self.distributed, self.gated)

    def finding(self, node: Node) -> Finding:
        """SNN502 at the first of the sums."""
        many = f"{len(self.names)} sums of spikes go" if len(self.names) > 1 else (
            f"{self.names[0]}, a sum of spikes, goes")  # fmt: skip
        message = (
            f"{many} on term by term: {self.distributed.axons:,} axons and up to "
            f"{self.distributed.synapses:,} AC per step, against {self.gated.axons:,} and "
            f"{self.gated.synapses:,} with a gate for each"
        )
        return Finding("SNN502", message, node.origin, node.name)


def sums_of_spikes(graph: Graph, regions: Mapping[str, Region], network: Network) -> Sums | None:
    """The sums of ``graph`` that ``network`` has term by term; None when there are none.

    ``regions`` says what each value of the Graph is made of. A place reads a sum when the same
    maps, one with weights or a window among them, lead to it from every term.
    """
    tensors = {**graph.tensors, **network.tensors}

    @cache
    def size(chain: Chain, shape: Shape) -> int:
        return synapses(chain, shape, tensors)

    sums = [node for node in graph.nodes.values() if _is_sum(node, regions, network)]
    names: set[str] = set()
    distributed = gated = Cost()
    for wires in network.incoming.values():
        left = {(p.source, _without_coefficient(p.map)) for p in wires}
        for node in reversed(sums):  # the longest first, so that parts of it are not counted again
            terms = list(regions[node.name].terms)
            for rest in _common(terms, left):
                read = {(source, chain + rest) for source, chain in terms}
                left -= read
                names.add(node.name)
                for source, chain in read:
                    shape = network.places[source].shape
                    distributed += Cost(math.prod(shape), size(chain, shape))
                neurons = math.prod(node.signal.shape)
                gated += Cost(neurons, size(rest, node.signal.shape))
    if not names:
        return None
    gates = sum(2 * math.prod(graph.nodes[name].signal.shape) for name in names)
    ordered = tuple(node.name for node in sums if node.name in names)
    return Sums(ordered, distributed, gated + Cost(gates, gates))


def _is_sum(node: Node, regions: Mapping[str, Region], network: Network) -> bool:
    """Whether ``node`` adds spikes, or counts, to more than a spike."""
    if not isinstance(node.op, Elementwise) or node.op.function != "add":
        return False
    region, values = regions.get(node.name), node.signal.values
    if region is None or values.is_spike or not values.is_finite:
        return False
    return len(region.terms) > 1 and all(source in network.places for source, _ in region.terms)


def _without_coefficient(chain: Chain) -> Chain:
    last = chain[-1] if chain else None
    return chain[:-1] if isinstance(last, Scale) and not isinstance(last.factor, Ref) else chain


def _common(terms: list[Term], wires: Collection[Term]) -> set[Chain]:
    """What follows on every term in ``wires``, where it gathers."""
    rests: set[Chain] | None = None
    for source, start in terms:
        follows = {
            chain[len(start) :]
            for other, chain in wires
            if other == source and chain[: len(start)] == start
        }
        rests = follows if rests is None else rests & follows
        if not rests:
            break
    return {rest for rest in rests or () if any(isinstance(op, GATHERING) for op in rest)}
