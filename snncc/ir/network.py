"""Network: populations joined by projections (design, section 2).

A Network cannot say a MAC on a non-spike, an unfolded norm or an elementwise product. Only a
Network reaches a backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import networkx as nx

from snncc.diagnostics import Location
from snncc.ir.graph import Graph, Tensors, loops_together
from snncc.ir.ops import Identity, Norm, Number, Op, Ref, Reset, Scale, When, check_reset, is_linear
from snncc.ir.registers import FixedNeuron, misfits, weight_misfits
from snncc.ir.shapes import Shape, output_shape


@dataclass(frozen=True)
class Source:
    """Spikes (or counts of events) that come from outside, one tensor of ``shape`` per step."""

    name: str
    shape: Shape
    kind: Literal["spike", "count"] = "spike"


@dataclass(frozen=True)
class Encoder:
    """Analog work that stays on the host: a Graph from the analog input to a current.

    ``graph`` has the one head "current". ``static``: one current per sample, the same at every
    step; else one per step.
    """

    name: str
    shape: Shape
    graph: Graph
    static: bool = True


@dataclass(frozen=True)
class Neuron:
    """The one normal form (design, section 2).

    v ← decay·v + x + bias;  s = [v ≥ threshold];  hard: v ← keep·v where s, soft: v ← v −
    threshold·s, none: v stays. v starts at ``initial``. decay = 0 is a memoryless gate. Numbers
    are per layer, or tensors that broadcast over the population's shape (per channel (C,1,1), per
    neuron).

    Three variants with a name of their own. With ``current_decay`` there is a synaptic current:
    c ← current_decay·c + x + bias, from ``current_initial``, takes the place of x + bias. ``when``
    is when a spike resets, as in ``ops.Dynamics``: "now", in the "next" step, or "both". With
    ``keep`` a hard reset leaves a part of the membrane.
    """

    decay: Number = 1.0
    threshold: Number = 1.0
    bias: Number = 0.0
    initial: Number = 0.0
    reset: Reset = "hard"
    current_decay: Number = 0.0
    when: When = "now"
    keep: Number = 0.0
    current_initial: Number = 0.0

    def __post_init__(self) -> None:
        check_reset(self.reset, self.when)

    @property
    def keeps(self) -> bool:
        """Whether its hard reset leaves a part of the membrane."""
        return self.reset == "hard" and self.keep != 0

    @property
    def is_memoryless(self) -> bool:
        """Whether a step depends on nothing before it."""
        return self.decay == 0 and self.current_decay == 0 and self.when == "now"

    @property
    def is_stock(self) -> bool:
        """Whether Lava's own processes compute it."""
        plain = self.reset == "hard" and not self.variant and self.initial == 0
        return plain or self.is_memoryless

    @property
    def variant(self) -> str:
        """What it is more than the first line above, in words; empty if nothing."""
        words = {"next": f"{self.reset} reset one step late", "both": "reset in two steps"}
        parts = [words[self.when]] if self.when in words else []
        parts += ["no reset"] if self.reset == "none" else []
        parts += ["a synaptic current"] if self.current_decay != 0 else []
        parts += ["a reset that keeps a part"] if self.keeps else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Population:
    """Neurons of one kind.

    ``role``: "neuron" stands for a neuron of the trained network, "gate" for a boolean function of
    spikes, "relay" for a copy one step later. ``stands_for`` is the Graph node whose value these
    spikes are. The neurons of a network are all ``Neuron`` or, after quantize, all ``FixedNeuron``.
    """

    name: str
    shape: Shape
    neuron: Neuron | FixedNeuron
    role: Literal["neuron", "gate", "relay"] = "neuron"
    stands_for: str = ""
    origin: Location = Location()


@dataclass(frozen=True)
class Readout:
    """Sums that leave the chip every step and are added up on the host.

    A step is the sum times ``unit``, what one of it is worth, plus ``bias``. ``over_time``: what
    the host makes of the steps. ``host``: ops without parameters applied after that (softmax,
    argmax).
    """

    name: str
    shape: Shape
    bias: Number = 0.0
    over_time: Literal["mean", "sum", "last", "max", "none"] = "mean"
    host: tuple[Op, ...] = ()
    unit: Number = 1.0


@dataclass(frozen=True)
class Projection:
    """A linear map from one population's spikes to another's input, ``delay`` steps later.

    ``map`` is applied left to right; the empty map is the identity. Conv and Dense have no bias.
    """

    source: str
    target: str
    map: tuple[Op, ...] = ()
    delay: int = 0


Place = Source | Encoder | Population | Readout


