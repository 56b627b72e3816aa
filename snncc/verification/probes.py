"""Inputs that a translation is verified on: the user's own, and drawn ones that are awkward.

One random input shows little: neurons and branches that fire rarely stay silent on it. So the drawn
samples are silent, sparse, dense and full ones, bursts, counts at the edge of their range, and of
analog inputs large, negative and zero ones, and ones on a coarse grid, whose sums are exact. They
are one call of many samples; another call has one sample, and the example is called again at the
end, when whatever a module keeps from call to call shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from snncc.diagnostics import refuse
from snncc.frontends.torch import Recording, arrange, as_taken, check_bound
from snncc.frontends.torch.states import digest
from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import Value
from snncc.ir.ops import Conv, ConvTranspose, Dense, Input

SAMPLES = 8
"""How many of the example's and of the calibration's samples the verification runs."""

DRAWN = 24
"""Largest number of drawn samples in one call."""

MANY = 4096
"""Largest number of samples that forward is called with because it asks about it."""

LEAST = 4
"""Smallest number of drawn samples in one call, unless memory is short."""

OF_PASSES = 2
"""How many of the drawn samples passes are verified on, too."""

MEMORY = 1 << 29
"""Bytes that the compared spikes may take; large networks are verified on fewer samples."""

WORK = 3e8
"""Multiplications that the drawn samples may cost; slow networks are verified on fewer."""

SEED = 0


@dataclass(frozen=True)
class Probe:
    """One call of a module.

    ``inputs`` are in the module's layout, their axis of samples is ``axis``. ``seed`` says that
    they were drawn; None, that they are the user's.
    """

    name: str
    inputs: Value
    axis: int
    seed: int | None = None

    @property
    def samples(self) -> int:
        return int(self.inputs.shape[self.axis])

    @property
    def sha256(self) -> str:
        """Of the inputs in float64."""
        return digest(self.inputs.double())

    def first(self, samples: int) -> Probe:
        """The same, of no more samples."""
        count = min(samples, self.samples)
        return replace(self, inputs=self.inputs.narrow(self.axis, 0, count))

    def pieces(self, samples: int) -> list[Probe]:
        """The same in calls of so many samples each; what is left over goes."""
        return [
            replace(
                self,
                name=f"{self.name}, part {number + 1}",
                inputs=self.inputs.narrow(self.axis, number * samples, samples),
            )
            for number in range(self.samples // samples)
        ]


Draw = Callable[[torch.Generator, tuple[int, ...], float], Value]
"""A sample of a shape, T in front where the input changes from step to step; the number is the
largest count, or the spread of the example's values."""


def _uniform(generator: torch.Generator, shape: tuple[int, ...]) -> Value:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _normal(generator: torch.Generator, shape: tuple[int, ...]) -> Value:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _whole(generator: torch.Generator, shape: tuple[int, ...], low: int, high: int) -> Value:
    return torch.randint(low, high + 1, shape, generator=generator).double()


def _rate(rate: float) -> Draw:
    return lambda generator, shape, most: (_uniform(generator, shape) < rate).double()


def _bursts(generator: torch.Generator, shape: tuple[int, ...], most: float) -> Value:
    """Each step full or silent."""
    steps = (_uniform(generator, shape[:1]) < 0.5).double()
    return steps.reshape(-1, *[1] * (len(shape) - 1)).expand(shape).clone()


def _power_of_two(value: float) -> float:
    return float(2.0 ** round(math.log2(value)))


SPIKES: Mapping[str, Draw] = {
    "even": _rate(0.5),
    "dense": _rate(0.9),
    "full": _rate(1.1),
    "silent": _rate(0.0),
    "sparse": _rate(0.1),
    "bursts": _bursts,
    "nearly full": _rate(0.97),
    "quiet": _rate(0.02),
}

COUNTS: Mapping[str, Draw] = {
    "few": lambda generator, shape, most: torch.poisson(_uniform(generator, shape), generator),
    "any": lambda generator, shape, most: _whole(generator, shape, 0, int(most)),
    "full": lambda generator, shape, most: torch.full(shape, most, dtype=torch.float64),
    "silent": _rate(0.0),
    "edge": lambda generator, shape, most: most - _whole(generator, shape, 0, 1),
    "ones": _rate(1.1),
    "small": lambda generator, shape, most: _whole(generator, shape, 0, 3),
    "bursts": lambda generator, shape, most: most * _bursts(generator, shape, most),
}

ANALOG: Mapping[str, Draw] = {
    "alike": lambda generator, shape, spread: spread * _normal(generator, shape),
    "large": lambda generator, shape, spread: 30 * spread * _normal(generator, shape),
    "negative": lambda generator, shape, spread: -4 * spread * _normal(generator, shape).abs(),
    "zero": _rate(0.0),
    "grid": lambda generator, shape, spread: (
        _power_of_two(spread) / 2 * _whole(generator, shape, -8, 8)
    ),
    "high": lambda generator, shape, spread: 4 * spread * _uniform(generator, shape),
    "sparse": lambda generator, shape, spread: (
        10 * spread * _normal(generator, shape) * (_uniform(generator, shape) < 0.1)
    ),
    "constant": lambda generator, shape, spread: torch.full(shape, spread, dtype=torch.float64),
}


