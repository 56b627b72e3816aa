"""At which step each place answers, so that spikes wait as little as can be.

A level x_v for every place v, and for every population u the end of its wait, y_u: the last step at
which somebody still needs its spikes to be sent. Over these, all differences of two variables:

- x_v − x_u ≥ 1 − d for a projection u → v that carries spikes of d steps before,
- y_u − x_v ≥ d − 1 and y_u ≥ x_u, where v is a population,
- x ≥ 0, and x = 0 for what the host sends.

The cost Σ n_u·(y_u − x_u), n_u neurons, is that of relays: chains of copies, one for each u, shared
by its readers. This linear program is the dual of a minimum-cost flow (each variable a node, each
difference an arc, n_u units from x_u to y_u), which the network simplex solves in whole numbers.
An arc with flow is tight in every optimum; among the optimal levels these are the least, each of
them, so that the latency is the shortest that the least cost allows.

What the host sends (sources, the currents of encoders) waits for nothing: it is sent when it is
needed, once for each step at which it is needed. What it reads (readouts) waits on the host.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Collection, Iterator, Mapping

import networkx as nx

from snncc.ir.network import Encoder, Network, Population, Projection, Readout, Source

Node = tuple[str, ...]
Arcs = Mapping[tuple[Node, Node], int]
"""(a, b): w stands for x_b − x_a ≥ w."""

START: Node = ("start",)


def earliest(network: Network) -> dict[str, int]:
    """Every place as early as its sources allow: levels by the longest path.

    Raises ValueError where a loop has more hops than steps of delay.
    """
    return _levels(network, _least(_arcs(network)))


def cheapest(network: Network) -> dict[str, int]:
    """The least levels of those that hold back the fewest spikes.

    Raises ValueError where a loop has more hops than steps of delay.
    """
    arcs = _arcs(network)
    _least(arcs)  # a loop that is too long would let the flow grow for ever
    graph = nx.DiGraph()
    for name, size in _held(network):
        graph.add_node(_level(name), demand=-size)
        graph.add_node(_end(name), demand=size)
    for (a, b), weight in arcs.items():
        graph.add_edge(a, b, weight=-weight)
    _, flow = nx.network_simplex(graph)
    tight = {(a, b) for a, to in flow.items() for b, amount in to.items() if amount}
    return _levels(network, _least(arcs, tight))


def long_loop(network: Network) -> tuple[Projection, ...]:
    """A loop with more hops than steps of delay, from its first place on; empty without one."""
    graph = nx.DiGraph()
    for p in _spiking(network):
        known = graph.get_edge_data(p.source, p.target)
        if p.source != p.target and (known is None or known["by"].delay > p.delay):
            graph.add_edge(p.source, p.target, weight=p.delay - 1, by=p)
    for members in nx.strongly_connected_components(graph):
        inside = graph.subgraph(members).copy()
        if nx.negative_edge_cycle(inside):
            *names, _ = nx.find_negative_cycle(inside, next(iter(members)))
            first = names.index(min(names, key=list(network.places).index))
            around = [*names[first:], *names[: first + 1]]
            return tuple(inside[a][b]["by"] for a, b in itertools.pairwise(around))
    return ()


def waiting(network: Network, levels: Mapping[str, int]) -> dict[str, int]:
    """For each population the steps that its spikes wait for their last reader on the chip."""
    return {
        name: max(
            (
                levels[p.target] + p.delay - levels[name] - 1
                for p in network.outgoing[name]
                if not isinstance(network.places[p.target], Readout)
            ),
            default=0,
        )
        for name, _ in _held(network)
    }


def held_back(network: Network, levels: Mapping[str, int]) -> int:
    """The cost: neurons times the steps that their spikes wait."""
    wait = waiting(network, levels)
    return sum(size * wait[name] for name, size in _held(network))


def _held(network: Network) -> Iterator[tuple[str, int]]:
    for place in network.populations:
        yield place.name, math.prod(place.shape)


def _spiking(network: Network) -> Iterator[Projection]:
    for p in network.projections:
        if not isinstance(network.places[p.source], Encoder):
            yield p


def _level(name: str) -> Node:
    return ("level", name)


def _end(name: str) -> Node:
    return ("end", name)


def _arcs(network: Network) -> Arcs:
    arcs: dict[tuple[Node, Node], int] = {}

    def at_least(a: Node, b: Node, weight: int) -> None:
        if a != b:
            arcs[a, b] = max(weight, arcs.get((a, b), weight))

    for name, place in network.places.items():
        at_least(START, _level(name), 0)
        if isinstance(place, Source | Encoder):
            at_least(_level(name), START, 0)
        elif isinstance(place, Population):
            at_least(_level(name), _end(name), 0)
    for p in _spiking(network):
        if p.source == p.target:
            at_least(_level(p.source), _end(p.source), p.delay - 1)
            continue
        at_least(_level(p.source), _level(p.target), 1 - p.delay)
        both = (network.places[p.source], network.places[p.target])
        if all(isinstance(place, Population) for place in both):
            at_least(_level(p.target), _end(p.source), p.delay - 1)
    return arcs


def _least(arcs: Arcs, tight: Collection[tuple[Node, Node]] = ()) -> dict[Node, int]:
    """The least values from START = 0 on that keep all arcs, those of ``tight`` with equality."""
    after: dict[Node, list[tuple[Node, int]]] = {}
    for (a, b), weight in arcs.items():
        after.setdefault(a, []).append((b, weight))
        if (a, b) in tight:
            after.setdefault(b, []).append((a, -weight))
    values: dict[Node, int] = {START: 0}
    hops = {START: 0}
    pending = deque([START])
    while pending:
        a = pending.popleft()
        for b, weight in after.get(a, ()):
            if b not in values or values[b] < values[a] + weight:
                values[b], hops[b] = values[a] + weight, hops[a] + 1
                if b == START or hops[b] > len(after):
                    raise ValueError("a loop has more hops than steps of delay")
                pending.append(b)
    return values


def _levels(network: Network, values: Mapping[Node, int]) -> dict[str, int]:
    return {name: values[_level(name)] for name in network.places}
