"""What the passes to a chip report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snncc.reports import Report


@dataclass(frozen=True, kw_only=True)
class Schedule(Report):
    """Of balance-delays. ``latency``: steps to the last answer; all other steps are of a sample."""

    latency: int
    idle_steps: int
    steps_a_sample: int | None = None
    relay_populations: int
    relay_neurons: int
    other_neurons: int
    delayed_populations: int
    delayed_neuron_steps: int
    neuron_steps_held_back: int
    neuron_steps_held_back_by_the_longest_path: int


@dataclass(frozen=True, kw_only=True)
class Cut(Report):
    """Of partition.

    ``cores_at_least``: by the name of each limit, what it needs by itself. ``utilisation``: by the
    same names "mean" and "max", the part of a core that is used. ``mean_work``: synaptic operations
    of a step on the mean core. ``places``: "neurons" and "cores" of each.
    """

    chip: str
    cores: int
    chips: int
    cores_at_least: Mapping[str, int]
    largest_work_over_mean: float
    mean_work: float
    utilisation: Mapping[str, Mapping[str, float]]
    places: Mapping[str, Mapping[str, int]]

    @property
    def least(self) -> int:
        """Cores that no mapping does without."""
        return max(self.cores_at_least.values(), default=0)


@dataclass(frozen=True, kw_only=True)
class Placed(Report):
    """Of place: spikes per step between cores, and spikes × hops, here and placed at random."""

    spikes: float
    hops: float
    hops_at_random: float
    times_fewer: float


@dataclass(frozen=True, kw_only=True)
class Routed(Report):
    """Of route: spikes per step on the links of the mesh."""

    links_in_use: int
    spikes_on_the_mean_link: float
    spikes_on_the_busiest_link: float
    busiest_link: str
    seconds_on_the_busiest_link: float
