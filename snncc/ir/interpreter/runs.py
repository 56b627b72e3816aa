"""A run of a Network, and what it has in common in floating point and in whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch

from snncc.ir.interpreter.graphs import run_graph
from snncc.ir.interpreter.operations import TensorStore, Value, apply
from snncc.ir.network import Encoder, Network, Projection, Readout


@dataclass(frozen=True)
class Disagreement:
    """Where a population's own spikes part from the forced ones, teacher-forced.

    ``index`` is (step, sample, *neuron); ``membrane`` the value compared with ``threshold``.
    """

    population: str
    index: tuple[int, ...]
    membrane: float
    threshold: float

    @property
    def is_tie(self) -> bool:
        """So close to the threshold that the order of float additions decides (design, 3)."""
        return abs(self.membrane / self.threshold - 1) < 1e-9 if self.threshold else False


@dataclass(frozen=True)
class Run:
    """One run of a Network.

    ``spikes`` (T, N, *shape) of every population and source, ``outputs`` (T, N, *shape) of every
    readout, ``logits`` (N, *shape) after its work over time. With forced spikes,
    ``disagreements`` holds up to ``limit`` of them and ``ties``, ``mismatches`` count all.

    Of a fixed Network, by place: sums and currents that ``wraps``, membranes whose ``saturations``
    were held, and with forced spikes the ``flips``, which ``mismatches`` adds up.

    ``sent``, where the simulator counts: by source and population, int64 of its shape, how often
    each neuron sent (of counts, how much) in all steps and samples.
    """

    spikes: Mapping[str, Value]
    outputs: Mapping[str, Value]
    logits: Mapping[str, Value]
    disagreements: tuple[Disagreement, ...] = ()
    ties: int = 0
    mismatches: int = 0
    compared: int = 0
    wraps: Mapping[str, int] = field(default_factory=dict)
    saturations: Mapping[str, int] = field(default_factory=dict)
    flips: Mapping[str, int] = field(default_factory=dict)
    sent: Mapping[str, Value] = field(default_factory=dict)


def teaching(network: Network, forced: Mapping[str, Value], steps: int) -> dict[str, Value]:
    """The forced spikes of each population, given by what it stands for or else by its name.

    Spikes (N, *shape) are the same at every step.
    """
    taught: dict[str, Value] = {}
    for place in network.populations:
        for known in (place.name, place.stands_for):
            if (value := forced.get(known)) is not None:
                stepwise = value.dim() > len(place.shape) + 1
                taught[place.name] = value if stepwise else value.expand(steps, *value.shape)
    return taught


def feeds_back(network: Network, group: Sequence[str]) -> bool:
    """Whether the places of one of ``Network.groups`` hear each other."""
    return any(p.source in group for p in network.incoming[group[0]])


def chained(projection: Projection, y: Value, store: TensorStore) -> Value:
    """Values (N, *source) through the map of a projection."""
    for op in projection.map:
        y = apply(op, [y], store)
    return y


def read_out(readout: Readout, y: Value, store: TensorStore) -> Value:
    """What the host makes of the sums (T, N, *shape) of every step.

    Steps are added up in their order, so that a sample's answer does not depend on its neighbours.
    """
    match readout.over_time:
        case "mean":
            y = reduce(torch.add, y) / len(y)
        case "sum":
            y = reduce(torch.add, y)
        case "last":
            y = y[-1]
        case "max":
            y = y.amax(0)
    for op in readout.host:
        if readout.over_time == "none":
            y = apply(op, [y.flatten(0, 1)], store).unflatten(0, y.shape[:2])
        else:
            y = apply(op, [y], store)
    return y


def encoded(
    encoder: Encoder, inputs: Mapping[str, Value], steps: int, dtype: torch.dtype = torch.float64
) -> Value:
    """The currents (T, N, *shape) of an encoder."""
    head = encoder.graph.heads["current"]
    given = {node.name: inputs[node.name] for node in encoder.graph.inputs}
    current = run_graph(encoder.graph, given, dtype=dtype)[head]
    static = encoder.graph.nodes[head].signal.rate != "step"
    return current.expand(steps, *current.shape) if static else current


def steps_of(network: Network, inputs: Mapping[str, Value]) -> int:
    """T of a run. Raises ValueError where neither inputs nor network say it."""
    for source in network.sources:
        return int(inputs[source.name].shape[0])
    for encoder in network.encoders:
        for node in encoder.graph.inputs:
            if node.signal.rate == "step":
                return int(inputs[node.name].shape[0])
    if network.time_steps is None:
        raise ValueError("the number of time steps is not known")
    return network.time_steps


def project(projection: Projection, x: Value, store: TensorStore) -> Value:
    """Spikes (T, N, *source) to input (T, N, *target), ``delay`` steps later."""
    lead = x.shape[:2]
    y: Value = chained(projection, x.flatten(0, 1), store).unflatten(0, lead)
    if projection.delay:
        y = torch.cat([torch.zeros_like(y[: projection.delay]), y[: -projection.delay]])
    return y


Step = Callable[[Value, Value | None], tuple[Value, Value]]
"""Neurons: spikes and membranes (N, *shape) of a step from its input and maybe a teacher."""


def fire_loop(
    network: Network,
    names: Sequence[str],
    given: Mapping[str, Value],
    bring: Callable[[Projection, Value], Value],
    cells: Mapping[str, Step],
    teachers: Mapping[str, Value],
) -> dict[str, tuple[Value, Value]]:
    """Spikes and membranes (T, N, *shape) of populations that feed back, step after step.

    ``given``: what each hears from outside the loop. ``bring``: what a projection makes of the
    spikes of one step.
    """
    past: dict[str, list[Value]] = {name: [] for name in names}
    seen: dict[str, list[tuple[Value, Value]]] = {name: [] for name in names}
    for t in range(len(given[names[0]])):
        for name in names:
            x = given[name][t]
            for projection in network.incoming[name]:
                if projection.source in past and projection.delay <= t:
                    x = x + bring(projection, past[projection.source][t - projection.delay])
            teacher = teachers[name][t] if name in teachers else None
            seen[name].append(cells[name](x, teacher))
            past[name].append(seen[name][t][0] if teacher is None else teacher)
    return {
        name: (torch.stack([s for s, _ in steps]), torch.stack([h for _, h in steps]))
        for name, steps in seen.items()
    }
