"""A neuron is tried beside its reading, on currents that are awkward for it.

What happens inside a neuron is not recorded, so that its reading is believed. So a copy of the
module runs on drawn currents and must spike as the reading says: on currents that land exactly on
the threshold, where > and ≥ differ, on strongly negative and on large ones, where floors and caps
show, on silence, and on a grid, where sums are exact. Its step function is tried by itself.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from snncc.frontends.neurons import NeuronModule
from snncc.frontends.torch.firing import each_step, fire_in_levels, one_later, spikes_of
from snncc.ir.interpreter import TensorStore, Written, fire_as_written
from snncc.ir.interpreter.rounding import is_tie
from snncc.ir.ops import Spiking

STEPS = 12
"""So many steps a neuron is tried for, if it takes so many."""

FREE = (16, 32)
"""Samples and neurons of a trial where the size is free."""

MANY = 64
"""The most samples of a trial where it is not."""

MEMBRANES = (-1e6, -100, -3, -1.5, -1, -0.5, -1e-3, -1e-9, 0, 1e-9, 1e-3, 0.5, 1, 1.5, 3, 100, 1e6)
"""Distances from the threshold that a step function is tried on."""


class Misread(Exception):
    """A module does not do what its reading says; the message says what it does."""


@dataclass(frozen=True)
class Trial:
    """One neuron: a copy of the ``module``, its ``reading``, and what its call was given.

    ``x`` is the input of the call, ``given`` and ``named`` the arguments behind it. ``sized``: the
    module may take no other size than that of ``x``.
    """

    module: nn.Module
    reading: NeuronModule
    x: torch.Tensor
    given: Sequence[Any] = ()
    named: Mapping[str, Any] | None = None
    sized: bool = True

    def run(self) -> None:
        """Raises Misread at the first step and neuron that differ."""
        reading = self.reading
        shape = reading.time_first(self.x).shape
        steps, *size = shape if reading.multi_step else (STEPS, *shape)
        samples, neurons = FREE
        if self.sized or reading.tensors:
            size[0] = max(2, min(samples * neurons // max(1, math.prod(size[1:])), MANY))
        else:
            size = [samples, neurons]
        self._run_all(steps, size)
        if self.sized and steps < STEPS:
            try:
                self._run_all(STEPS, size)
            except Misread:
                raise
            except Exception:
                return  # it takes no other number of steps

    def _run_all(self, steps: int, size: Sequence[int]) -> None:
        store = TensorStore(self.reading.tensors, self.x.dtype)
        currents = [awkward(self.reading, (steps, *size), store, self.x.dtype)]
        if self.sized:  # of a class of the user's nothing is known: all neurons alike, too
            currents += [factor * currents[0].abs() for factor in (8.0, -8.0, 0.0)]
        for current in currents:
            with torch.no_grad():
                self._run(current, store)

    def _run(self, current: torch.Tensor, store: TensorStore) -> None:
        reading, module = self.reading, copy.deepcopy(self.module)
        fired = self._fired(module, current, store)
        if reading.recurrent:
            back = each_step(reading.recurrent, one_later(fired), store)
            current = each_step(reading.before, current, store) + back
            reading = replace(reading, before=())
        expected = fire_in_levels(reading, current, store)
        if fired.shape != expected.shape:
            raise Misread(f"yields shape {tuple(fired.shape[1:])} for {tuple(expected.shape[1:])}")
        taken = each_step(reading.before, current, store)
        self._compare(fired.to(current.dtype), expected, taken, store)

    def _fired(self, module: nn.Module, current: torch.Tensor, store: TensorStore) -> torch.Tensor:
        if self.reading.multi_step:
            return self.reading.time_first(self._spikes(module, self.reading.as_taken(current)))
        return self._step_by_step(module, current, store)

    def _spikes(self, module: nn.Module, current: torch.Tensor) -> torch.Tensor:
        """What the module yields, with what its call was given but for its states."""
        states = self.reading.states
        named = {name: v for name, v in (self.named or {}).items() if name not in states}
        return spikes_of(module(current.clone(), *self.given[len(states) :], **named))

    def _step_by_step(
        self, module: nn.Module, current: torch.Tensor, store: TensorStore
    ) -> torch.Tensor:
        """The spikes of a neuron of one step; raises Misread where it shows another membrane."""
        reading = self.reading
        states: dict[str, list[Any]] = {name: [] for name in reading.shown}
        fired = []
        for step in current:
            fired.append(self._spikes(module, step))
            for name, values in states.items():
                values.append(getattr(module, name))
        taken = each_step(reading.before, current, store)
        if reading.recurrent:
            taken = taken + each_step(reading.recurrent, one_later(torch.stack(fired)), store)
        for name, op in reading.shown.items():
            seen, expected = torch.stack(states[name]), fire_as_written(op, taken, store)
            near = 1e-9 if current.dtype == torch.float64 else 1e-4
            if not torch.allclose(seen, expected, rtol=near, atol=near * float(taken.abs().max())):
                raise Misread(f"leaves another {name} than its reading")
        return torch.stack(fired)

    def _compare(
        self, fired: torch.Tensor, expected: torch.Tensor, current: torch.Tensor,
        store: TensorStore,
    ) -> None:  # fmt: skip
        """Raises Misread where they differ and rounding does not explain it."""
        tied: set[tuple[int, ...]] = set()
        for step, sample, *place in (fired != expected).nonzero().tolist():
            neuron = tuple(place)
            if (sample, *neuron) in tied:
                continue
            column = current[(slice(0, step + 1), sample, *neuron)]
            ties = (
                is_tie(level, neuron, column, column, store, current.dtype)
                for level in self.reading.levels
            )
            if not any(ties):
                index = (step, sample, *neuron)
                raise Misread(
                    f"yields {float(fired[index]):g} and its reading {float(expected[index]):g} "
                    f"in step {step}, neuron ({', '.join(map(str, neuron))})"
                )
            tied.add((sample, *neuron))


def awkward(
    reading: NeuronModule, shape: Sequence[int], store: TensorStore, dtype: torch.dtype
) -> torch.Tensor:
    """Currents (T, N, …): what a neuron of a sample gets is one of several kinds."""
    steps, samples, *size = shape
    source = torch.Generator().manual_seed(0)

    def noise() -> torch.Tensor:
        return torch.rand(tuple(shape), generator=source, dtype=torch.float64).to(dtype)

    heights = [store.number(level.threshold).abs().expand(tuple(size)) for level in reading.levels]
    height = torch.stack(heights).amax(0)
    height = torch.where(height > 0, height, torch.ones_like(height))
    grid = 2.0 ** height.log2().round()
    half = torch.arange(steps).reshape(-1, *[1] * (len(shape) - 1)) < steps / 2
    kinds: list[Callable[[], torch.Tensor]] = [
        lambda: (4 * noise() - 1) * height,
        lambda: (4 * noise() - 1) * height,
        lambda: torch.where(half, -20 * noise(), 20 * noise()) * height,
        lambda: 40 * (noise() - 0.5) * height,
        lambda: (8 * noise() - 4).round() / 2 * grid,
        lambda: torch.where(noise() < 0.7, 0.0, 3 * noise()) * height,
    ]
    onto = list(_onto_thresholds(reading, tuple(size), store, dtype))
    chosen = torch.randint(0, len(kinds) + len(onto), (samples, *size), generator=source)
    current = torch.zeros(tuple(shape), dtype=dtype)
    for number, kind in enumerate(kinds):
        current = torch.where(chosen == number, kind(), current)
    later = (4 * noise() - 1) * height
    near = torch.where(noise() < 0.5, 0.0, noise() - 0.5)[0] * height  # half of them lands
    for number, first in enumerate(onto, len(kinds)):
        landing = torch.cat([(first + near)[None], later[1:]])
        current = torch.where(chosen == number, landing, current)
    return current


def _onto_thresholds(
    reading: NeuronModule, size: tuple[int, ...], store: TensorStore, dtype: torch.dtype
) -> Iterator[torch.Tensor]:
    """For each level the current that takes its membrane exactly onto the threshold at once.

    What is done to the input before, and the neuron's own gain, are taken into account; of the
    numbers near the quotient one that lands is taken.
    """
    zero, one = (torch.full((1, 1, *size), value, dtype=dtype) for value in (0.0, 1.0))

    def membrane(level: Spiking, x: torch.Tensor) -> torch.Tensor:
        cell = Written(level, (1, *size), store)
        return cell(each_step(reading.before, x, store)[0])[1]

    for level in reading.levels:
        threshold = store.number(level.threshold).expand(1, *size)
        start, rise = membrane(level, zero), membrane(level, one) - membrane(level, zero)
        rise = torch.where(rise == 0, torch.ones_like(rise), rise)
        best = x = ((threshold - start) / rise)[None]
        for direction in (-torch.inf, torch.inf):
            near = x
            for _ in range(4):
                lands = membrane(level, near) == threshold
                best = torch.where(lands[None], near, best)
                near = torch.nextafter(near, torch.full_like(near, direction))
        yield best[0]


def step_fault(reading: NeuronModule, dtype: torch.dtype) -> str | None:
    """How the step function of a neuron is no step from 0 to 1, None where it is one.

    It may yield 0 or 1 at the threshold itself, as the trial of the whole neuron shows.
    """
    if reading.step is None:
        return None
    membranes = torch.tensor(MEMBRANES, dtype=dtype)
    with torch.no_grad():
        yields = reading.step(membranes.clone())
    if not isinstance(yields, torch.Tensor) or yields.shape != membranes.shape:
        return "does not yield a value for each membrane"
    for membrane, value in zip(MEMBRANES, yields.tolist(), strict=True):
        if value not in (0, 1) or (membrane and value != (membrane > 0)):
            return f"yields {value:g} at a distance of {membrane:g} from the threshold"
    return None
