"""balance-delays: every projection takes one step, and what arrives together belongs together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from snncc.diagnostics import Finding, Location
from snncc.ir.network import Encoder, Network, Neuron, Place, Population, Projection, Source
from snncc.passes.base import Form, Outcome, Pass

COPY = Neuron(decay=0.0, threshold=1.0)
"""A memoryless neuron that fires when its one input does."""


@dataclass(frozen=True)
class BalanceDelays(Pass):
    """Level the places and put relays where a spike has to wait (design, section 3).

    Hardware delivers a spike one step after it was sent.

    1. The level of a place is the step at which it answers step 0 of the input: 0 for sources,
       encoders and populations that only encoders feed, else one more than the highest level
       among its sources. The currents of an encoder come from the host when they are needed.
    2. A projection from level a to level b > a + 1 starts at a relay instead: a memoryless copy
       of its source at level b − 1. Each source has one chain of relays, ``<source>@+1``,
       ``<source>@+2``, …, as long as its farthest reader needs, shared by all its readers.
    3. A readout is balanced like a population: what it sums in one step belongs to one step.

    Spikes are preserved, shifted by the level; relays repeat what their source said.

    Refuses (SNN202) a projection with a delay of its own and a chain of relays from a source of
    counts. Notes relays (SNN503) and warns when they outnumber all other neurons (SNN505).
    """

    name: ClassVar[str] = "balance-delays"
    reads: ClassVar[type[Form]] = Network
    writes: ClassVar[type[Form]] = Network

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Network)
        levels = _levels(form)  # rules 1 and 3
        problems = (*_delays(form), *_waiting_counts(form, levels))
        if problems:
            return Outcome(form, problems)
        places: list[Place] = []
        projections: list[Projection] = []
        relays: list[Population] = []
        for name, place in form.places.items():
            readers = [p for p in form.outgoing[name] if not isinstance(place, Encoder)]
            depth = max((levels[p.target] - levels[name] - 1 for p in readers), default=0)
            chain = [_relay(place, k) for k in range(1, depth + 1)]  # rule 2
            stages = [name, *(relay.name for relay in chain)]
            places += [place, *chain]
            relays += chain
            levels |= {relay.name: levels[name] + k for k, relay in enumerate(chain, 1)}
            projections += [Projection(a, b) for a, b in itertools.pairwise(stages)]
            for p in form.outgoing[name]:
                start = stages[levels[p.target] - levels[name] - 1] if p in readers else name
                projections.append(replace(p, source=start))
        network = form.with_changes(places, projections, levels=levels)
        return Outcome(network, tuple(_notes(form, relays)), _report(form, network, relays))


def _levels(network: Network) -> dict[str, int]:
    levels: dict[str, int] = {}
    for name in network.places:
        before = [
            levels[p.source]
            for p in network.incoming[name]
            if p.delay == 0 and not isinstance(network.places[p.source], Encoder)
        ]
        levels[name] = 1 + max(before, default=-1)
    return levels


def _relay(place: Place, step: int) -> Population:
    stands_for = place.stands_for if isinstance(place, Population) else place.name
    origin = {"origin": place.origin} if isinstance(place, Population) else {}
    return Population(f"{place.name}@+{step}", place.shape, COPY, "relay", stands_for, **origin)


def _delays(network: Network) -> Iterator[Finding]:
    for p in network.projections:
        if p.delay:
            message = (
                f"the projection {p.source} -> {p.target} has a delay of {p.delay}, and only "
                "projections without one can be balanced"
            )
            yield Finding("SNN202", message, _origin(network, p), p.target)


def _waiting_counts(network: Network, levels: Mapping[str, int]) -> Iterator[Finding]:
    for p in network.projections:
        place, wait = network.places[p.source], levels[p.target] - levels[p.source] - 1
        if isinstance(place, Source) and place.kind == "count" and wait > 0:
            message = (
                f"the counts of {p.source} would have to wait {wait} steps for {p.target}, and "
                "relays copy spikes only"
            )
            help = "feed counts to the first layer only, or make the input binary"
            yield Finding("SNN202", message, _origin(network, p), p.target, help)


def _origin(network: Network, projection: Projection) -> Location:
    target = network.places[projection.target]
    return target.origin if isinstance(target, Population) else Location()


def _neurons(network: Network) -> int:
    return sum(math.prod(p.shape) for p in network.populations if p.role != "relay")


def _notes(network: Network, relays: list[Population]) -> Iterator[Finding]:
    if not relays:
        return
    relayed, neurons = sum(math.prod(relay.shape) for relay in relays), _neurons(network)
    cost: dict[str, int] = {}
    for relay in relays:
        source = relay.name.rpartition("@+")[0]
        cost[source] = cost.get(source, 0) + math.prod(relay.shape)
    longest = max(cost, key=lambda name: cost[name])
    where = next(relay.origin for relay in relays if relay.name.startswith(f"{longest}@+"))
    message = (
        f"{len(relays)} relay populations with {relayed:,} neurons hold back the spikes of "
        f"{len(cost)} place{'s' if len(cost) > 1 else ''}, {cost[longest]:,} of them those of "
        f"{longest}"
    )
    yield Finding("SNN503", message, where, longest)
    if relayed > neurons:
        message = f"{relayed:,} relay neurons serve {neurons:,} others"
        yield Finding("SNN505", message, where, longest)


def _report(before: Network, after: Network, relays: list[Population]) -> dict[str, object]:
    assert after.levels is not None
    return {
        "latency": max(after.levels.values(), default=0),
        "relay populations": len(relays),
        "relay neurons": sum(math.prod(relay.shape) for relay in relays),
        "other neurons": _neurons(before),
    }
