"""Synaptic work: the accumulates (AC) and multiply-accumulates (MAC) of a run, exactly.

A spike that reaches n targets is n AC, an event of count k is k times that. A Network does nothing
else between its input and its readout; its encoders stay on the host and are dense MACs.

A Graph is counted op by op, as the network was written, by the rule of Dual-Stream Training
(arXiv 2301.11929: a conv, linear or pool layer that reads a binary tensor is AC, else dense MAC),
with these differences:

- AC are counted spike by spike with the synapses each one has, borders included, where the paper
  multiplies dense operations with a mean rate; a dense MAC counts the padding as everybody does;
- a tensor of counts is AC too, an event of count k as k spikes; an average of spikes is not;
- elementwise ops, which the paper takes as free, are not: adding, subtracting or comparing real
  values and summing them over time is one AC an element, on spikes one AC an arriving spike; a
  product of two real values, a scaling or a norm that does not directly follow a conv or dense
  layer (and so cannot be folded into it) is one MAC an element;
- biases, activations, softmax and argmax are free, as in the paper; neuron updates are counted
  apart.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import Value
from snncc.ir.network import Encoder, Network
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Delay,
    Dense,
    Elementwise,
    Identity,
    Input,
    MatMul,
    Membrane,
    Norm,
    Normalise,
    Op,
    OverTime,
    Pad,
    Permute,
    Pool,
    Reduce,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Sparse,
    Spiking,
    Unread,
    Upsample,
)  # fmt: skip
from snncc.ir.synapses import fan_out, synapses

_FREE = (
    Argmax, Broadcast, Concat, Constant, Delay, Identity, Input, Membrane, OverTime, Pad, Permute,
    Repeat, Reshape, Slice, Softmax, Unread, Upsample,
)  # fmt: skip
"""Ops that move values, or that the paper takes as free; the membrane is the neuron's update."""

_ACCUMULATES = frozenset({"add", "sub", "minimum", "maximum", "clamp", "where", "abs"})
_MULTIPLIES = frozenset({"mul", "div", "pow", "square"})
_BOOLEAN = frozenset({"and", "or", "xor", "not", "nonzero", "ge", "gt", "le", "lt", "eq", "ne"})


@dataclass(frozen=True)
class Operations:
    """Accumulates, multiply-accumulates and neuron updates."""

    ac: int = 0
    mac: int = 0
    updates: int = 0

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.ac + other.ac, self.mac + other.mac, self.updates + other.updates)


@dataclass(frozen=True)
class Work:
    """The operations of ``samples`` samples, by part.

    The parts of a Network are its projections ("source -> target"), encoders and populations,
    those of a Graph its nodes.
    """

    samples: int = 0
    parts: Mapping[str, Operations] = field(default_factory=dict)

    @property
    def total(self) -> Operations:
        return sum(self.parts.values(), Operations())

    def __add__(self, other: Work) -> Work:
        """The work of both, on different samples."""
        names = dict.fromkeys([*self.parts, *other.parts])
        none = Operations()
        return Work(
            self.samples + other.samples,
            {n: self.parts.get(n, none) + other.parts.get(n, none) for n in names},
        )

    def of(self, names: Collection[str]) -> Work:
        """The part of the work done in ``names``."""
        return Work(self.samples, {n: ops for n, ops in self.parts.items() if n in names})


@dataclass(frozen=True)
class Energy:
    """Joules per operation."""

    ac: float
    mac: float
    source: str

    def __call__(self, operations: Operations) -> float:
        """The energy of AC and MAC in joules; neuron updates are not in it."""
        return self.ac * operations.ac + self.mac * operations.mac


CMOS_45NM = Energy(
    ac=0.9e-12,
    mac=4.6e-12,
    source="0.9 pJ/AC, 4.6 pJ/MAC: 32-bit float in 45 nm CMOS, Horowitz ISSCC 2014",
)

WHOLE_45NM = Energy(
    ac=0.1e-12,
    mac=CMOS_45NM.mac,
    source="0.1 pJ/AC: 32-bit integer, ibid.; MACs are the encoders', in float",
)
"""Of a fixed Network. A membrane of 24 bits takes less than the 32-bit addition that is published.
"""


