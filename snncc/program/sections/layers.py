"""The network of a program drawn: its places and what joins them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snncc.ir.network import Network, Place, Population
from snncc.ir.stages import Scheduled
from snncc.mapping.reports import Cut
from snncc.passes.realise_projections import Maps
from snncc.program.parts import Parts
from snncc.report import Picture, Section, Table
from snncc.report.charts import Edge, Node, network

MOST = 40
"""Places that are drawn one by one; a larger network is folded by stage."""

MOST_PICTURES = 24
"""Stages that are drawn by themselves."""


def layers(program: Parts) -> Section:
    """Every population, gate and relay, the projections between them, and a picture of both."""
    whole = program.scheduled or program.network
    cut = program.about.reports.get(Cut)
    held = {} if cut is None else cut.places
    kinds = {name: _kind(place) for name, place in whole.places.items()}
    levels = whole.levels if isinstance(whole, Scheduled) else {}
    places = Table.of(
        "places",
        {"place": "text", "kind": "text", "shape": "text", "neurons": "count", "level": "count",
         "cores": "count"},
        [
            (name, kinds[name], " × ".join(map(str, place.shape)) or "1", math.prod(place.shape),
             levels.get(name), held.get(name, {}).get("cores"))
            for name, place in whole.places.items()
        ],
    ).without_empty()  # fmt: skip
    joined = Table.of(
        "projections",
        {"from": "text", "to": "text", "ops": "text", "synapses": "count", "delay": "count",
         "waits": "count"},
        list(_projections(whole, program.about.reports.get(Maps))),
    ).without_empty()  # fmt: skip
    nodes = [
        Node(name, kinds[name], places.said(row))
        for name, row in zip(kinds, places.rows, strict=True)
    ]
    edges = [
        Edge(p.source, p.target, joined.said(row), p.delay > 0)
        for p, row in zip(whole.projections, joined.rows, strict=True)
    ]
    says = (
        "From the input at the top to the readout at the bottom. Each shape is a place: a circle "
        "is a population of neurons, a square a population of gates, a diamond one of relays. "
        "Lines are projections; a dashed line arrives in a later step.",
    )
    return Section("network", "The network", says, (places, joined), tuple(_drawn(nodes, edges)))


def _kind(place: Place) -> str:
    return place.role if isinstance(place, Population) else type(place).__name__.lower()


def _projections(whole: Network, maps: Maps | None) -> Iterator[tuple[str | int | None, ...]]:
    rows = () if maps is None else maps.projections
    counted = {(row.source, row.target): row.synapses_after for row in rows}
    for p in whole.projections:
        ops = " → ".join(type(op).__name__.lower() for op in p.map) or "identity"
        waits = whole.late(p) if isinstance(whole, Scheduled) else None
        yield p.source, p.target, ops, counted.get((p.source, p.target)), p.delay, waits


@dataclass(frozen=True)
class _Stage:
    """Places that are drawn as one node in the overview."""

    name: str
    members: tuple[Node, ...]

    @property
    def node(self) -> Node:
        if len(self.members) == 1:
            return self.members[0]
        return Node(self.name, "stage", f"{self.name}: {len(self.members)} places")


def _drawn(nodes: Sequence[Node], edges: Sequence[Edge]) -> Iterator[Picture]:
    """The network, or an overview by stage and then each stage."""
    stages = _stages(nodes)
    if len(stages) == len(nodes):
        yield network(nodes, edges, title="Places and projections", says=_HOVER)
        return
    stage_of = {node.name: stage for stage in stages for node in stage.members}
    between: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        ends = stage_of[edge.source].node.name, stage_of[edge.target].node.name
        if ends[0] != ends[1]:
            between.setdefault(ends, []).append(edge)
    merged = [
        Edge(a, b, several[0].says if len(several) == 1 else f"{a} → {b}, {len(several)} times",
             all(edge.late for edge in several))
        for (a, b), several in between.items()
    ]  # fmt: skip
    yield network(
        [stage.node for stage in stages], merged, title="Stages",
        says=f"{len(nodes)} places in {len(stages)} stages. {_HOVER}",
    )  # fmt: skip
    for stage in [each for each in stages if len(each.members) > 1][:MOST_PICTURES]:
        inside = {node.name for node in stage.members}
        own = [edge for edge in edges if edge.source in inside and edge.target in inside]
        yield network(stage.members, own, title=stage.name, says="One stage.", folded=True)


_HOVER = "Point at a shape or a line for its numbers; the tables have them too."


def _stages(nodes: Sequence[Node]) -> list[_Stage]:
    """The places one by one, or by the longest prefix of their names that leaves few enough.

    Where names have no parts, runs of places one behind the other.
    """
    parts = max((node.name.count(".") for node in nodes), default=0) + 1
    for depth in range(parts, 0, -1):
        grouped: dict[str, list[Node]] = {}
        for node in nodes:
            grouped.setdefault(".".join(node.name.split(".")[:depth]), []).append(node)
        if len(grouped) <= MOST:
            return [_Stage(name, tuple(members)) for name, members in grouped.items()]
    size = math.ceil(len(nodes) / MOST)
    runs = [nodes[at : at + size] for at in range(0, len(nodes), size)]
    return [_Stage(f"{run[0].name} … {run[-1].name}", tuple(run)) for run in runs]
