"""What a replay says: time and energy by step, core, place and link."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from snncc.backends.cycle.costs import hop_j, link_kinds
from snncc.backends.cycle.steps import COUNTS, TABLES, Level, Steps, Totals
from snncc.backends.cycle.wiring import Wiring

DIRECTIONS = ("east", "west", "north", "south")


@dataclass(frozen=True, eq=False)
class Timing:
    """A mapped network on a chip over a run of steps; K cores in use, P places, L links.

    Times are nanoseconds, energies joules. All numbers here and in ``totals`` are of the whole
    run; ``steps`` has the first of them (`snncc.backends.cycle.steps.SERIES`) one by one. What is
    assumed stands in `snncc.backends.cycle`.
    """

    wiring: Wiring
    level: Level
    samples: int
    totals: Totals
    steps: Steps

    # -- time ----------------------------------------------------------------------------------

    @property
    def time_ns(self) -> float:
        """All steps, barriers included."""
        return self.totals.time_ns

    @property
    def count_ns(self) -> float:
        """The same at level "count": no step is shorter."""
        return self.totals.count_ns

    @property
    def mean_step_ns(self) -> float:
        """The mean step."""
        return self.time_ns / max(self.totals.steps, 1)

    @property
    def latency_ns(self) -> float:
        """One sample from its first step to its last answer, at the mean length of a step."""
        return self.mean_step_ns * (self.steps_per_sample + self.wiring.lag)

    @property
    def steps_per_sample(self) -> float:
        return max(self.totals.steps - self.wiring.lag, 0) / max(self.samples, 1)

    @cached_property
    def utilisation(self) -> np.ndarray:
        """(K,) the share of the time in which a core's busier side works."""
        return self.totals.busy_ns / max(self.time_ns, 1e-300)

    @cached_property
    def link_utilisation(self) -> np.ndarray:
        """(L,) the share of what each link could carry in the time."""
        capacity = self.wiring.chip.link_spikes_s * self.time_ns * 1e-9
        return self.totals.link_packets / max(capacity, 1e-300)

    # -- energy --------------------------------------------------------------------------------

    @cached_property
    def link_j(self) -> np.ndarray:
        """(L,) of the packets over each link."""
        return self.totals.link_packets * hop_j(self.wiring.chip)[link_kinds(self.wiring)]

    @cached_property
    def parts_j(self) -> dict[str, float]:
        """The energy by what it is spent on."""
        chip, totals = self.wiring.chip, self.totals
        packets = totals.packets_out.sum()
        return {
            "synapses": float(totals.events.sum() * chip.synapse_j),
            "neurons": float(totals.active.sum() * chip.neuron_active_j)
            + float(totals.inactive.sum() * chip.neuron_inactive_j),
            "axons": float(packets * (chip.axon_out_j + chip.axon_in_j)),
            "network": float(packets * chip.tile_j)
            + float((totals.hops.sum(0) * hop_j(chip)).sum()),
        }

    @property
    def energy_j(self) -> float:
        """All that happens; what the chips draw doing nothing is ``static_j``."""
        return float(self.totals.core_j.sum())

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
        """The totals, the tables of cores, places and links, as plain values for JSON.

        ``step`` has the first ``steps_shown`` of all ``steps``, everything else is of all.
        """
        w, totals, steps = self.wiring, self.totals, self.steps
        column, row = w.mesh.position(w.cores)
        used = np.flatnonzero(totals.link_packets)
        link_waited_ns = totals.link_waited_ns
        step = {
            "time_ns": steps.time_ns.tolist(),
            "count_level_time_ns": steps.count_ns.tolist(),
            "energy_j": steps.core_j.sum(1).tolist(),
            "critical_core": steps.critical_core.tolist(),
        }
        return {
            "chip": w.chip.name, "chips": w.chips, "level": self.level, "samples": self.samples,
            "steps": totals.steps, "steps_per_sample": self.steps_per_sample, "lag": w.lag,
            "total": self._total(), "steps_shown": len(steps), "step": step,
            "cores": [
                {"core": int(core), "tile_column": int(column[k]), "tile_row": int(row[k]),
                 "utilisation": float(self.utilisation[k]),
                 "energy_j": float(totals.core_j[k]),
                 "sending_ns": float(totals.sending_ns[k]),
                 "receiving_ns": float(totals.receiving_ns[k]),
                 "packets_out": int(totals.packets_out[k]),
                 "packets_in": int(totals.packets_in[k]),
                 "synaptic_events": int(totals.events[k]),
                 "critical_steps": int(totals.critical[k])}
                for k, core in enumerate(w.cores)
            ],
            "places": [
                {"name": place.name, "kind": place.kind, "neurons": int(np.prod(place.shape)),
                 "work_ns": float(totals.layer_ns[p]),
                 "energy_j": float(totals.layer_j[p]),
                 "spikes": int(totals.layer_spikes[p]),
                 "packets": int(totals.layer_packets[p]),
                 "hops": int(totals.layer_hops[p].sum()),
                 "synaptic_events": int(totals.layer_events[p])}
                for p, place in enumerate(w.places)
            ],
            "links": [
                {"link": self.link_names[i], "packets": int(totals.link_packets[i]),
                 "utilisation": float(self.link_utilisation[i]), "energy_j": float(self.link_j[i]),
                 "waited_ns": float(link_waited_ns[i])}
                for i in used.tolist()
            ],
        }  # fmt: skip

    def _total(self) -> dict[str, Any]:
        """The numbers of all steps together, as plain values."""
        w, totals = self.wiring, self.totals
        packets = int(totals.packets_out.sum())
        total = {
            "time_ns": self.time_ns, "count_level_time_ns": self.count_ns,
            "barrier_ns": w.barrier_s * 1e9 * totals.steps,
            "latency_ns": self.latency_ns, "energy_j": self.energy_j, "static_j": self.static_j,
            "energy_parts_j": self.parts_j, "packets": packets,
            "hops": int(totals.hops.sum()), "synaptic_events": int(totals.events.sum()),
            "spikes": int(totals.layer_spikes.sum()),
        }  # fmt: skip
        if self.level == "packet":
            total["packet_mean_ns"] = totals.latency_ns / max(packets, 1)
            total["packet_longest_ns"] = totals.longest_ns
            total["waited_ns"] = float(totals.waited_ns.sum())
        return total

    def save(self, path: str | Path) -> None:
        """Write ``path``: .json has `as_dict`, .npz also the tables of every core, place and link,
        and those of each of the first steps."""
        path = Path(path)
        if path.suffix == ".json":
            path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")
            return
        totals, steps = self.totals, self.steps
        both = ("sending_ns", "receiving_ns", "layer_ns", "core_j", "layer_j")
        series = (*TABLES, *both, "core_ns", "critical_core")
        arrays = {name: getattr(steps, name) for name in series}
        arrays |= {"step_ns": steps.time_ns, "count_ns": steps.count_ns}
        summed = (*COUNTS, *both, "critical", "busy_ns", "waited_ns")
        arrays |= {f"total_{name}": getattr(totals, name) for name in summed}
        arrays |= {name: getattr(totals, name) for name in ("link_packets", "link_waited_ns")}
        more = ("link_j", "utilisation", "link_utilisation")
        arrays |= {name: getattr(self, name) for name in more}
        places = np.array([place.name for place in self.wiring.places])
        with path.open("wb") as file:
            np.savez_compressed(
                file, cores=self.wiring.cores, places=places, links=np.array(self.link_names),
                about=np.array(json.dumps(self.as_dict())), **arrays,
            )  # fmt: skip
