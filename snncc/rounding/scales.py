"""The search for the scale of a population, rules 2, 3, 4 and 6 of `snncc.passes.quantize`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from snncc.ir.interpreter import TensorStore, Value, fire, fixed, project
from snncc.ir.interpreter.fixed_cell import WholeStore
from snncc.ir.network import Neuron, Population, Projection
from snncc.ir.ops import Ref
from snncc.ir.registers import ONE, RANGES, WEIGHTS
from snncc.ir.shapes import Shape
from snncc.rounding.calibration import Teacher
from snncc.rounding.registers import (
    LEAST,
    Array,
    Levels,
    Synapses,
    along,
    as_neuron,
    quantum,
    registers,
    step,
)

MULTIPLIERS = (1.0, 0.97, 0.94, 0.91, 0.88, 0.84, 0.8, 0.75, 0.7, 1.05, 1.1, 1.2, 1.35)
"""Scales to try, of the largest that clips no weight; beyond 1 the largest weights are clipped."""

THRESHOLD_MOST = 1 << 16
"""Units: half of the register, so that a membrane has as much room below 0."""

CURRENT_UNITS = 1 << 12
"""The threshold, in units, of a population that only currents from the host feed."""


@dataclass(frozen=True)
class Feed:
    """What feeds one place: synapses, and currents from the host."""

    shape: Shape
    synapses: tuple[Synapses, ...]
    currents: tuple[Projection, ...]
    axis: int | None
    relative: Array
    """Scales are a number for each index along ``axis`` times these."""

    def scaled(self, scale: Array) -> Array:
        return np.asarray(scale * self.relative)

    def largest(self, weight_bits: int) -> Array:
        """The largest scale that clips no weight; infinite without weights."""
        low, _ = WEIGHTS
        scale = np.full(along(self.relative, self.axis, self.relative.ndim).shape, np.inf)
        for each in self.synapses:
            above, below = each.reach(self.axis, self.relative)
            with np.errstate(divide="ignore"):
                scale = np.minimum(scale, (-low - step(weight_bits)) / above)
                scale = np.minimum(scale, -low / below)
        return scale

    def exact(self, scale: Array, weight_bits: int) -> Array | None:
        """The largest scale up to ``scale`` that needs no rounding, where there is one."""
        between, least = step(weight_bits), quantum(self.synapses)
        if not least or np.any(self.relative != self.relative.flat[0]):
            return None
        exact = between * np.floor(scale * self.relative * least / between) / least
        return np.where(exact > 0, exact / self.relative, scale)


@dataclass
class Fit:
    """The best numbers so far, for each scale.

    ``offset`` is that of the threshold from ⌈θ⌉ − 1, ``shift`` what the bias gets (rule 6).
    """

    scale: Array
    offset: Array
    shift: Array
    flips: Array
    error: Array

    def take(self, scale: Array, offset: Array, shift: Array, flips: Array, error: Array) -> None:
        better = (flips < self.flips) | ((flips == self.flips) & (error < self.error))
        self.scale = np.where(better, scale, self.scale)
        self.offset = np.where(better, offset, self.offset)
        self.shift = np.where(better, shift, self.shift)
        self.flips = np.where(better, flips, self.flips)
        self.error = np.where(better, error, self.error)


def search(
    place: Population,
    neuron: Neuron,
    levels: Levels,
    feed: Feed,
    weight_bits: int,
    teacher: Teacher | None,
) -> Fit:
    """The best scale of a population, from the weights alone where there is no ``teacher``."""
    rank = len(place.shape)
    theta = along(levels.threshold * feed.relative, feed.axis, rank)
    most = THRESHOLD_MOST if feed.synapses else CURRENT_UNITS
    scale = np.minimum(feed.largest(weight_bits), most / np.maximum(theta, LEAST))
    bias = along(np.abs(levels.bias) * feed.relative, feed.axis, rank)
    mantissa, exponent = RANGES["bias_mant"][1], RANGES["bias_exp"][1]
    with np.errstate(divide="ignore"):
        scale = np.minimum(scale, (mantissa << exponent) / ONE / bias)
    exact = feed.exact(scale, weight_bits)
    if teacher is None and exact is not None:
        scale = exact
    zero = np.zeros(scale.shape)
    offset = _nearest(neuron, levels, feed, scale)
    fit = Fit(scale, offset, zero, zero + np.inf, zero + np.inf)
    if teacher is None:
        return fit
    trial = _Trial(place, neuron, levels, feed, teacher, weight_bits)
    candidates = [scale * m for m in MULTIPLIERS]
    if exact is not None:
        candidates.insert(0, exact)
    for candidate in candidates:
        trial.run(candidate, fit)
    trial.shift(fit)
    return fit


def _nearest(neuron: Neuron, levels: Levels, feed: Feed, scale: Array) -> Array:
    """Rule 4 without data: how far from ⌈θ⌉ − 1."""
    full = feed.scaled(scale)
    whole = not np.any(levels.decay % 1) and not np.any(levels.current_decay)
    if whole and not np.any(levels.bias) and neuron.reset != "soft":
        return np.zeros(scale.shape)
    theta = levels.threshold * full
    return along((np.rint(theta) - np.ceil(theta) + 1), feed.axis, full.ndim)


class _Trial:
    """Scales of one population, tried on what the teacher's spikes make it hear."""

    def __init__(
        self,
        place: Population,
        neuron: Neuron,
        levels: Levels,
        feed: Feed,
        teacher: Teacher,
        weight_bits: int,
    ) -> None:
        self._place, self._neuron, self._levels, self._feed = place, neuron, levels, feed
        self._teacher, self._bits = teacher, weight_bits
        self._taught = teacher.run.spikes[place.name].bool()
        self._heard = teacher.hears(place)
        _, self._membranes = fire(neuron, self._heard, teacher.store, self._taught.double())
        self._others = tuple(axis + 2 for axis in range(len(place.shape)) if axis != feed.axis)

    def run(self, scale: Array, fit: Fit) -> None:
        """Try ``scale`` with the thresholds around it."""
        a = sums(self._feed, scale, self._teacher, self._bits).long()
        for offset in (0, 1, -1):
            self._try(a, scale, np.full(scale.shape, offset), np.zeros(scale.shape), fit)

    def shift(self, fit: Fit) -> None:
        """Try the biases that take away the mean error of the current (rule 6)."""
        full = self._feed.scaled(fit.scale)
        a = sums(self._feed, fit.scale, self._teacher, self._bits)
        error = (a / as_torch(full) - self._heard).mean((0, 1, *self._others), keepdim=True)[0, 0]
        self._try(a.long(), fit.scale, fit.offset, -error.numpy(), fit)

    def _try(self, a: Value, scale: Array, offset: Array, shift: Array, fit: Fit) -> None:
        full = self._feed.scaled(scale)
        levels = replace(self._levels, bias=self._levels.bias + shift)
        tensors: dict[str, Array] = {}
        numbers = registers(self._neuron, levels, full, offset)
        neuron = as_neuron(self._neuron, numbers, "trial", tensors)
        fired = fixed.fire(neuron, a, WholeStore(tensors), self._taught)
        flips = (fired.spikes != self._taught).sum((0, 1, *self._others), keepdim=True)[0, 0]
        far = fired.membranes / as_torch(full * ONE) - self._membranes
        relative = far / as_torch(levels.threshold)
        error = relative.square().mean((0, 1, *self._others), keepdim=True)[0, 0]
        fit.take(scale, offset, shift, flips.numpy(), error.numpy())


def sums(feed: Feed, scale: Array, teacher: Teacher, weight_bits: int) -> Value:
    """The sums of rounded weights and currents, in units, float64."""
    full = feed.scaled(scale)
    total: Value | float = 0.0
    for each in feed.synapses:
        weights = each.rounded(full, weight_bits)
        wire = each.with_weights(Ref("trial"))
        store = TensorStore({**teacher.network.tensors, "trial": weights.astype(np.float64)},
                            torch.float64)  # fmt: skip
        total = total + project(wire, teacher.sent(wire), store)
    for p in feed.currents:
        x = project(p, teacher.sent(p), teacher.store)
        total = total + (x * as_torch(full)).round()
    if isinstance(total, float):
        lead = next(iter(teacher.run.spikes.values())).shape[:2]
        return torch.zeros(*lead, *feed.shape, dtype=torch.float64)
    return total


def as_torch(array: Array) -> Value:
    return torch.from_numpy(np.ascontiguousarray(array))
