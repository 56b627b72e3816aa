"""What happened on a chip, step by step and in all steps together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from snncc.backends.cycle.costs import hop_j, nanoseconds, packet_ns, summed, synapse_ns
from snncc.backends.cycle.kernels import PARTS
from snncc.backends.cycle.wiring import Wiring

Level = Literal["count", "packet"]

SERIES = 1000
"""So many steps, the first of a run, are kept one by one; of all there are totals."""


@dataclass(frozen=True, eq=False)
class Counts:
    """What K cores and P places did; times are nanoseconds, energies joules.

    (…, K) ``packets_out`` and ``packets_in``, ``events`` (synaptic operations), ``active`` (neuron
    updates with something to do) and (…, K, 3) ``hops`` of the packets a core sends, east-west,
    north-south and between chips. (…, P) ``layer_spikes``, ``layer_events`` by the place whose
    neurons they reach, ``layer_active``, ``layer_packets`` and (…, P, 3) ``layer_hops``. Of
    `Steps` the first axis is the step, `Totals` have none.
    """

    wiring: Wiring
    packets_out: np.ndarray
    packets_in: np.ndarray
    events: np.ndarray
    active: np.ndarray
    hops: np.ndarray
    layer_spikes: np.ndarray
    layer_events: np.ndarray
    layer_active: np.ndarray
    layer_packets: np.ndarray
    layer_hops: np.ndarray

    @property
    def rounds(self) -> int:
        """Of how many steps each number is."""
        return 1

    @property
    def inactive(self) -> np.ndarray:
        """(…, K) updates of a neuron at rest."""
        return self.rounds * self.wiring.core_updates - self.active

    @property
    def layer_inactive(self) -> np.ndarray:
        """(…, P) the same by place."""
        return self.rounds * self.wiring.layer_updates - self.layer_active

    @cached_property
    def sending_ns(self) -> np.ndarray:
        """(…, K) what a core's neurons and axon-out take by themselves."""
        ns = packet_ns(self.wiring.chip)
        updates = self.active * ns.active + self.inactive * ns.inactive
        return updates + self.packets_out * ns.axon_out

    @cached_property
    def receiving_ns(self) -> np.ndarray:
        """(…, K) what a core's axon-in and synapses take by themselves."""
        axon_in = packet_ns(self.wiring.chip).axon_in
        return self.packets_in * axon_in + self.events * synapse_ns(self.wiring.chip)

    @cached_property
    def layer_ns(self) -> np.ndarray:
        """(…, P) what the cores work for each place, added up over cores: updates and synapses of
        its neurons, and the way of the packets they send."""
        ns = packet_ns(self.wiring.chip)
        return (
            self.layer_active * ns.active
            + self.layer_inactive * ns.inactive
            + self.layer_events * synapse_ns(self.wiring.chip)
            + self.layer_packets * (ns.axon_out + ns.axon_in)
        )

    @cached_property
    def core_j(self) -> np.ndarray:
        """(…, K) of what happens in each core and of the hops of the packets it sends."""
        chip = self.wiring.chip
        return (
            self.active * chip.neuron_active_j
            + self.inactive * chip.neuron_inactive_j
            + self.events * chip.synapse_j
            + self.packets_out * chip.axon_out_j
            + self.packets_in * (chip.tile_j + chip.axon_in_j)
            + (self.hops * hop_j(chip)).sum(-1)
        )

    @cached_property
    def layer_j(self) -> np.ndarray:
        """(…, P) by place: its neurons, the synapses that reach them, the packets they send."""
        chip = self.wiring.chip
        return (
            self.layer_active * chip.neuron_active_j
            + self.layer_inactive * chip.neuron_inactive_j
            + self.layer_events * chip.synapse_j
            + self.layer_packets * (chip.axon_out_j + chip.tile_j + chip.axon_in_j)
            + (self.layer_hops * hop_j(chip)).sum(-1)
        )


COUNTS = tuple(f.name for f in fields(Counts) if f.name != "wiring")