class NetworkMeter:
    """Counts the work of one Network; the fan-outs are made once."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._fan_outs = [
            (p, fan_out(p.map, network.places[p.source].shape, network.tensors))
            for p in network.projections
            if not isinstance(network.places[p.source], Encoder)
        ]
        self._encoders = {e.name: GraphMeter(e.graph) for e in network.encoders}

    def __call__(self, sent: Mapping[str, Value], samples: int, steps: int) -> Work:
        """The work of ``samples`` samples of ``steps`` steps, in which every population and source
        ``sent`` so much, its values summed over both.

        The current of an encoder enters a neuron as its bias does and is no work of its own.
        """
        parts: dict[str, Operations] = {}
        for name, meter in self._encoders.items():
            total = meter({}, samples, steps).total
            parts[name] = Operations(total.ac, total.mac)
        for projection, fan in self._fan_outs:
            name = f"{projection.source} -> {projection.target}"
            done = Operations(ac=_arrivals(sent[projection.source], fan))
            parts[name] = parts.get(name, Operations()) + done
        for population in self._network.populations:
            updates = math.prod(population.shape) * steps * samples
            parts[population.name] = Operations(updates=updates)
        return Work(samples, parts)


class GraphMeter:
    """Counts the work of one Graph; ``reads`` names the nodes whose tallies it must be given."""

    def __init__(self, graph: Graph, only: Iterable[str] | None = None) -> None:
        names = graph.nodes if only is None else set(only)
        self._graph = graph
        self._nodes = [node for node in graph.nodes.values() if node.name in names]
        self._fan_outs: dict[str, np.ndarray] = {}
        self.reads = frozenset(
            source for node in self._nodes if self._by_spikes(node) for source in self._args(node)
        )

    def __call__(self, tallies: Mapping[str, Value], samples: int, steps: int) -> Work:
        """The work of ``samples`` samples of ``steps`` steps.

        ``tallies`` holds of each node in ``reads`` its values summed over both.
        """
        counted = {
            node.name: self._by_arrivals(node, tallies)
            if self._by_spikes(node)
            else self._dense(node, samples, steps)
            for node in self._nodes
        }
        return Work(samples, {n: ops for n, ops in counted.items() if ops != Operations()})

    def _args(self, node: Node) -> list[str]:
        """The arguments that depend on the input."""
        nodes = self._graph.nodes
        return [name for name in node.inputs if not isinstance(nodes[name].op, Constant)]

    def _by_spikes(self, node: Node) -> bool:
        """Whether every argument carries spikes or counts, so that its work follows them."""
        args = self._args(node)
        if not args or not all(map(self._is_count, args)):
            return False
        match node.op:
            case Conv() | ConvTranspose() | Dense() | Sparse() | Pool() | AdaptivePool() | Reduce():
                return True
            case OverTime():
                return node.op.kind in ("mean", "sum")
            case Elementwise():
                known = _ACCUMULATES | _BOOLEAN | (_MULTIPLIES if len(args) > 1 else frozenset())
                return node.op.function in known
        return False

    def _is_count(self, name: str) -> bool:
        node = self._graph.nodes[name]
        declared = isinstance(node.op, Input) and node.op.kind != "analog"
        return declared or node.signal.values.is_count

    def _by_arrivals(self, node: Node, tallies: Mapping[str, Value]) -> Operations:
        if isinstance(node.op, Elementwise | OverTime):
            return Operations(ac=sum(round(float(tallies[n].sum())) for n in self._args(node)))
        (source,) = node.inputs
        if node.name not in self._fan_outs:
            shape = self._graph.nodes[source].signal.shape
            self._fan_outs[node.name] = fan_out((node.op,), shape, self._graph.tensors)
        return Operations(ac=_arrivals(tallies[source], self._fan_outs[node.name]))

    def _dense(self, node: Node, samples: int, steps: int) -> Operations:
        args = self._args(node)
        if not args:
            return Operations()
        rates = {self._graph.nodes[name].signal.rate for name in args}
        times = samples * (steps if "step" in rates else 1)
        size = math.prod(node.signal.shape)
        match node.op:
            case Spiking():
                return Operations(updates=size * samples * steps)
            case OverTime() if node.op.kind != "last":
                return Operations(ac=size * times)
            case Elementwise() if node.op.function not in _ACCUMULATES | _MULTIPLIES:
                return Operations()
            case Pool() | AdaptivePool() if node.op.kind == "max":
                return Operations(ac=self._dense_layer(node.op, size, args[0]) * times)
            case Norm() if self._follows_layer(args[0]):
                return Operations()
            case Norm() | Normalise():
                return Operations(mac=size * times)
            case Scale():
                return Operations(mac=0 if self._is_count(args[0]) else size * times)
            case Elementwise() if node.op.function in _ACCUMULATES:
                return Operations(ac=size * times)
            case Elementwise() if node.op.function in _MULTIPLIES:
                free = len(args) == 1 and self._is_count(args[0])
                return Operations(mac=0 if free else size * times)
            case MatMul():
                inner = self._graph.nodes[args[0]].signal.shape[-1]
                return Operations(mac=size * inner * times)
            case op if isinstance(op, _FREE):
                return Operations()
            case op:
                return Operations(mac=self._dense_layer(op, size, args[0]) * times)

    def _dense_layer(self, op: Op, size: int, source: str) -> int:
        """Products of one step of a layer that reads real values.

        Raises TypeError for an op of which nothing says what it costs.
        """
        match op:
            case ConvTranspose():
                weight = self._graph.tensors[op.weight]
                source_size = math.prod(self._graph.nodes[source].signal.shape)
                return source_size * math.prod(weight.shape[1:])
            case Conv():
                return size * math.prod(self._graph.tensors[op.weight].shape[1:])
            case Dense():
                return size * int(self._graph.tensors[op.weight].shape[1])
            case Pool():
                return size * math.prod(op.kernel)
            case Sparse() | AdaptivePool() | Reduce():
                return synapses((op,), self._graph.nodes[source].signal.shape, self._graph.tensors)
            case _:
                raise TypeError(f"nothing says what `{type(op).__name__}` costs")

    def _follows_layer(self, name: str) -> bool:
        while isinstance(self._graph.nodes[name].op, Identity):
            (name,) = self._graph.nodes[name].inputs
        return isinstance(self._graph.nodes[name].op, Conv | ConvTranspose | Dense)


def _arrivals(tally: Value, fan: np.ndarray) -> int:
    """A tally, each spike as often as it has targets."""
    return int((np.rint(tally.double().numpy()).astype(np.int64) * fan).sum())
