"""Graph: what a front end saw, one time step of it (design, section 2)."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import networkx as nx
import numpy as np

from snncc.diagnostics import Location
from snncc.ir.ops import Constant, Delay, Input, Op, Ref, Spiking
from snncc.ir.values import REAL, ValueSet

Rate = Literal["static", "step", "final"]
"""static: the same at every step; step: one value per step; final: one value after the last."""

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Signal:
    """What an edge carries.

    ``shape`` holds the feature axes only; ``axes`` is the role of each axis of the tensor the
    front end saw, e.g. ("T", "N", "F", "F", "F") or ("TN", "F").
    """

    shape: tuple[int, ...]
    rate: Rate = "step"
    values: ValueSet = REAL
    axes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """An op, the nodes it reads in argument order, what it yields and where it came from."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    signal: Signal
    origin: Location = Location()


def is_zero(node: Node, tensors: Tensors) -> bool:
    """Whether it is a constant of zeros."""
    if not isinstance(node.op, Constant):
        return False
    value = node.op.value
    return not tensors[value].any() if isinstance(value, Ref) else value == 0


def backward(
    nodes: Mapping[str, Node], names: Iterable[str], given: Collection[str] = ()
) -> frozenset[str]:
    """What ``names`` depend on, themselves included; what is ``given`` depends on nothing."""
    seen: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            if name not in given:
                pending.extend(nodes[name].inputs)
    return frozenset(seen)


def loops_together(digraph: nx.DiGraph, place: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """The strongly connected parts in topological order, near ``place``, each in that order."""
    parts = nx.condensation(digraph)
    members = {number: sorted(parts.nodes[number]["members"], key=place.__getitem__)
               for number in parts}  # fmt: skip
    first = {number: place[names[0]] for number, names in members.items()}
    for number in nx.lexicographical_topological_sort(parts, key=first.__getitem__):
        yield tuple(members[number])


@dataclass(frozen=True)
class Graph:
    """Nodes, their tensors, and the named heads.

    Arguments come first, but for that of a ``Delay``, which may follow and closes a loop.

    ``heads`` maps each output of the network to the node that yields it. ``time_steps`` is T where
    the network fixes it, else None.
    """

    nodes: Mapping[str, Node]
    tensors: Tensors = field(repr=False)
    heads: Mapping[str, str]
    name: str = "network"
    time_steps: int | None = None

    @classmethod
    def build(
        cls,
        nodes: Iterable[Node],
        tensors: Tensors,
        heads: Mapping[str, str],
        name: str = "network",
        time_steps: int | None = None,
    ) -> Graph:
        table = {node.name: node for node in nodes}
        used = {str(ref): tensors[ref] for node in table.values() for ref in node.op.refs()}
        return cls(
            MappingProxyType(table), MappingProxyType(used), MappingProxyType(dict(heads)),
            name, time_steps,
        )  # fmt: skip

    @cached_property
    def digraph(self) -> nx.MultiDiGraph:
        """The same as a networkx graph; the argument index is the edge's key ``index``."""
        digraph = nx.MultiDiGraph(name=self.name)
        for node in self.nodes.values():
            digraph.add_node(node.name, node=node)
        for node in self.nodes.values():
            for index, source in enumerate(node.inputs):
                digraph.add_edge(source, node.name, index=index, signal=self.nodes[source].signal)
        return digraph

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """For each node, the nodes that read it, once each, in order."""
        readers: dict[str, dict[str, None]] = {name: {} for name in self.nodes}
        for node in self.nodes.values():
            for source in node.inputs:
                readers[source][node.name] = None
        return {name: tuple(names) for name, names in readers.items()}

    def groups(self, names: Collection[str]) -> Iterator[tuple[str, ...]]:
        """``names`` in an order of computation: one by one, the nodes of a loop together.

        Only a ``Delay`` in a group reads a node behind itself.
        """
        chosen = [name for name in self.nodes if name in names]
        if not any(isinstance(self.nodes[name].op, Delay) for name in chosen):
            yield from ((name,) for name in chosen)
            return
        place = {name: index for index, name in enumerate(chosen)}
        whole = nx.DiGraph()
        whole.add_nodes_from(chosen)
        whole.add_edges_from(
            (source, name) for name in chosen for source in self.nodes[name].inputs
            if source in place
        )  # fmt: skip
        yield from loops_together(whole, place)

    def ancestors(self, *names: str) -> frozenset[str]:
        """The backward slice of ``names``, themselves included."""
        return backward(self.nodes, names)

    def of_type(self, *types: type[Op]) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes.values() if isinstance(node.op, types))

    @cached_property
    def inputs(self) -> tuple[Node, ...]:
        return self.of_type(Input)

    @property
    def is_of_one_step(self) -> bool:
        """Whether the module computes one step: its tensors have no axis of time."""
        return not any("T" in node.signal.axes for node in self.nodes.values())

    @property
    def neurons(self) -> tuple[Node, ...]:
        return self.of_type(Spiking)

    def keep(self, names: Iterable[str], heads: Mapping[str, str] | None = None) -> Graph:
        """The sub-graph of ``names`` (closed under arguments), with the heads that survive."""
        kept = frozenset(names)
        chosen = heads if heads is not None else {h: n for h, n in self.heads.items() if n in kept}
        return Graph.build(
            (node for node in self.nodes.values() if node.name in kept),
            self.tensors, chosen, self.name, self.time_steps,
        )  # fmt: skip

    @cached_property
    def derived(self) -> dict[Hashable, Any]:
        """What has been worked out of this Graph, for who asks again: a Graph does not change."""
        return {}

    def copy(self) -> Graph:
        """Another Graph that is equal; what is derived of one is derived of the other."""
        copy = replace(self)
        vars(copy)["derived"] = self.derived
        return copy

    def single(self, head: str) -> Graph:
        """The backward slice of one head."""
        names = self.ancestors(self.heads[head])
        if len(self.heads) == 1 and len(names) == len(self.nodes):
            return self.copy()
        key = ("single", head)
        if key not in self.derived:
            self.derived[key] = self.keep(names, {head: self.heads[head]})
        single: Graph = self.derived[key]
        return single

    def with_first(self, head: str) -> Graph:
        """The same Graph with this head as the first."""
        if next(iter(self.heads)) == head:
            return self.copy()
        graph = replace(self, heads=MappingProxyType({head: self.heads[head]} | dict(self.heads)))
        singles = {key: self.derived.get(key) for key in (("single", each) for each in self.heads)}
        graph.derived.update({key: each for key, each in singles.items() if each is not None})
        return graph

    def bypass(self, names: Iterable[str]) -> Graph:
        """Without the one-argument nodes ``names``: their readers read their argument."""
        gone = frozenset(names)
        if not gone:
            return self.copy()

        def target(name: str) -> str:
            while name in gone:
                (name,) = self.nodes[name].inputs
            return name

        return Graph.build(
            (
                replace(node, inputs=tuple(target(source) for source in node.inputs))
                for node in self.nodes.values()
                if node.name not in gone
            ),
            self.tensors, {head: target(name) for head, name in self.heads.items()},
            self.name, self.time_steps,
        )  # fmt: skip