@dataclass(frozen=True)
class Network:
    """Places in an order in which undelayed projections point forward, and their projections."""

    places: Mapping[str, Place]
    projections: tuple[Projection, ...]
    tensors: Tensors = field(repr=False)
    name: str = "network"
    time_steps: int | None = None

    @staticmethod
    def build(
        places: Iterable[Place],
        projections: Iterable[Projection],
        tensors: Tensors,
        name: str = "network",
        time_steps: int | None = None,
    ) -> Network:
        """Order the places, drop tensors nobody reads, and check. Raises ValueError."""
        table = {place.name: place for place in places}
        wires = tuple(projections)
        for p in wires:
            for end in (p.source, p.target):
                if end not in table:
                    raise ValueError(f"projection {p.source} -> {p.target}: no place {end}")
        order = nx.DiGraph()
        order.add_nodes_from(table)
        order.add_edges_from((p.source, p.target) for p in wires if p.delay == 0)
        try:
            rank = {name: i for i, name in enumerate(nx.lexicographical_topological_sort(
                order, key={name: i for i, name in enumerate(table)}.__getitem__))}  # fmt: skip
        except nx.NetworkXUnfeasible:
            raise ValueError("a loop of projections has no delay") from None
        sorted_places = {name: table[name] for name in sorted(table, key=rank.__getitem__)}
        network = Network(
            MappingProxyType(sorted_places),
            tuple(sorted(wires, key=lambda p: rank[p.target])),
            MappingProxyType({}), name, time_steps,
        )  # fmt: skip
        used = {str(ref): tensors[ref] for ref in network.refs()}
        network = replace(network, tensors=MappingProxyType(used))
        network.verify()
        return network

    def refs(self) -> Iterable[Ref]:
        """Every tensor the network reads (encoders hold their own)."""
        seen: dict[Ref, None] = {}
        for place in self.places.values():
            values: tuple[object, ...] = ()
            if isinstance(place, Population):
                n = place.neuron
                if isinstance(n, FixedNeuron):
                    values = tuple(number for _, number in n.numbers())
                else:
                    values = (n.decay, n.threshold, n.bias, n.initial, n.current_decay, n.keep,
                              n.current_initial)  # fmt: skip
            elif isinstance(place, Readout):
                values = (place.bias, place.unit)
            seen.update((value, None) for value in values if isinstance(value, Ref))
        for projection in self.projections:
            for op in projection.map:
                seen.update((ref, None) for ref in op.refs())
        return seen

    def with_changes(
        self,
        places: Iterable[Place] | None = None,
        projections: Iterable[Projection] | None = None,
        tensors: Tensors | None = None,
    ) -> Network:
        """The same network with some parts replaced, ordered and checked anew."""
        return Network.build(
            self.places.values() if places is None else places,
            self.projections if projections is None else projections,
            self.tensors if tensors is None else tensors,
            self.name, self.time_steps,
        )  # fmt: skip

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        return tuple(p for p in self.places.values() if isinstance(p, Source))

    @cached_property
    def encoders(self) -> tuple[Encoder, ...]:
        return tuple(p for p in self.places.values() if isinstance(p, Encoder))

    @cached_property
    def populations(self) -> tuple[Population, ...]:
        return tuple(p for p in self.places.values() if isinstance(p, Population))

    @cached_property
    def readouts(self) -> tuple[Readout, ...]:
        return tuple(p for p in self.places.values() if isinstance(p, Readout))

    @property
    def on_chip(self) -> dict[str, Shape]:
        """The shapes of the places that need cores: all but the encoders, which are on the host."""
        return {p.name: p.shape for p in self.places.values() if not isinstance(p, Encoder)}

    @cached_property
    def is_fixed(self) -> bool:
        """Whether neurons and weights are whole numbers."""
        return any(isinstance(place.neuron, FixedNeuron) for place in self.populations)

    @cached_property
    def incoming(self) -> Mapping[str, tuple[Projection, ...]]:
        return self._by(lambda p: p.target)

    @cached_property
    def outgoing(self) -> Mapping[str, tuple[Projection, ...]]:
        return self._by(lambda p: p.source)

    @property
    def groups(self) -> Iterator[tuple[str, ...]]:
        """The places in an order of computation: one by one, those of a loop together."""
        place = {name: index for index, name in enumerate(self.places)}
        whole = nx.DiGraph((p.source, p.target) for p in self.projections)
        whole.add_nodes_from(self.places)
        return loops_together(whole, place)

    @property
    def idle_steps(self) -> int:
        """Steps between samples in which what a delay keeps of the first runs out."""
        return max((p.delay for p in self.projections), default=0)

    def echo(self, name: str) -> int:
        """By how many steps at most what a place says is heard again in the trained network."""
        return max((p.delay for p in self.outgoing[name]), default=0)

    def _by(self, end: Callable[[Projection], str]) -> Mapping[str, tuple[Projection, ...]]:
        table: dict[str, list[Projection]] = {name: [] for name in self.places}
        for projection in self.projections:
            table[end(projection)].append(projection)
        return {name: tuple(projections) for name, projections in table.items()}

    def verify(self) -> None:
        """Check what the type system cannot. Raises ValueError, naming the culprit."""
        if self.is_fixed:
            self._verify_registers()
        for p in self.projections:
            where = f"projection {p.source} -> {p.target}"
            source, target = self.places[p.source], self.places[p.target]
            if isinstance(source, Readout) or isinstance(target, Source | Encoder):
                raise ValueError(f"{where}: points the wrong way")
            if p.delay < 0:
                raise ValueError(f"{where}: negative delay")
            if isinstance(source, Encoder) and not all(isinstance(op, Scale) for op in p.map):
                raise ValueError(f"{where}: a current may only be scaled")
            shape = source.shape
            for op in p.map:
                if not is_linear(op) or isinstance(op, Norm | Identity):
                    raise ValueError(f"{where}: {type(op).__name__} is no linear map")
                if getattr(op, "bias", None) is not None:
                    raise ValueError(f"{where}: the bias belongs to the population")
                shape = output_shape(op, (shape,), self.tensors)
            if shape != target.shape:
                raise ValueError(f"{where}: yields {shape}, needs {target.shape}")

    def _verify_registers(self) -> None:
        for place in self.populations:
            if not isinstance(place.neuron, FixedNeuron):
                raise ValueError(f"population {place.name}: not in whole numbers as the others are")
            for problem in misfits(place.neuron, self.tensors):
                raise ValueError(f"population {place.name}: {problem}")
        for p in self.projections:
            if not isinstance(self.places.get(p.source), Encoder):
                for problem in weight_misfits(p.map, self.tensors):
                    raise ValueError(f"projection {p.source} -> {p.target} {problem}")