@dataclass(frozen=True, eq=False)
class Steps(Counts):
    """S steps of a chip, one after another: the first axis.

    At level "packet" also (S, K) ``ends``, when a core is done with its neurons and its packets
    are on their way, ``finish``, when it has worked off what it was sent, and ``waited``, how long
    its packets stood ready; at level "count" these are of no step.
    """

    level: Level
    ends: np.ndarray
    finish: np.ndarray
    waited: np.ndarray

    def __len__(self) -> int:
        return len(self.packets_out)

    def first(self, steps: int) -> Self:
        """The first ``steps`` of them."""
        return replace(self, **{name: getattr(self, name)[:steps] for name in TABLES})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One run of steps after another, of one or more."""
        columns = {name: [getattr(part, name) for part in parts] for name in TABLES}
        whole: dict[str, Any] = {name: np.concatenate(column) for name, column in columns.items()}
        return replace(parts[0], **whole)

    @cached_property
    def busy_ns(self) -> np.ndarray:
        """(S, K) what the busier side of each core takes by itself."""
        return np.maximum(self.sending_ns, self.receiving_ns)

    @cached_property
    def core_ns(self) -> np.ndarray:
        """(S, K) when each core has done its part of a step; at level "count" its busier side."""
        return self.busy_ns if self.level == "count" else np.maximum(self.ends, self.finish)

    @cached_property
    def time_ns(self) -> np.ndarray:
        """(S,) every step, its barrier included."""
        return self._step(self.core_ns)

    @cached_property
    def count_ns(self) -> np.ndarray:
        """(S,) the same at level "count": no step is shorter."""
        return self._step(self.busy_ns)

    @property
    def critical(self) -> np.ndarray:
        """(S,) the core that every step waits for, 0 … K − 1."""
        return self.core_ns.argmax(1)

    @property
    def critical_core(self) -> np.ndarray:
        """(S,) its physical number."""
        return self.wiring.cores[self.critical]

    def _step(self, core_ns: np.ndarray) -> np.ndarray:
        chip = self.wiring.chip
        barrier, shortest = nanoseconds(np.array([self.wiring.barrier_s, chip.step_s]))
        return np.maximum(core_ns.max(1, initial=0) + barrier, shortest)


TABLES = (*COUNTS, "ends", "finish", "waited")


@dataclass(frozen=True, eq=False)
class Totals(Counts):
    """All ``steps`` of a run together, to the last bit the same however they were divided.

    ``group_spikes`` (G,) is how often each group was sent, ``critical`` (K,) in how many steps
    each core was the one waited for. Times are Python's integers, in `PARTS` of a nanosecond:
    ``time`` of all steps and ``count_time`` at level "count", (K,) ``busy``, the busier side of
    each core step by step, and, at level "packet", (K,) ``waited``, (L,) ``link_waited``, how long
    packets stood before a link and behind it, ``latency`` of all packets from ready to worked off.
    ``longest_ns`` is that of the slowest.
    """

    steps: int
    group_spikes: np.ndarray
    critical: np.ndarray
    time: int
    count_time: int
    busy: np.ndarray
    waited: np.ndarray
    link_waited: np.ndarray
    latency: int
    longest_ns: float

    @classmethod
    def of(
        cls, steps: Steps, group_spikes: np.ndarray, link_waited: np.ndarray, latency: int,
        longest_ns: float,
    ) -> Self:  # fmt: skip
        """Those of ``steps``, with what is not kept step by step."""
        return cls(
            steps.wiring, **{name: getattr(steps, name).sum(0) for name in COUNTS},
            steps=len(steps), group_spikes=group_spikes,
            critical=np.bincount(steps.critical, minlength=len(steps.wiring.cores)),
            time=int(summed(steps.time_ns)), count_time=int(summed(steps.count_ns)),
            busy=summed(steps.busy_ns), waited=summed(steps.waited), link_waited=link_waited,
            latency=latency, longest_ns=longest_ns,
        )  # fmt: skip

    def __add__(self, more: Self) -> Self:
        """These steps and ``more``."""
        sums = {name: getattr(self, name) + getattr(more, name) for name in SUMS}
        return replace(self, **sums, longest_ns=max(self.longest_ns, more.longest_ns))

    @property
    def rounds(self) -> int:
        """Of how many steps each number is."""
        return self.steps

    @property
    def time_ns(self) -> float:
        """All steps."""
        return self.time / PARTS

    @property
    def count_ns(self) -> float:
        """The same at level "count"."""
        return self.count_time / PARTS

    @property
    def busy_ns(self) -> np.ndarray:
        """(K,) the busier side of each core, step by step."""
        return (self.busy / PARTS).astype(float)

    @property
    def waited_ns(self) -> np.ndarray:
        """(K,) how long the packets of each core stood ready."""
        return (self.waited / PARTS).astype(float)

    @property
    def link_waited_ns(self) -> np.ndarray:
        """(L,) how long packets stood before each link and behind it."""
        return (self.link_waited / PARTS).astype(float)

    @property
    def latency_ns(self) -> float:
        """All packets, each from ready to worked off."""
        return self.latency / PARTS

    @cached_property
    def link_packets(self) -> np.ndarray:
        """(L,) packets over each link, from how often each group was sent."""
        w = self.wiring
        per_path = np.zeros(len(w.paths.start) - 1, np.int64)
        times = np.repeat(self.group_spikes, np.diff(w.groups.packet_start))
        np.add.at(per_path, w.paths.of, times)
        packets = np.zeros(w.mesh.links, np.int64)
        np.add.at(packets, w.paths.links, np.repeat(per_path, np.diff(w.paths.start)))
        return packets


SUMS = tuple(f.name for f in fields(Totals) if f.name not in ("wiring", "longest_ns"))
