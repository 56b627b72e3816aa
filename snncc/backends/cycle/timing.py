"""What a replay says: time and energy by step, core, place and link."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from snncc.backends.cycle.replay import Level, Spikes, Steps, link_kinds, replay
from snncc.backends.cycle.wiring import Wiring

DIRECTIONS = ("east", "west", "north", "south")


@dataclass(frozen=True, eq=False)
class Timing:
    """A mapped network on a chip over S steps; K cores in use, P places, L links.

    Times are nanoseconds, energies joules. ``steps`` holds the counts. What is assumed stands in
    `snncc.backends.cycle`.
    """

    wiring: Wiring
    level: Level
    samples: int
    steps: Steps

    # -- time ----------------------------------------------------------------------------------

    @cached_property
    def sending_ns(self) -> np.ndarray:
        """(S, K) what a core's neurons and axon-out take by themselves."""
        chip, steps = self.wiring.chip, self.steps
        updates = steps.active * chip.neuron_active_s + self._inactive * chip.neuron_inactive_s
        return (updates + steps.packets_out * chip.axon_out_s) * 1e9

    @cached_property
    def receiving_ns(self) -> np.ndarray:
        """(S, K) what a core's axon-in and synapses take by themselves."""
        chip, steps = self.wiring.chip, self.steps
        port = chip.tile_s + chip.axon_in_s
        return (steps.packets_in * port + steps.events * chip.synapse_s) * 1e9

    @cached_property
    def core_ns(self) -> np.ndarray:
        """(S, K) when each core has done its part of a step; at level "count" its busier side."""
        if self.level == "count":
            return np.maximum(self.sending_ns, self.receiving_ns)
        return np.maximum(self.steps.ends, self.steps.finish)

    @cached_property
    def step_ns(self) -> np.ndarray:
        """(S,) every step, its barrier included."""
        return self._step(self.core_ns)

    @cached_property
    def count_ns(self) -> np.ndarray:
        """(S,) the same at level "count": no step is shorter."""
        return self._step(np.maximum(self.sending_ns, self.receiving_ns))

    @property
    def time_ns(self) -> float:
        """All steps."""
        return float(self.step_ns.sum())

    @property
    def latency_ns(self) -> float:
        """One sample from its first step to its last answer, at the mean length of a step."""
        if not len(self.step_ns):
            return 0.0
        return float(self.step_ns.mean() * (self.steps_per_sample + self.wiring.lag))

    @property
    def steps_per_sample(self) -> float:
        return (len(self.step_ns) - self.wiring.lag) / self.samples

    @cached_property
    def critical_core(self) -> np.ndarray:
        """(S,) the physical core that every step waits for."""
        return self.wiring.cores[self.core_ns.argmax(1)]

    @cached_property
    def utilisation(self) -> np.ndarray:
        """(K,) the share of the time in which a core's busier side works."""
        busy = np.maximum(self.sending_ns, self.receiving_ns).sum(0)
        return busy / max(self.time_ns, 1e-300)

    @cached_property
    def link_utilisation(self) -> np.ndarray:
        """(L,) the share of what each link could carry in the time."""
        capacity = self.wiring.chip.link_spikes_s * self.time_ns * 1e-9
        return self.steps.link_packets / max(capacity, 1e-300)

    @cached_property
    def layer_ns(self) -> np.ndarray:
        """(S, P) what the cores work for each place, added up over cores: updates and synapses of
        its neurons, and the way of the packets they send."""
        chip, steps = self.wiring.chip, self.steps
        return 1e9 * (
            steps.layer_active * chip.neuron_active_s
            + (self._layer_updates - steps.layer_active) * chip.neuron_inactive_s
            + steps.layer_events * chip.synapse_s
            + steps.layer_packets * (chip.axon_out_s + chip.tile_s + chip.axon_in_s)
        )

    # -- energy --------------------------------------------------------------------------------

    @cached_property
    def core_j(self) -> np.ndarray:
        """(S, K) of what happens in each core and of the hops of the packets it sends."""
        chip, steps = self.wiring.chip, self.steps
        return (
            steps.active * chip.neuron_active_j
            + self._inactive * chip.neuron_inactive_j
            + steps.events * chip.synapse_j
            + steps.packets_out * chip.axon_out_j
            + steps.packets_in * (chip.tile_j + chip.axon_in_j)
            + steps.hops @ self._hop_j
        )

    @cached_property
    def layer_j(self) -> np.ndarray:
        """(S, P) by place: its neurons, the synapses that reach them, the packets they send."""
        chip, steps = self.wiring.chip, self.steps
        return (
            steps.layer_active * chip.neuron_active_j
            + (self._layer_updates - steps.layer_active) * chip.neuron_inactive_j
            + steps.layer_events * chip.synapse_j
            + steps.layer_packets * (chip.axon_out_j + chip.tile_j + chip.axon_in_j)
            + steps.layer_hops @ self._hop_j
        )

    @cached_property
    def link_j(self) -> np.ndarray:
        """(L,) of the packets over each link."""
        return self.steps.link_packets * self._hop_j[link_kinds(self.wiring)]

    @cached_property
    def parts_j(self) -> dict[str, float]:
        """The energy by what it is spent on."""
        chip, steps = self.wiring.chip, self.steps
        return {
            "synapses": float(steps.events.sum() * chip.synapse_j),
            "neurons": float(steps.active.sum() * chip.neuron_active_j)
            + float(self._inactive.sum() * chip.neuron_inactive_j),
            "axons": float(steps.packets_out.sum() * (chip.axon_out_j + chip.axon_in_j)),
            "network": float(steps.packets_out.sum() * chip.tile_j)
            + float((steps.hops @ self._hop_j).sum()),
        }

    @property
    def energy_j(self) -> float:
        """All that happens; what the chips draw doing nothing is ``static_j``."""
        return float(self.core_j.sum())

    @property
    def static_j(self) -> float:
        """What the chips draw by being on, over the whole time."""
        return self.wiring.chip.static_w * self.wiring.chips * self.time_ns * 1e-9

    # -- forms ---------------------------------------------------------------------------------

    @property
    def link_names(self) -> list[str]:
        """Each link by column and row of the tile it leaves, and direction."""
        columns = self.wiring.mesh.columns
        return [
            f"{link // 4 % columns},{link // 4 // columns} {DIRECTIONS[link % 4]}"
            for link in range(self.wiring.mesh.links)
        ]

    def as_dict(self) -> dict[str, Any]:
        """The totals, the tables of cores, places and links, as plain values for JSON."""
        w, steps = self.wiring, self.steps
        column, row = w.mesh.position(w.cores)
        critical = {
            int(c): int(n)
            for c, n in zip(*np.unique(self.critical_core, return_counts=True), strict=True)
        }
        used = np.flatnonzero(steps.link_packets)
        packets = int(steps.packets_out.sum())
        totals = {
            "time_ns": self.time_ns, "count_level_time_ns": float(self.count_ns.sum()),
            "barrier_ns": w.barrier_s * 1e9 * len(self.step_ns),
            "latency_ns": self.latency_ns, "energy_j": self.energy_j, "static_j": self.static_j,
            "energy_parts_j": self.parts_j, "packets": packets,
            "hops": int(steps.hops.sum()), "synaptic_events": int(steps.events.sum()),
            "spikes": int(steps.layer_spikes.sum()),
        }  # fmt: skip
        if self.level == "packet":
            totals["packet_mean_ns"] = float(steps.latency[0] / max(packets, 1))
            totals["packet_longest_ns"] = float(steps.latency[1])
            totals["waited_ns"] = float(steps.waited.sum())
        step = {
            "time_ns": self.step_ns.tolist(),
            "count_level_time_ns": self.count_ns.tolist(),
            "energy_j": self.core_j.sum(1).tolist(),
            "critical_core": self.critical_core.tolist(),
        }
        return {
            "chip": w.chip.name, "chips": w.chips, "level": self.level, "samples": self.samples,
            "steps": len(self.step_ns), "steps_per_sample": self.steps_per_sample, "lag": w.lag,
            "total": totals, "step": step,
            "cores": [
                {"core": int(core), "tile_column": int(column[k]), "tile_row": int(row[k]),
                 "utilisation": float(self.utilisation[k]),
                 "energy_j": float(self.core_j[:, k].sum()),
                 "sending_ns": float(self.sending_ns[:, k].sum()),
                 "receiving_ns": float(self.receiving_ns[:, k].sum()),
                 "packets_out": int(steps.packets_out[:, k].sum()),
                 "packets_in": int(steps.packets_in[:, k].sum()),
                 "synaptic_events": int(steps.events[:, k].sum()),
                 "critical_steps": critical.get(int(core), 0)}
                for k, core in enumerate(w.cores)
            ],
            "places": [
                {"name": place.name, "kind": place.kind, "neurons": int(np.prod(place.shape)),
                 "work_ns": float(self.layer_ns[:, p].sum()),
                 "energy_j": float(self.layer_j[:, p].sum()),
                 "spikes": int(steps.layer_spikes[:, p].sum()),
                 "packets": int(steps.layer_packets[:, p].sum()),
                 "hops": int(steps.layer_hops[:, p].sum()),
                 "synaptic_events": int(steps.layer_events[:, p].sum())}
                for p, place in enumerate(w.places)
            ],
            "links": [
                {"link": self.link_names[i], "packets": int(steps.link_packets[i]),
                 "utilisation": float(self.link_utilisation[i]), "energy_j": float(self.link_j[i]),
                 "waited_ns": float(steps.link_waited[i])}
                for i in used.tolist()
            ],
        }  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Write ``path``: .json has `as_dict`, .npz also every table step by step."""
        path = Path(path)
        if path.suffix == ".json":
            path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")
            return
        arrays = {name: getattr(self.steps, name) for name in Steps.__dataclass_fields__}
        more = ("step_ns", "count_ns", "core_ns", "core_j", "layer_ns", "layer_j", "link_j",
                "critical_core", "utilisation", "link_utilisation")  # fmt: skip
        arrays |= {name: getattr(self, name) for name in more}
        places = np.array([place.name for place in self.wiring.places])
        with path.open("wb") as file:
            np.savez_compressed(
                file, cores=self.wiring.cores, places=places, links=np.array(self.link_names),
                about=np.array(json.dumps(self.as_dict())), **arrays,
            )  # fmt: skip

    # -- parts ---------------------------------------------------------------------------------

    def _step(self, core_ns: np.ndarray) -> np.ndarray:
        shortest = self.wiring.chip.step_s * 1e9
        return np.maximum(core_ns.max(1, initial=0) + self.wiring.barrier_s * 1e9, shortest)

    @cached_property
    def _inactive(self) -> np.ndarray:
        w = self.wiring
        neurons = np.bincount(w.core[w.updated], minlength=len(w.cores))
        return neurons - self.steps.active

    @property
    def _layer_updates(self) -> np.ndarray:
        return np.array([
            int(np.prod(place.shape)) if place.updates else 0 for place in self.wiring.places
        ])  # fmt: skip

    @property
    def _hop_j(self) -> np.ndarray:
        chip = self.wiring.chip
        return np.array([chip.hop_ew_j, chip.hop_ns_j, chip.hop_chip_j])


def measure(
    wiring: Wiring, chunks: Iterable[Spikes], level: Level = "packet", workers: int = 1
) -> Timing:
    """Replay the spikes of ``chunks``, (T, N, *shape) by place, and say what it took.

    Raises SnnccError (SNN312) for an event of a count above 127.
    """
    samples = 0

    def counted() -> Iterable[Spikes]:
        nonlocal samples
        for chunk in chunks:
            samples += next(iter(chunk.values())).shape[1]
            yield chunk

    steps = replay(wiring, counted(), level, workers)
    return Timing(wiring, level, samples, steps)
