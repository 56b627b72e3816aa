"""What a fixed Network means: Loihi's whole-number arithmetic as Lava 0.10 does it, bit for bit.

Neurons are ``FixedNeuron``, synapses even whole numbers (``snncc.ir.registers``). Sums over
synapses are exact; then those of a Conv wrap at 24 bits, and what a port adds up at 32, as in Lava.
The currents of an encoder are rounded to whole units, half to even, where they enter a population.
Values are torch tensors (T, N, *shape), many samples at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from snncc.ir.interpreter import runs
from snncc.ir.interpreter.fixed_cell import (
    CONV_BITS,
    FixedCell,
    State,
    WholeStore,
    wrapped,
)
from snncc.ir.interpreter.operations import Value
from snncc.ir.interpreter.runs import (
    Disagreement,
    Run,
    chained,
    encoded,
    feeds_back,
    project,
    read_out,
    steps_of,
    teaching,
)
from snncc.ir.network import Encoder, Network, Population, Projection, Readout, Source
from snncc.ir.ops import Conv
from snncc.ir.registers import ONE, FixedNeuron


@dataclass(frozen=True)
class Fired:
    """Spikes (booleans) and membranes before reset, both (T, N, *shape), and what overflowed.

    ``state`` after each step where it was asked for.
    """

    spikes: Value
    membranes: Value
    wraps: int
    saturations: int
    state: State | None = None


def fire(
    neuron: FixedNeuron,
    a: Value,
    store: WholeStore,
    teacher: Value | None = None,
    keep: bool = False,
) -> Fired:
    """A population from rest, for sums of weights ``a``, int64 (T, N, *shape)."""
    if neuron.is_memoryless:
        cell = FixedCell(neuron, (a.shape[0] * a.shape[1], *a.shape[2:]), store)
        each, v = (x.unflatten(0, a.shape[:2]) for x in cell(a.flatten(0, 1)))
        after = (cell.u.unflatten(0, a.shape[:2]), cell.v.unflatten(0, a.shape[:2]))
        return Fired(each, v, cell.wraps, cell.saturations, after if keep else None)
    cell = FixedCell(neuron, a.shape[1:], store, keep)
    steps = [cell(each, None if teacher is None else teacher[t]) for t, each in enumerate(a)]
    spikes, membranes = zip(*steps, strict=True)
    return _fired(torch.stack(spikes), torch.stack(membranes), cell)


def _fired(spikes: Value, membranes: Value, cell: FixedCell, wraps: int = 0) -> Fired:
    """What a cell did in all its steps, and ``wraps`` of the sums it heard."""
    state = None
    if cell.states:
        u, v = zip(*cell.states, strict=True)
        state = torch.stack(u), torch.stack(v)
    return Fired(spikes, membranes, wraps + cell.wraps, cell.saturations, state)


def gather(
    network: Network,
    target: str,
    spikes: Mapping[str, Value],
    currents: Mapping[str, Value],
    store: WholeStore,
    apart_from: Collection[str] = (),
) -> tuple[Value, int]:
    """The sums (T, N, *shape), int64, of all projections into ``target``, and how many wrapped.

    Those that come ``apart_from`` some places are left out.
    """
    lead = next(iter([*spikes.values(), *currents.values()])).shape[:2]
    total = torch.zeros(*lead, *network.places[target].shape, dtype=torch.int64)
    wraps = 0
    for projection in network.incoming[target]:
        if projection.source in currents:
            total += project(projection, currents[projection.source], store).round().long()
        elif projection.source not in apart_from:
            y = project(projection, spikes[projection.source], store)
            held, wrapping = summed(projection, y)
            total, wraps = total + held, wraps + wrapping
    return total, wraps


def summed(projection: Projection, y: Value) -> tuple[Value, int]:
    """Sums of weights, int64, as the projection's synapses hold them, and how many wrapped."""
    y = y.long()
    if any(isinstance(op, Conv) for op in projection.map):
        held = wrapped(y, CONV_BITS)
        return held, int((held != y).sum())
    return y, 0


