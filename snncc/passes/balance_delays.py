"""balance-delays: every spike takes one step, and what arrives together belongs together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from snncc.diagnostics import Finding, Location
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Readout,
)
from snncc.ir.ops import Op, Scale
from snncc.ir.registers import FixedNeuron, copier, finest
from snncc.ir.stages import Scheduled
from snncc.mapping.levels import cheapest, earliest, held_back, long_loop, waiting
from snncc.mapping.reports import Schedule
from snncc.options import Options
from snncc.passes.base import Outcome, Pass, refused
from snncc.reports import Report
from snncc.targets import Target

Copier = tuple[Neuron | FixedNeuron, tuple[Op, ...]]
"""A memoryless neuron that fires when its one input does, and the map of that input."""


@dataclass(frozen=True)
class BalanceDelays(Pass[Network, Scheduled]):
    """Level the places and hold back the spikes that would arrive early (design, section 3).

    Hardware delivers a spike one step after it was sent.

    1. The level of a place is the step at which it answers step 0 of the input. What the host
       sends is at level 0, and it sends it when it is needed: once for each level at which it is
       read, so that sources and encoders wait for nothing.
    2. The span of a projection is ``levels[target] + delay − levels[source]``, its ``delay`` being
       the steps that its spikes are late in the trained network. Levels let each span at least 1
       step and, of all such levels, hold back the fewest spikes (``mapping.levels``).
    3. A span above 1 + ``delays`` starts at a relay instead: a memoryless copy of its source. Each
       source has one chain of relays, ``<source>@+K`` at K steps behind it, 1 + ``delays`` steps
       apart, as long as its farthest reader needs, shared by all its readers.
    4. What is left of a span above 1 is for the target to wait, up to ``delays`` steps more.
    5. A readout waits on the host: it may hear of a step in parts, each when it comes.

    With ``delays`` 0 no levels need fewer relay neurons. With more they are those that hold back
    least, and others may need fewer relays: only where there are none is that the optimum.

    Spikes are preserved, shifted by the level; relays repeat what their source said. Where a
    projection has a delay d, samples are to be d steps apart (``Network.idle_steps``).

    Refuses a loop with more hops than its delays have steps (SNN211) and more than ``limit`` relay
    neurons (SNN212). Notes relays (SNN503) and delays (SNN507), and warns when relays outnumber all
    other neurons (SNN505).
    """

    name: ClassVar[str] = "balance-delays"
    summary: ClassVar[str] = "Gives every population a time step; early spikes wait."
    reports: ClassVar[type[Report]] = Schedule
    delays: int = 0
    """The longest delay of a projection on the target, beyond the one step."""
    limit: int = 100_000_000
    """As many neurons as the largest machine of Loihi chips has (Pohoiki Springs, 768 chips)."""

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(delays=0 if options.stock_only else target.delays)

    def __call__(self, form: Network) -> Outcome[Scheduled]:
        if loop := long_loop(form):
            return refused([_too_long(form, loop)], form)
        levels = cheapest(form)  # rules 1 and 2
        wait, stride = waiting(form, levels), 1 + self.delays
        count = {name: steps // stride for name, steps in wait.items()}
        if problem := self._too_many(form, count, wait):
            return refused([problem], form)
        places: list[Place] = []
        projections: list[Projection] = []
        relays: list[Population] = []
        at = dict(levels)
        neuron, synapse = _copier(form)
        for name, place in form.places.items():
            places.append(place)
            stages = [name]
            if isinstance(place, Population):
                chain = [
                    _relay(place, neuron, k * stride) for k in range(1, count[name] + 1)
                ]  # rule 3
                stages += [relay.name for relay in chain]
                places += chain
                relays += chain
                at |= {each: levels[name] + k * stride for k, each in enumerate(stages)}
                projections += [Projection(a, b, synapse) for a, b in itertools.pairwise(stages)]
            for p in form.outgoing[name]:
                held = isinstance(place, Population) and not _is_readout(form, p)  # rules 1 and 5
                steps = levels[p.target] + p.delay - levels[name] - 1 if held else 0
                projections.append(replace(p, source=stages[steps // stride]))
        network = Scheduled.of(form.with_changes(places, projections), at)
        findings = _notes(form, network, relays, self.delays)
        return Outcome(network, tuple(findings), _report(form, network, relays, levels))

    def _too_many(
        self, network: Network, count: Mapping[str, int], wait: Mapping[str, int]
    ) -> Finding | None:
        cost = {place.name: math.prod(place.shape) * count[place.name]
                for place in network.populations}  # fmt: skip
        total = sum(cost.values())
        if total <= self.limit:
            return None
        worst = max(cost, key=lambda name: cost[name])
        message = (
            f"{total:,} relay neurons would serve {_neurons(network):,} others, "
            f"{cost[worst]:,} of them {worst}, whose spikes wait {_steps(wait[worst])}; the limit "
            f"is {self.limit:,}, and with projection delays of {_steps(max(wait.values()))}, "
            f"{self.delays} now, there would be none"
        )
        return Finding("SNN212", message, _origin(network, worst), worst)


def _is_readout(network: Network, p: Projection) -> bool:
    return isinstance(network.places[p.target], Readout)


def _copier(network: Network) -> Copier:
    if not network.is_fixed:
        return Neuron(decay=0.0, threshold=1.0), ()
    spikes = [
        p for p in network.projections if not isinstance(network.places[p.source], Encoder)
    ]  # what comes from the host goes through no synapse
    weight = finest((op for p in spikes for op in p.map), network.tensors)
    return copier(weight), (Scale(float(weight)),)


def _relay(place: Population, neuron: Neuron | FixedNeuron, steps: int) -> Population:
    stands_for = place.stands_for or place.name
    return Population(
        f"{place.name}@+{steps}", place.shape, neuron, "relay", stands_for, place.origin
    )


def _too_long(network: Network, loop: tuple[Projection, ...]) -> Finding:
    way = " -> ".join([*(p.source for p in loop), loop[-1].target])
    delay = sum(p.delay for p in loop)
    message = (
        f"the loop {way} takes {len(loop)} hops, a step each, and what it brings back is "
        f"{_steps(delay)} old"
    )
    return Finding("SNN211", message, _origin(network, loop[0].source), loop[0].source)


def _steps(number: int) -> str:
    return f"{number} step{'s' * (number != 1)}"


def _origin(network: Network, name: str) -> Location:
    place = network.places[name]
    return place.origin if isinstance(place, Population) else Location()


def _size(place: Place) -> int:
    return math.prod(place.shape)


def _neurons(network: Network) -> int:
    return sum(_size(place) for place in network.populations if place.role != "relay")


def _late(network: Scheduled) -> dict[str, int]:
    """The steps that spikes of each population wait beyond their first, without relays."""
    return {name: steps for name, steps in waiting(network, network.levels).items() if steps}


def _notes(
    before: Network, after: Scheduled, relays: list[Population], delays: int
) -> Iterator[Finding]:
    late = _late(after)
    if late:
        longest = max(late, key=lambda name: late[name])
        message = (
            f"the spikes of {len(late)} population{'s' if len(late) > 1 else ''} are delivered "
            f"late, those of {longest} by up to {_steps(late[longest])}"
        )
        yield Finding("SNN507", message, _origin(after, longest), longest)
    if not relays:
        return
    relayed, neurons = sum(map(_size, relays)), _neurons(before)
    cost: dict[str, int] = {}
    for relay in relays:
        source = relay.name.rpartition("@+")[0]
        cost[source] = cost.get(source, 0) + _size(relay)
    longest = max(cost, key=lambda name: cost[name])
    where = _origin(after, longest)
    message = (
        f"{len(relays)} relay populations with {relayed:,} neurons hold back the spikes of "
        f"{len(cost)} place{'s' if len(cost) > 1 else ''}, {cost[longest]:,} of them those of "
        f"{longest}"
    )
    yield Finding("SNN503", message, where, longest)
    if relayed > neurons:
        least = max(waiting(before, after.levels).values())
        message = (
            f"{relayed:,} relay neurons serve {neurons:,} others; with projection delays of "
            f"{_steps(least)}, {delays} now, there would be none"
        )
        yield Finding("SNN505", message, where, longest)


def _report(
    before: Network, after: Scheduled, relays: list[Population], levels: Mapping[str, int]
) -> Schedule:
    late = _late(after)
    steps = before.time_steps
    return Schedule(
        latency=max(levels.values(), default=0),
        idle_steps=after.idle_steps,
        steps_a_sample=None if steps is None else steps + after.idle_steps,
        relay_populations=len(relays),
        relay_neurons=sum(map(_size, relays)),
        other_neurons=_neurons(before),
        delayed_populations=len(late),
        delayed_neuron_steps=sum(_size(after.places[name]) * n for name, n in late.items()),
        neuron_steps_held_back=held_back(before, levels),
        neuron_steps_held_back_by_the_longest_path=held_back(before, earliest(before)),
    )
