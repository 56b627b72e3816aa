"""What the passes to a chip report: types here, plain values in a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Report:
    """A field ``idle_steps`` is "idle steps" in a manifest; one that is None is left out."""

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Self:
        """The report that a manifest has. Raises KeyError where a number is missing."""
        names = {f.name: _words(f.name) for f in fields(cls)}
        left_out = {f.name for f in fields(cls) if f.default is None}
        return cls(**{
            name: said[key] for name, key in names.items() if key in said or name not in left_out
        })  # fmt: skip

    @property
    def said(self) -> dict[str, object]:
        """As a manifest has it."""
        values = {_words(f.name): getattr(self, f.name) for f in fields(self)}
        return {key: value for key, value in values.items() if value is not None}


def _words(name: str) -> str:
    return name.replace("neuron_steps", "neuron-steps").replace("_", " ")


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