def probes(
    recording: Recording, example: Value, calibration: Value | None = None
) -> tuple[Probe, ...]:
    """What a module and its Graph are called with, in this order.

    Raises SnnccError: SNN306 where data does not fit, SNN312 where it is not finite.
    """
    graph = recording.graph
    (node,) = graph.inputs
    axis = node.signal.axes.index("N")
    most = room(graph)
    given = {"example": example} | ({} if calibration is None else {"calibration": calibration})
    _check(graph, given)
    # A model of one step may be given another input at each.
    users = [
        Probe(name, data, axis + data.dim() - len(node.signal.axes)).first(min(SAMPLES, most))
        for name, data in given.items()
    ]
    kinds, scale = _kinds(node, users[0].inputs)
    many = min(DRAWN, most, max(LEAST, int(WORK / _work(graph))))
    calls = {"drawn": (list(kinds) * DRAWN)[:many]}
    if min(probe.samples for probe in users) > 1 or many == DRAWN:
        calls |= {f"one sample, {kind}": [kind] for kind in ALONE if kind in kinds}
    for count in sorted(recording.samples):
        if count <= affordable(graph):
            calls[f"{count} samples"] = (list(kinds) * count)[:count]
    drawn = [
        _drawn(graph, name, [kinds[kind] for kind in calls[name]], scale, SEED + number)
        for number, name in enumerate(calls)
    ]
    return (*users, *drawn, replace(users[0], name="example again"))


ALONE = ("full", "silent", "high", "negative")
"""Kinds that are a call of one sample, too: what a whole batch has in common shows there."""


def _kinds(node: Node, example: Value) -> tuple[Mapping[str, Draw], float]:
    """How inputs are drawn, from those of the example's samples that a program keeps."""
    match node.op:
        case Input("spike"):
            return SPIKES, 1.0
        case Input("count"):
            return COUNTS, max(node.signal.values.members or (1.0,))
    spread = float(example.double().std()) if example.numel() > 1 else 1.0
    # Few digits: the sum's last bits depend on the machine, and the record must not.
    return ANALOG, float(f"{spread:.3g}") or 1.0


def _drawn(graph: Graph, name: str, kinds: Sequence[Draw], scale: float, seed: int) -> Probe:
    """One sample of each of ``kinds``, in the module's layout."""
    (node,) = graph.inputs
    generator = torch.Generator().manual_seed(seed)
    axes, shape = node.signal.axes, node.signal.shape
    stepwise = node.signal.rate == "step"
    lead = (graph.time_steps or 1,) if stepwise else ()
    samples = torch.stack([kind(generator, (*lead, *shape), scale) for kind in kinds], len(lead))
    samples = as_taken(samples, graph)
    axis = axes.index("N") + samples.dim() - len(axes)
    return Probe(name, samples.contiguous(), axis, seed)


def room(graph: Graph) -> int:
    """How many samples fit in `MEMORY`."""
    neurons = sum(math.prod(node.signal.shape) for node in graph.neurons)
    return max(1, MEMORY // (8 * max(1, neurons) * (graph.time_steps or 1)))


def affordable(graph: Graph) -> int:
    """The largest number of samples that a module is called with because forward asks about it."""
    return max(LEAST, min(room(graph), MANY, int(4 * WORK / _work(graph))))


def _work(graph: Graph) -> float:
    """About how many multiplications one sample costs."""
    total = 0
    for node in graph.nodes.values():
        taps = 1
        if isinstance(node.op, Conv | Dense):
            taps = math.prod(graph.tensors[node.op.weight].shape[1:])
        elif isinstance(node.op, ConvTranspose):
            taps = math.prod(graph.tensors[node.op.weight].shape[2:])
        total += taps * math.prod(node.signal.shape)
    return max(1.0, float(total) * (graph.time_steps or 1))


def _check(graph: Graph, given: Mapping[str, Value]) -> None:
    (node,) = graph.inputs
    steps = {}
    for name, data in given.items():
        if not bool(torch.isfinite(data).all()):
            raise refuse("SNN312", "the example or the calibration data holds NaN or infinity")
        arranged = arrange(data, graph)[node.name]
        check_bound(node, arranged)
        steps[name] = len(arranged) if node.signal.rate == "step" else 0
    if len(set(steps.values())) > 1:
        said = f"the calibration data has {steps['calibration']} steps"
        raise refuse("SNN306", f"{said} and the example {steps['example']}")


def for_passes(calls: Sequence[Probe]) -> tuple[Probe, ...]:
    """What passes are verified on: the user's samples, and the first of the drawn ones."""
    users = [probe for probe in calls if probe.name in ("example", "calibration")]
    return (*users, *(probe.first(OF_PASSES) for probe in calls if probe.name == "drawn"))


def arranged(graph: Graph, calls: Sequence[Probe]) -> dict[str, Value]:
    """The samples of all ``calls``, one after the other, as the interpreter takes them."""
    (node,) = graph.inputs
    parts = [arrange(probe.inputs, graph)[node.name] for probe in calls]
    return {node.name: torch.cat(parts, parts[0].dim() - len(node.signal.shape) - 1)}


def recordings(graph: Graph, calibration: Value, samples: int) -> Probe:
    """At most ``samples`` of the calibration. Raises SnnccError (SNN306, SNN312)."""
    (node,) = graph.inputs
    _check(graph, {"calibration": calibration})
    axis = node.signal.axes.index("N") + calibration.dim() - len(node.signal.axes)
    count = min(samples, room(graph), calibration.shape[axis])
    return Probe("calibration", calibration.narrow(axis, 0, count), axis)
