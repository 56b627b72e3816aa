"""Networks of all sorts, and every spike of them in Lava against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from snncc.backends.loihi import emit
from snncc.backends.loihi.simulation import simulate
from snncc.ir import (
    Encoder,
    Graph,
    Network,
    Neuron,
    Node,
    Population,
    Projection,
    Readout,
    Ref,
    Signal,
    Source,
)  # fmt: skip
from snncc.ir.interpreter import run_network
from snncc.ir.ops import (
    Conv,
    Dense,
    Input,
    Op,
    Pad,
    Permute,
    Pool,
    Reshape,
    Scale,
    Softmax,
    Upsample,
)  # fmt: skip
from snncc.ir.shapes import output_shape
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.realise_projections import RealiseProjections

TIMEOUT = 120


def scheduled(network: Network, delays: int = 0) -> Network:
    outcome = BalanceDelays(delays)(RealiseProjections()(network).form)
    assert outcome.ok, outcome.findings
    return outcome.form


class Builder:
    """Grows a network whose numbers are multiples of 1/8: float64 adds them without error, in any
    order, so thresholds are met exactly, and often."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.places: dict[str, Any] = {}
        self.wires: list[Projection] = []
        self.tensors: dict[str, np.ndarray] = {}

    def eighths(self, *shape: int, low: int = -6, high: int = 8) -> np.ndarray:
        return self.random.integers(low, high, shape) / 8

    def tensor(self, values: np.ndarray) -> Ref:
        ref = Ref(f"t{len(self.tensors)}")
        self.tensors[ref] = values
        return ref

    def choose(self, *options: Any) -> Any:
        return options[self.random.integers(len(options))]

    def shape(self, source: str, *maps: Op) -> tuple[int, ...]:
        shape = self.places[source].shape
        for op in maps:
            shape = output_shape(op, (shape,), self.tensors)
        return shape

    def wire(self, source: str, target: str, *maps: Op, delay: int = 0) -> None:
        self.wires.append(Projection(source, target, maps, delay))

    def grow(self, name: str, source: str, *maps: Op) -> None:
        """A population of some neuron that reads ``source`` through ``maps``."""
        shape = self.shape(source, *maps)
        self.places[name] = Population(name, shape, self.neuron(shape))
        self.wire(source, name, *maps)

    def gate(self, name: str, threshold: float, *inputs: tuple[str, float]) -> None:
        """A memoryless gate over spikes of one shape, with weights."""
        shape = self.shape(inputs[0][0])
        self.places[name] = Population(name, shape, Neuron(0.0, threshold), "gate", name)
        for source, weight in inputs:
            self.wire(source, name, *([] if weight == 1 else [Scale(weight)]))

    def conv(self, source: str, out: int, kernel: int, **more: Any) -> Conv:
        inside = self.shape(source)[0] // more.get("groups", 1)
        size = (out, inside, kernel, kernel)
        few = max(2, min(8, 24 // (inside * kernel)))
        return Conv(self.tensor(self.eighths(*size, low=-few + 1, high=few + 1)), **more)

    def dense(self, features: int, out: int) -> Dense:
        return Dense(self.tensor(self.eighths(out, features, low=-2, high=4)))

    def neuron(self, shape: tuple[int, ...]) -> Neuron:
        """Some neuron of the normal form, its numbers one for all, by channel or by neuron."""

        def number(low: int, high: int) -> float | Ref:
            sizes = self.choose((), (shape[0], *[1] * (len(shape) - 1)), shape)
            values = self.eighths(*sizes, low=low, high=high)
            return self.tensor(values) if sizes else float(values)

        return Neuron(
            self.choose(1.0, 1.0, 0.5, 0.75, number(0, 9)),
            number(3, 10),
            self.choose(0.0, number(-2, 3)),
            self.choose(0.0, 0.0, number(-4, 5)),
            self.choose("hard", "hard", "soft"),
        )

    def encoder(self, name: str, shape: tuple[int, ...], rate: Any) -> str:
        """Currents on the host: twice an analog input."""
        nodes = [
            Node(f"{name}.image", Input("analog"), (), Signal(shape, rate)),
            Node(f"{name}.current", Scale(2.0), (f"{name}.image",), Signal(shape, rate)),
        ]
        graph = Graph.build(nodes, {}, {"current": f"{name}.current"})
        self.places[name] = Encoder(name, shape, graph, rate == "static")
        return name

    def done(self, time_steps: int | None = None) -> Network:
        places = self.places.values()
        return Network.build(places, self.wires, self.tensors, "all sorts", time_steps)


def all_sorts(
    seed: int,
    steps: int,
    samples: int,
    *,
    delays: int = 0,
    loops: bool = False,
    schedule: Callable[[Network, int], Network] = scheduled,
) -> tuple[Network, dict[str, torch.Tensor]]:
    """A network of blocks, skips, gates and random neurons, scheduled, and inputs for it.

    With ``loops`` neurons hear themselves and others, and hosts hear them, some steps late.
    """
    b = Builder(seed)
    b.places["events"] = Source("events", (2, 7, 6))
    stem = (4, 4, 3)
    still, moving = b.encoder("still", stem, "static"), b.encoder("moving", stem, "step")

    b.grow("stem", "events", b.conv("events", 4, 3, stride=(2, 2), padding=(1, 1)))
    b.grow("lit", still, Scale(0.5))  # level 0
    b.wire(moving, "lit", Scale(b.tensor(b.eighths(4, 1, 1))))
    b.grow("deep", "stem", b.conv("stem", 4, 3, padding=(1, 1), groups=2))
    b.wire(moving, "deep")
    b.wire("lit", "deep", Scale(b.tensor(b.eighths(*stem))))
    b.gate("both", 2.0, ("deep", 1.0), ("stem", 1.0))
    b.gate("either", 1.0, ("both", 1.0), ("lit", 1.0))
    b.gate("one.alone", 1.0, ("stem", 1.0), ("either", -1.0))
    b.gate("one_alone", 2.0, ("stem", 2.0), ("lit", 1.0), ("both", -1.0))
    # Twice from one source, through weights that both use.
    shared = b.conv("either", 4, 3, padding=(1, 1))
    b.grow("again", "either", shared)
    b.wire("either", "again", shared, Scale(-0.5))
    b.wire("one.alone", "again", Pool("average", (1, 2), (1, 1), (0, 1)),
           Pool("sum", (1, 2), (1, 1)))  # fmt: skip
    b.grow("class", "again", b.conv("again", 6, 2, dilation=(2, 1), groups=2))
    b.grow("steps", "class", Permute((0, 2, 1)), Upsample((2, 1)), Pad(((0, 0), (0, 1), (1, 0))))
    b.grow("rows", "steps", b.dense(3, 5))
    b.grow("flat", "rows", Reshape((150,)), b.dense(150, 7))
    b.grow("last", "flat", b.dense(7, 5))
    b.wire("one_alone", "last", Pool("average", (4, 2), (4, 2)), Reshape((4,)), b.dense(4, 5))
    b.places["clock"] = Population("clock", (5,), Neuron(bias=0.375))
    b.wire("clock", "last", Scale(-0.25))

    bias = b.tensor(b.eighths(5))
    b.places["logits"] = Readout("logits", (5,), bias, "mean", (Softmax(0),))
    b.wire("last", "logits", b.dense(5, 5))
    b.wire("flat", "logits", b.dense(7, 5))
    b.places["maps"] = Readout("maps", stem, 0.25, b.choose("sum", "last", "none"))
    b.wire("stem", "maps", Scale(3.0))
    b.wire(still, "maps")
    if loops:
        self_conv = b.conv("stem", 4, 3, padding=(1, 1))
        b.wire("stem", "stem", self_conv, delay=1)
        b.wire("events", "stem", b.conv("events", 4, 3, stride=(2, 2), padding=(1, 1)), delay=1)
        b.wire("flat", "flat", b.dense(7, 7), delay=1)
        b.wire("either", "deep", Scale(-0.5), delay=3)  # deep, both, either, deep
        b.wire("last", "last", b.dense(5, 5), delay=2)
        b.wire("lit", "deep", Scale(0.25), delay=2)  # a gate's neighbour, not in a loop
        b.wire("one.alone", "one.alone", Scale(-1.0), delay=1)  # a gate that hears itself
        b.wire("flat", "logits", b.dense(7, 5), delay=2)
        b.wire("last", "logits", b.dense(5, 5), delay=1)
    inputs = {
        "events": b.random.random((steps, samples, 2, 7, 6)) < 0.4,
        "still.image": b.eighths(samples, *stem),
        "moving.image": b.eighths(steps, samples, *stem),
    }
    return schedule(b.done(), delays), {name: torch.from_numpy(x) for name, x in inputs.items()}


def agree(network, inputs, folder, sums=0.0, **options):
    """Run both; every spike of every population and step must be the same. Returns Lava's run."""
    emit(network, folder, **options)
    expected = run_network(network, inputs)
    found = simulate(folder, network, inputs, timeout=TIMEOUT)
    recorded = {p.name for p in network.populations if p.role != "relay"}
    assert set(found.spikes) == recorded | {source.name for source in network.sources}
    for name, spikes in found.spikes.items():
        assert torch.equal(spikes, expected.spikes[name]), name
    for name, output in expected.outputs.items():
        torch.testing.assert_close(found.outputs[name], output, rtol=0, atol=sums)
        torch.testing.assert_close(found.logits[name], expected.logits[name], rtol=0, atol=sums)
    return found
