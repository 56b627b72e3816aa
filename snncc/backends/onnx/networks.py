"""A Network as a Graph: populations are neurons, projections the ops between them.

The Graph computes what the Network computes, and its nodes have the names of the places. It is what
is written as ONNX of a program; nothing is compiled from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from snncc.backends.onnx.operators import FixedSpiking, Real, WholeSum
from snncc.diagnostics import Location
from snncc.ir.graph import Graph, Node, Rate, Signal
from snncc.ir.network import Encoder, Network, Neuron, Population, Projection, Readout
from snncc.ir.ops import (
    Constant,
    Conv,
    Delay,
    Elementwise,
    Input,
    Number,
    Op,
    OverTime,
    Ref,
    Repeat,
    Scale,
    Spiking,
    WholeSpiking,
)
from snncc.ir.registers import FixedNeuron, registers_of
from snncc.ir.shapes import Shape, output_shape
from snncc.ir.values import REAL


def as_graph(network: Network) -> Graph:
    """``network`` as a Graph whose heads are its readouts.

    A Graph of a network in whole numbers holds ops that only the writer knows.
    """
    return _Writing(network).graph()


def in_registers(graph: Graph) -> Graph:
    """``graph`` with each ``WholeSpiking`` as the writer knows it, on whole sums."""
    nodes: list[Node] = []
    tensors = dict(graph.tensors)
    for node in graph.nodes.values():
        if isinstance(node.op, WholeSpiking):
            neuron, numbers = registers_of(node.op, graph.tensors, node.name)
            tensors |= numbers
            whole = replace(node, name=f"{node.name}.whole", op=WholeSum(rounded=True))
            nodes.append(replace(whole, signal=replace(node.signal, values=REAL)))
            node = replace(node, op=FixedSpiking(neuron), inputs=(whole.name,))
        nodes.append(node)
    return Graph.build(nodes, tensors, graph.heads, graph.name, graph.time_steps)


class _Writing:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._nodes: dict[str, Node] = {}
        self._tensors: dict[str, np.ndarray] = dict(network.tensors)
        self._names = set(network.places)
        self._inputs_by_encoder: dict[str, str] = {}

    def graph(self) -> Graph:
        network = self._network
        heads: dict[str, str] = {}
        self._inputs()
        for place in network.places.values():
            match place:
                case Encoder():
                    self._encoder(place)
                case Population():
                    self._population(place)
                case Readout():
                    heads[place.name] = self._readout(place)
        return Graph.build(
            self._nodes.values(), self._tensors, heads, network.name, network.time_steps
        )

    def _add(self, name: str, op: Op, inputs: Iterable[str], shape: Shape,
             rate: Rate = "step", origin: Location = Location()) -> str:  # fmt: skip
        self._nodes[name] = Node(name, op, tuple(inputs), Signal(shape, rate), origin)
        return name

    def _new(self, base: str) -> str:
        name, count = base, 1
        while name in self._names:
            count += 1
            name = f"{base}:{count}"
        self._names.add(name)
        return name

    def _inputs(self) -> None:
        for source in self._network.sources:
            self._add(source.name, Input(source.kind), (), source.shape)
        for encoder in self._network.encoders:
            for node in encoder.graph.inputs:
                self._nodes.setdefault(node.name, node)
                self._names.add(node.name)

    def _encoder(self, encoder: Encoder) -> None:
        """Its nodes, under names that begin with its own."""
        graph = encoder.graph
        head = graph.nodes[graph.heads["current"]]
        if isinstance(head.op, Input):
            self._inputs_by_encoder[encoder.name] = head.name
            return
        named = {
            n.name: n.name if isinstance(n.op, Input) else self._new(f"{encoder.name}.{n.name}")
            for n in graph.nodes.values()
        }
        named[graph.heads["current"]] = encoder.name
        refs = {name: f"{encoder.name}.{name}" for name in graph.tensors}
        self._tensors |= {refs[name]: array for name, array in graph.tensors.items()}
        for node in graph.nodes.values():
            if not isinstance(node.op, Input):
                self._nodes[named[node.name]] = replace(
                    node, name=named[node.name], op=_renamed(node.op, refs),
                    inputs=tuple(named[source] for source in node.inputs),
                )  # fmt: skip

    def _number(self, number: Number, base: str) -> str:
        shape = tuple(self._tensors[number].shape) if isinstance(number, Ref) else ()
        return self._add(self._new(base), Constant(number), (), shape, "static")

    def _delayed(self, projection: Projection) -> str:
        """What a projection brings: the spikes of some steps before, and its map of them."""
        source = self._network.places[projection.source]
        name, shape = self._inputs_by_encoder.get(source.name, source.name), source.shape
        rate = self._nodes[name].signal.rate if name in self._nodes else "step"
        base = f"{projection.source}->{projection.target}"
        for _ in range(projection.delay):
            name = self._add(self._new(f"{base}.delay"), Delay(), [name], shape)
            rate = "step"
        for op in projection.map:
            shape = output_shape(op, (shape,), self._tensors)
            name = self._add(
                self._new(f"{base}.{type(op).__name__.lower()}"), op, [name], shape, rate
            )
        if self._network.is_fixed:
            wrapped = any(isinstance(op, Conv) for op in projection.map)
            rounded = isinstance(source, Encoder)
            wrapped = wrapped and not rounded
            name = self._whole(name, shape, rate, rounded=rounded, wrapped=wrapped)
        return name

    def _whole(self, name: str, shape: Shape, rate: Rate = "step", **how: bool) -> str:
        return self._add(self._new(f"{name}.whole"), WholeSum(**how), [name], shape, rate)

    def _sum(self, place: Population | Readout) -> str:
        """The sum of all that a place hears; what comes out of a loop is added last."""
        names = [self._delayed(p) for p in self._network.incoming[place.name]]
        if not names:
            name = self._number(0.0, f"{place.name}.zero")
            name = self._add(self._new(f"{place.name}.silence"), Repeat(), [name], place.shape)
            return self._whole(name, place.shape) if self._network.is_fixed else name
        total = names[0]
        for name in names[1:]:
            total = self._add(self._new(f"{place.name}.sum"), Elementwise("add"), [total, name],
                              place.shape)  # fmt: skip
        return total

    def _biased(self, total: str, bias: Number, place: Population | Readout) -> str:
        if not isinstance(bias, Ref) and bias == 0:
            return total
        number = self._number(bias, f"{place.name}.bias")
        return self._add(self._new(f"{place.name}.biased"), Elementwise("add"), [total, number],
                         place.shape)  # fmt: skip

    def _population(self, place: Population) -> None:
        total, neuron = self._sum(place), place.neuron
        if isinstance(neuron, FixedNeuron):
            self._add(place.name, FixedSpiking(neuron), [total], place.shape, origin=place.origin)
            return
        total = self._biased(total, neuron.bias, place)
        self._add(place.name, _written(neuron), [total], place.shape, origin=place.origin)

    def _readout(self, place: Readout) -> str:
        total = self._sum(place)
        if self._network.is_fixed:
            total = self._add(self._new(f"{place.name}.real"), Real(), [total], place.shape)
        if isinstance(place.unit, Ref) or place.unit != 1:
            total = self._add(
                self._new(f"{place.name}.unit"), Scale(place.unit), [total], place.shape
            )
        name = self._biased(total, place.bias, place)
        shape: Shape = place.shape
        rate: Rate = "step"
        if place.over_time != "none":
            name = self._add(
                self._new(f"{place.name}.{place.over_time}"), OverTime(place.over_time), [name],
                shape, "final",
            )  # fmt: skip
            rate = "final"
        for op in place.host:
            shape = output_shape(op, (shape,), self._tensors)
            name = self._add(
                self._new(f"{place.name}.{type(op).__name__.lower()}"), op, [name], shape,
                rate,
            )  # fmt: skip
        return name


def _written(neuron: Neuron) -> Spiking:
    """The normal form as an op of a Graph."""
    integrates = not isinstance(neuron.decay, Ref) and neuron.decay == 1
    return Spiking(
        threshold=neuron.threshold, reset=neuron.reset, initial=neuron.initial,
        decay=None if integrates else neuron.decay, current_decay=neuron.current_decay,
        when=neuron.when, keep=neuron.keep, current_initial=neuron.current_initial,
    )  # fmt: skip


def _renamed(op: Op, refs: dict[str, str]) -> Op:
    values: dict[str, Any] = {f.name: getattr(op, f.name) for f in fields(op)}
    return replace(op, **{k: Ref(refs[v]) for k, v in values.items() if isinstance(v, Ref)})
