"""What a Network means, in floating point."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import torch

from snncc.ir.interpreter.operations import TensorStore, Value
from snncc.ir.interpreter.runs import (
    Disagreement,
    Run,
    chained,
    encoded,
    feeds_back,
    fire_loop,
    project,
    read_out,
    steps_of,
    teaching,
)
from snncc.ir.network import Encoder, Network, Neuron, Population, Readout, Source
from snncc.ir.ops import Ref


def run_floating(
    network: Network,
    inputs: Mapping[str, Value],
    *,
    forced: Mapping[str, Value] | None = None,
    steps: int | None = None,
    dtype: torch.dtype = torch.float64,
    limit: int = 20,
) -> Run:
    """Run every place in ``dtype``; arguments and result as of ``run_network``."""
    store = TensorStore(network.tensors, dtype)
    steps = steps or steps_of(network, inputs)
    spikes: dict[str, Value] = {}
    currents: dict[str, Value] = {}
    outputs: dict[str, Value] = {}
    logits: dict[str, Value] = {}
    found: list[Disagreement] = []
    ties = mismatches = compared = 0
    teachers = {
        name: given.to(dtype) for name, given in teaching(network, forced or {}, steps).items()
    }
    for group in network.groups:
        looped: dict[str, tuple[Value, Value]] = {}
        if feeds_back(network, group):
            given = {name: gather(network, name, spikes, currents, store, group) for name in group}
            cells = {
                place.name: Cell(place.neuron, given[place.name].shape[1:], store)
                for place in network.populations
                if place.name in group and isinstance(place.neuron, Neuron)
            }
            bring = partial(chained, store=store)
            looped = fire_loop(network, group, given, bring, cells, teachers)
        for place in map(network.places.__getitem__, group):
            match place:
                case Source():
                    spikes[place.name] = inputs[place.name].to(dtype)
                case Encoder():
                    currents[place.name] = encoded(place, inputs, steps, dtype)
                case Population(neuron=Neuron() as neuron):
                    teacher = teachers.get(place.name)
                    if looped:
                        s, h = looped[place.name]
                    else:
                        x = gather(network, place.name, spikes, currents, store)
                        s, h = fire(neuron, x, store, teacher)
                    if teacher is not None:
                        theta = store.number(neuron.threshold).expand(s.shape)
                        compared += s.numel()
                        for index in (s != teacher).nonzero().tolist():
                            at = tuple(index)
                            one = Disagreement(place.name, at, float(h[at]), float(theta[at]))
                            ties += one.is_tie
                            mismatches += not one.is_tie
                            if len(found) < limit:
                                found.append(one)
                        s = teacher
                    spikes[place.name] = s
                case Readout():
                    sums = gather(network, place.name, spikes, currents, store)
                    y = sums * store.number(place.unit) + store.number(place.bias)
                    outputs[place.name] = y
                    logits[place.name] = read_out(place, y, store)
    return Run(spikes, outputs, logits, tuple(found), ties, mismatches, compared)


def gather(
    network: Network,
    target: str,
    spikes: Mapping[str, Value],
    currents: Mapping[str, Value],
    store: TensorStore,
    apart_from: Collection[str] = (),
) -> Value:
    """The sum (T, N, *shape) of all projections into ``target``, those ``apart_from`` left out."""
    total: Value | None = None
    for projection in network.incoming[target]:
        if projection.source in apart_from:
            continue
        x = spikes.get(projection.source)
        y = project(projection, currents[projection.source] if x is None else x, store)
        total = y if total is None else total + y
    if total is None:
        said = next(iter([*spikes.values(), *currents.values()]))
        return said.new_zeros(*said.shape[:2], *network.places[target].shape)
    return total


def fire(
    neuron: Neuron, x: Value, store: TensorStore, teacher: Value | None = None
) -> tuple[Value, Value]:
    """Spikes and membranes before reset, both (T, N, *shape), in the normal form.

    With a ``teacher`` the membrane is reset by the teacher's spikes instead of its own.
    """
    cell = Cell(neuron, x.shape[1:], store)
    if neuron.is_memoryless:
        return cell.at_once(x)
    spikes, membranes = torch.empty_like(x), torch.empty_like(x)
    for t, current in enumerate(x):
        spikes[t], membranes[t] = cell(current, None if teacher is None else teacher[t])
    return spikes, membranes


class Cell:
    """A neuron in the normal form, step after step."""

    def __init__(self, neuron: Neuron, shape: Sequence[int], store: TensorStore) -> None:
        self._neuron = neuron
        self._threshold, self._bias = store.number(neuron.threshold), store.number(neuron.bias)
        self._decay = store.number(neuron.decay)
        self._current_decay = store.number(neuron.current_decay)
        self._keep = store.number(neuron.keep)
        self._integrates = not isinstance(neuron.decay, Ref) and neuron.decay == 1
        self._current = store.number(neuron.current_initial)
        self._v = store.number(neuron.initial).expand(*shape)
        self._late = (self._v >= self._threshold).to(self._v.dtype)

    def at_once(self, x: Value) -> tuple[Value, Value]:
        """Spikes and membranes of a memoryless neuron, all steps in one go."""
        x = x + self._bias
        return (x >= self._threshold).to(x.dtype), x

    def _reset(self, h: Value, s: Value) -> Value:
        """Membranes after a hard reset where ``s``."""
        return torch.where(s > 0, self._keep * h, h) if self._neuron.keeps else h * (1 - s)

    def __call__(self, x: Value, teacher: Value | None = None) -> tuple[Value, Value]:
        """Spikes and membrane of one step, both (N, *shape)."""
        neuron, x = self._neuron, x + self._bias
        if isinstance(neuron.current_decay, Ref) or neuron.current_decay != 0:
            x = self._current_decay * self._current + x
            self._current = x
        h = self._v + x if self._integrates else self._decay * self._v + x
        if neuron.when == "both":
            self._late = (self._v >= self._threshold).to(h.dtype)
        if neuron.when != "now" and neuron.reset == "hard":
            h = self._reset(h, self._late)
        elif neuron.when != "now" and neuron.reset == "soft":
            h = h - self._threshold * self._late
        spikes = (h >= self._threshold).to(h.dtype)
        s = spikes if teacher is None else teacher
        self._v = h
        if neuron.when == "both":
            self._v = h - self._threshold * (s - self._late)
        elif neuron.when == "now" and neuron.reset == "hard":
            self._v = self._reset(h, s)
        elif neuron.when == "now" and neuron.reset == "soft":
            self._v = h - self._threshold * s
        self._late = s
        return spikes, h
