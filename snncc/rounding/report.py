"""What rounding did: ranges, signal-to-noise ratios, flipped spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from snncc.ir.interpreter import Run, run_network
from snncc.ir.network import Network
from snncc.ir.registers import WEIGHTS
from snncc.reports import Report
from snncc.rounding.calibration import Teacher
from snncc.rounding.registers import Array, Synapses


@dataclass(frozen=True, kw_only=True)
class Layer(Report):
    """What whole numbers are to a population or readout.

    ``scale`` and ``threshold``: the smallest and the largest. ``weight_range`` and
    ``membrane_range``: the largest, as the part of what the chip holds. What is seen on recordings
    (``membrane_range`` and all behind it) is None without, and of a readout.
    """

    population: str
    role: str
    scale: tuple[float, float]
    threshold: tuple[float, float] | None = None
    weight_range: float
    weight_snr_db: float | None
    membrane_range: float | None = None
    flipped: int | None = None
    neuron_steps: int | None = None
    saturations: int | None = None
    wraps: int | None = None

    @property
    def overflows(self) -> int | None:
        """Membranes that saturated, and sums that wrapped round."""
        if self.saturations is None or self.wraps is None:
            return None
        return self.saturations + self.wraps

    @property
    def part(self) -> float | None:
        """The part of the spikes that flipped; None where there are none to flip."""
        if self.flipped is None or not self.neuron_steps:
            return None
        return self.flipped / self.neuron_steps


@dataclass(frozen=True)
class Flips(Report):
    """Spikes that differ, and their part of all neuron-steps."""

    flipped: int
    part: float


@dataclass(frozen=True)
class Alike(Report):
    """How many samples keep their class."""

    samples: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Totals(Report):
    """Of all neurons: each population hearing the float network, and hearing each other."""

    same_class: Alike | None = None
    neuron_steps: int
    teacher_forced: Flips
    propagated: Flips


@dataclass(frozen=True, kw_only=True)
class Rounded(Report):
    """``calibration``: what the scales were chosen on. ``totals`` are None without recordings."""

    calibration: str
    populations: tuple[Layer, ...]
    totals: Totals | None = None

    @classmethod
    def read(cls, said: Any) -> Self:
        """A manifest has the totals beside the rest."""
        names = ("calibration", "populations")
        if not isinstance(said, Mapping) or said.keys() == set(names):
            return super().read(said)
        rest = {key: each for key, each in said.items() if key not in names}
        own = {key: each for key, each in said.items() if key in names}
        return super().read({**own, "totals": rest})

    @property
    def said(self) -> dict[str, Any]:
        said = super().said
        totals = said.pop("totals", {})
        return {**said, **totals}


def span(numbers: Array) -> tuple[float, float]:
    """The smallest and the largest."""
    return float(numbers.min()), float(numbers.max())


def noise(
    synapses: Sequence[Synapses], weights: Sequence[Array], scale: Array
) -> tuple[float, float | None]:
    """The part of the range that weights use, and their signal over rounding noise in dB."""
    signal = noise = most = 0.0
    for each, rounded in zip(synapses, weights, strict=True):
        exact = each.values * each.spread(scale)
        signal += float(np.square(exact).sum())
        noise += float(np.square(exact - rounded).sum())
        most = max(most, float(np.abs(rounded).max(initial=0)))
    ratio = 10 * math.log10(signal / noise) if signal and noise else None
    return round(most / -WEIGHTS[0], 4), None if ratio is None else round(ratio, 2)


def totals(network: Network, teacher: Teacher, rows: Sequence[Layer]) -> Totals:
    """Flips of all neurons: each population hearing the float network, and hearing each other."""
    neurons = [place.name for place in network.populations if place.role == "neuron"]
    taught = {name: teacher.run.spikes[name] for name in neurons}
    steps = max(1, sum(spikes.numel() for spikes in taught.values()))
    forced = sum(row.flipped or 0 for row in rows if row.population in taught)
    run = run_network(network, teacher.inputs)
    free = run.spikes
    propagated = sum(int((free[name] != spikes).sum()) for name, spikes in taught.items())
    return Totals(
        same_class=_classified(run, teacher.run, network),
        neuron_steps=steps,
        teacher_forced=Flips(forced, forced / steps),
        propagated=Flips(propagated, propagated / steps),
    )


def _classified(run: Run, taught: Run, network: Network) -> Alike | None:
    """How many samples fall into the class they fell into, where there are classes."""
    for readout in network.readouts:
        mine, theirs = run.logits[readout.name], taught.logits[readout.name]
        if mine.dim() == 2 and mine.shape[1] > 1:
            return Alike(int((mine.argmax(1) == theirs.argmax(1)).sum()), len(mine))
    return None
