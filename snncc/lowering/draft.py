"""A Network as it is drawn up: what each value is made of, the places so far, and what is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import TensorStore
from snncc.ir.network import Network, Place, Projection, Source
from snncc.ir.ops import Number, Op, Ref
from snncc.ir.values import ValueSet
from snncc.lowering.combination import Region, is_finite


@dataclass
class Draft:
    """The lowering of one head of ``graph``, half way.

    ``value`` says what a node is made of; it is asked once for each node. ``host``: the nodes that
    stay on the host; ``needed``: those that the head depends on; ``suffix``: what the host makes of
    the readout, op by op. ``strict``: analog work on the host is an error.
    """

    graph: Graph
    strict: bool
    host: frozenset[str]
    needed: frozenset[str]
    suffix: tuple[str, ...]
    value: Callable[[Draft, Node], Region]
    regions: dict[str, Region] = field(default_factory=dict)
    """What every value that was asked for is made of."""
    places: dict[str, Place] = field(default_factory=dict)
    projections: list[Projection] = field(default_factory=list)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    encoders: dict[tuple[str, tuple[Op, ...]], str] = field(default_factory=dict)
    """The encoder of each chain of maps behind a node of the host."""
    levels: dict[tuple[str, int], Region] = field(default_factory=dict)
    """The gate that says whether a value has reached one of its levels."""
    found: dict[tuple[str, str], Finding] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors |= self.graph.tensors
        self.store = TensorStore(self.graph.tensors, torch.float64)
        self.sets: dict[str, ValueSet] = {
            node.name: node.signal.values for node in self.graph.nodes.values()
        }
        self._open: set[str] = set()

    # -- what a value is made of -----------------------------------------------------------------

    def of(self, name: str) -> Region:
        """What the node ``name`` is made of."""
        node = self.graph.nodes[name]
        if name in self._open:
            said = f"{name} feeds back to itself without a neuron in between"
            return self.find("SNN112", node, said)
        if name not in self.regions:
            self._open.add(name)
            region = self.value(self, node)
            if not region.broken and not is_finite(region):
                message = f"`{name}` has a factor or a term that is infinite or no number"
                region = self.find("SNN108", node, message)
            self.regions[name] = region
            self._open.remove(name)
        return self.regions[name]

    def sound(self, names: tuple[str, ...]) -> bool:
        """Whether nothing in any of these values was refused; all are looked at."""
        return not sum(self.of(name).broken for name in names)

    # -- what is found ---------------------------------------------------------------------------

    def find(self, code: str, node: Node, message: str, help: str = "") -> Region:
        """Note a finding, one of each code for a node; the node is not linear in spikes."""
        finding = Finding(code, message, node.origin, node.name, help)
        self.found.setdefault((code, node.name), finding)
        return Region({}, broken=True)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """In the order of their nodes."""
        order = {name: i for i, name in enumerate(self.graph.nodes)}
        return tuple(sorted(self.found.values(), key=lambda f: order.get(f.node, -1)))

    # -- names and numbers -----------------------------------------------------------------------

    def unused(self, base: str) -> str:
        """``base``, or ``base:2``, … where something else is called so."""
        taken = (self.graph.nodes, self.places, self.tensors)
        names = itertools.chain([base], (f"{base}:{number}" for number in itertools.count(2)))
        return next(name for name in names if not any(name in each for each in taken))

    def number(self, name: str, value: torch.Tensor | None) -> Number:
        """``value`` as a number, or as a tensor of this name; None is 0."""
        if value is None:
            return 0.0
        if value.numel() == 1:
            return float(value)
        array = value.numpy()
        if name in self.tensors and not np.array_equal(self.tensors[name], array):
            name = self.unused(name)
        self.tensors[name] = array
        return Ref(name)

    @property
    def all_places(self) -> dict[str, Place]:
        """All places that projections name: refused neurons send spikes from outside."""
        places = dict(self.places)
        for name in {p.source for p in self.projections} - places.keys():
            places[name] = Source(name, self.graph.nodes[name].signal.shape)
        return places

    @property
    def network(self) -> Network:
        """All that lowers."""
        return Network.build(
            self.all_places.values(),
            self.projections,
            self.tensors,
            self.graph.name,
            self.graph.time_steps,
        )