def fire_loop(
    network: Network,
    names: Sequence[str],
    spikes: Mapping[str, Value],
    currents: Mapping[str, Value],
    store: WholeStore,
    teachers: Mapping[str, Value],
    keep: bool = False,
) -> dict[str, Fired]:
    """Populations that feed back, as ``runs.fire_loop`` has them."""
    wraps = dict.fromkeys(names, 0)
    given: dict[str, Value] = {}
    cells: dict[str, FixedCell] = {}
    for name in names:
        place = network.places[name]
        assert isinstance(place, Population)
        assert isinstance(place.neuron, FixedNeuron)
        given[name], wraps[name] = gather(network, name, spikes, currents, store, names)
        cells[name] = FixedCell(place.neuron, given[name].shape[1:], store, keep)

    def bring(projection: Projection, y: Value) -> Value:
        held, wrapping = summed(projection, chained(projection, y.double(), store))
        wraps[projection.target] += wrapping
        return held

    looped = runs.fire_loop(network, names, given, bring, cells, teachers)
    return {name: _fired(s, v, cells[name], wraps[name]) for name, (s, v) in looped.items()}


def run_fixed(
    network: Network,
    inputs: Mapping[str, Value],
    *,
    forced: Mapping[str, Value] | None = None,
    steps: int | None = None,
    limit: int = 20,
    on_state: Callable[[str, State], object] | None = None,
) -> Run:
    """Run every place of a fixed Network; arguments and result as of ``run_network``.

    ``disagreements`` give membranes and thresholds in units of weight. ``on_state`` is shown u and
    v of each population after each step, int64 (T, N, *shape), and its name.
    """
    store = WholeStore.of(network)
    steps = steps or steps_of(network, inputs)
    teachers = {name: s.bool() for name, s in teaching(network, forced or {}, steps).items()}
    spikes: dict[str, Value] = {}
    currents: dict[str, Value] = {}
    outputs: dict[str, Value] = {}
    logits: dict[str, Value] = {}
    wraps: dict[str, int] = {}
    saturations: dict[str, int] = {}
    flips: dict[str, int] = {}
    found: list[Disagreement] = []
    compared = 0
    for group in network.groups:
        looped: dict[str, Fired] = {}
        if feeds_back(network, group):
            keep = on_state is not None
            looped = fire_loop(network, group, spikes, currents, store, teachers, keep)
        for place in map(network.places.__getitem__, group):
            match place:
                case Source():
                    spikes[place.name] = inputs[place.name].double()
                case Encoder():
                    currents[place.name] = encoded(place, inputs, steps)
                case Population(neuron=FixedNeuron() as neuron):
                    teacher = teachers.get(place.name)
                    if looped:
                        fired = looped[place.name]
                    else:
                        a, wrapping = gather(network, place.name, spikes, currents, store)
                        fired = fire(neuron, a, store, teacher, on_state is not None)
                        fired = replace(fired, wraps=fired.wraps + wrapping)
                    if on_state is not None and fired.state is not None:
                        on_state(place.name, fired.state)
                    wraps[place.name] = fired.wraps
                    saturations[place.name] = fired.saturations
                    s = fired.spikes
                    if teacher is not None:
                        differing = (s != teacher).nonzero()
                        compared += s.numel()
                        flips[place.name] = len(differing)
                        theta = store.whole(neuron.vth).expand(s.shape)
                        for index in differing[: limit - len(found)].tolist():
                            at = tuple(index)
                            h = float(fired.membranes[at]) / ONE
                            found.append(Disagreement(place.name, at, h, float(theta[at])))
                        s = teacher
                    spikes[place.name] = s.double()
                case Readout():
                    sums, wrapping = gather(network, place.name, spikes, currents, store)
                    wraps[place.name] = wrapping
                    y = sums * store.number(place.unit) + store.number(place.bias)
                    outputs[place.name] = y
                    logits[place.name] = read_out(place, y, store)
    return Run(
        spikes, outputs, logits, tuple(found), 0, sum(flips.values()), compared,
        wraps, saturations, flips,
    )  # fmt: skip
