"""Pictures of tables, as Vega-Lite specifications: bars, lines, cells, and a network.

Every mark says its numbers (``description``, which the page shows when one points at it). Nothing
is told by colour alone: kinds differ in shape or dash too, and sizes in the strength of a colour.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snncc.report.section import Cell, Picture, Table

WIDTH = 340
"""Of a picture in pixels, labels included: a page of 400 px shows it in its own size."""

MOST_BARS = 40
"""More rows than these are cut to the largest."""

INK, SOFT, LINE, MAIN, OTHER = (
    f"var(--{name})" for name in ("ink", "soft", "line", "main", "other")
)

_CONFIG: Mapping[str, Any] = {
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT, "titleColor": SOFT, "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "gridColor": LINE, "domainColor": LINE, "tickColor": LINE,
        "labelLimit": 150, "tickCount": 4,
    },
    "legend": {
        "labelColor": INK, "titleColor": SOFT, "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "orient": "top", "symbolStrokeColor": INK,
    },
    "text": {"color": INK},
}  # fmt: skip


_LETTERS = 20
"""Of a label."""

_SI = {"joule": "~s", "second": "~s", "count": "~s", "share": ".1~%"}


def bars(
    table: Table, label: str, value: str, *, says: str, title: str = "", most: int = MOST_BARS
) -> Picture:
    """A bar for each row, as long as its ``value``; of more than ``most`` rows the largest."""
    name, number = table.column(label), table.column(value)
    rows = [row for row in table.rows if isinstance(row[number], int | float)]
    if len(rows) > most:
        rows = sorted(rows, key=lambda row: -float(row[number] or 0))[:most]
        says = f"{says} The {most} largest of {len(table.rows)}; the table has all."
    column = table.columns[number]
    data = [
        {"name": short(f"{row[name]}"), "at": at, "value": row[number],
         "says": f"{row[name]}: {column.written(row[number])}"}
        for at, row in enumerate(rows)
    ]  # fmt: skip
    spec = _spec(
        data,
        {"type": "bar", "color": MAIN},
        {
            "y": {
                "field": "at",
                "type": "ordinal",
                "title": None,
                "axis": {"labelExpr": f"{json.dumps([row['name'] for row in data])}[datum.value]"},
            },
            "x": {"field": "value", "type": "quantitative", "axis": _axis(column.kind, value)},
            "description": {"field": "says"},
        },
        height={"step": 15},
    )
    return Picture(title or value[:1].upper() + value[1:], says, spec)


def lines(
    table: Table, x: str, series: Sequence[str], *, says: str, title: str, folded: bool = False
) -> Picture:
    """A line over ``x`` for each of at most three columns, ``series``, each with its own dash."""
    at = table.column(x)
    data = [
        {"x": row[at], "value": row[table.column(name)], "series": name}
        for name in series
        for row in table.rows
    ]
    kind = table.columns[table.column(series[0])].kind
    many = len(series) > 1
    encoding: dict[str, Any] = {
        "x": {"field": "x", "type": "quantitative", "title": x, "axis": {"format": "~s"}},
        "y": {"field": "value", "type": "quantitative", "axis": _axis(kind, None)},
    }
    if many:
        which = {"field": "series", "type": "nominal", "legend": {"title": None, "columns": 1}}
        domain = list(series)  # in both, so that there is one legend
        encoding["color"] = {**which, "scale": {"domain": domain, "range": [MAIN, OTHER, INK]}}
        encoding["strokeDash"] = {
            **which, "scale": {"domain": domain, "range": [[1, 0], [5, 3], [1, 2]]},
        }  # fmt: skip
    mark = {"type": "line", "strokeWidth": 1.5, "aria": False} | ({} if many else {"color": MAIN})
    return Picture(title, says, _spec(data, mark, encoding, height=150), folded)


def cells(
    table: Table, x: str, y: str, value: str, *, says: str, title: str,
    words: Callable[[tuple[Cell, ...]], str] | None = None, numbers: bool = False,
    folded: bool = False,
) -> Picture:  # fmt: skip
    """A square for each row at its ``x`` and ``y``, the stronger in colour the larger its
    ``value``; none for 0.

    ``words`` says what a square says; with ``numbers`` its value stands in it.
    """
    across, down, number = (table.column(each) for each in (x, y, value))
    column = table.columns[number]
    top = max((float(row[number] or 0) for row in table.rows), default=0.0) or 1.0

    def said(row: tuple[Cell, ...]) -> str:
        return f"{x} {row[across]}, {y} {row[down]}: {value} {column.written(row[number])}"

    tell = words or said
    full = 0.45 if numbers else 1.0  # a number is read on every square, in light and dark
    data = [
        {"x": row[across], "y": _shown(row[down]), "text": column.written(row[number]),
         "dark": full * (0.1 + 0.9 * float(row[number] or 0) / top), "says": tell(row)}
        for row in table.rows
        if row[number] or numbers
    ]  # fmt: skip
    named = any(isinstance(row[down], str) for row in table.rows)
    wide, high = (_domain([row[at] for row in table.rows]) for at in (across, down))
    axes: dict[str, Any] = {
        "x": {"field": "x", "type": "ordinal", "title": x, "sort": None, "scale": {"domain": wide},
              "axis": {"labelAngle": 0, "labelOverlap": True, "ticks": False, "domain": False}},
        "y": {"field": "y", "type": "ordinal", "title": None if named else y,
              "sort": None, "scale": {"domain": high},
              "axis": {"labelOverlap": True, "ticks": False, "domain": False}},
    }  # fmt: skip
    squares = {
        "mark": {"type": "rect", "color": MAIN, "stroke": SOFT, "strokeWidth": 0.3},
        "encoding": {
            "opacity": {"field": "dark", "type": "quantitative", "scale": None},
            "description": {"field": "says"},
        },
    }
    layers: list[dict[str, Any]] = [squares]
    if numbers:
        layers.append({
            "mark": {"type": "text", "fontSize": 10, "aria": False},
            "encoding": {
                "text": {"field": "text"}, "color": {"value": INK},
            },
        })  # fmt: skip
    spec = {
        **_frame(data), "width": WIDTH, "layer": layers, "encoding": axes,
        "height": max(40, min(420, round((WIDTH - 50) / max(len(wide), 1)) * len(high))),
    }  # fmt: skip
    return Picture(title, says, spec, folded)


@dataclass(frozen=True)
class Node:
    """A node of a drawn network; ``kind`` is one of `SHAPES`."""

    name: str
    kind: str
    says: str


@dataclass(frozen=True)
class Edge:
    """What joins two nodes; ``late`` if what it brings arrives in a later step."""

    source: str
    target: str
    says: str
    late: bool = False


SHAPES: Mapping[str, str] = {
    "source": "triangle-down", "encoder": "triangle-up", "neuron": "circle", "gate": "square",
    "relay": "diamond", "readout": "cross", "stage": "triangle-right",
}  # fmt: skip
"""Kinds of nodes, each with its own shape."""

_COLOURS = {"neuron": MAIN, "stage": MAIN, "gate": OTHER, "relay": "var(--third)"}


def network(
    nodes: Sequence[Node], edges: Iterable[Edge], *, says: str, title: str, folded: bool = False
) -> Picture:
    """An arc diagram: the nodes from top to bottom in their order, what joins them beside it.

    An edge to the next node is a straight line; the further one leads, the wider its arc.
    """
    row = {node.name: at for at, node in enumerate(nodes)}
    kinds = [kind for kind in SHAPES if any(node.kind == kind for node in nodes)]
    points = [
        {"x": 0, "y": row[n.name], "kind": n.kind, "says": n.says, "label": short(n.name, 24)}
        for n in nodes
    ]
    place = {
        "x": {"field": "x", "type": "quantitative", "axis": None,
              "scale": {"domain": [-1.15, 1.1]}},
        "y": {"field": "y", "type": "quantitative", "axis": None,
              "scale": {"domain": [-0.6, len(nodes) - 0.4], "reverse": True}},
    }  # fmt: skip
    legend = {"title": None, "columns": 3} if len(kinds) > 1 else None
    of_kind = {"field": "kind", "type": "nominal", "sort": kinds, "legend": legend}
    spec = {
        **_frame([]), "width": WIDTH, "height": max(60, 19 * len(nodes)),
        "layer": [
            {"data": {"values": _arcs(list(edges), row)},
             "mark": {"type": "line", "strokeWidth": 1.1, "color": SOFT},
             "encoding": {**place, "detail": {"field": "edge"}, "order": {"field": "point"},
                          "strokeDash": {"field": "late", "type": "nominal", "legend": None,
                                         "scale": {"domain": ["same", "later"],
                                                   "range": [[1, 0], [4, 3]]}},
                          "description": {"field": "says"}}},
            {"data": {"values": points},
             "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1,
                      "stroke": INK, "strokeWidth": 0.8},
             "encoding": {**place, "description": {"field": "says"},
                          "shape": {**of_kind, "scale": {"domain": kinds,
                                                         "range": [SHAPES[k] for k in kinds]}},
                          "color": {**of_kind,
                                    "scale": {"domain": kinds,
                                              "range": [_COLOURS.get(k, SOFT) for k in kinds]}}}},
            {"data": {"values": points},
             "mark": {"type": "text", "align": "right", "dx": -9, "fontSize": 11, "limit": 160,
                      "ellipsis": "…", "aria": False},
             "encoding": {**place, "text": {"field": "label"}}},
        ],
    }  # fmt: skip
    return Picture(title, says, spec, folded)


_POINTS = 12
"""Of an arc."""


def _arcs(edges: Sequence[Edge], row: Mapping[str, int]) -> list[dict[str, Any]]:
    """The points of every edge, between the rows of its nodes."""
    spans = [abs(row[edge.target] - row[edge.source]) for edge in edges]
    longest = max([1, *spans])
    points: list[dict[str, Any]] = []
    for at, (edge, span) in enumerate(zip(edges, spans, strict=True)):
        start, end = row[edge.source], row[edge.target]
        wide = 0.0 if end == start + 1 else 0.08 + 0.9 * (span / longest) ** 0.7
        for point in range(_POINTS + 1):
            part = point / _POINTS
            circle = 0.3 * math.sin(2 * math.pi * part) if start == end else 0.0
            points.append({
                "edge": at, "point": point, "x": round(wide * 4 * part * (1 - part), 3),
                "y": round(start + (end - start) * part + circle, 3),
                "says": edge.says, "late": "later" if edge.late else "same",
            })  # fmt: skip
    return points


def short(name: str, letters: int = _LETTERS) -> str:
    """The end of a long name, which tells most."""
    return name if len(name) <= letters else "…" + name[1 - letters :]


def _shown(value: Cell) -> Cell:
    return short(value) if isinstance(value, str) else value


def _domain(values: Sequence[Cell]) -> list[Cell]:
    """Every position of an axis in its order: whole numbers without gaps, names as they come."""
    whole = [value for value in values if isinstance(value, int)]
    if len(whole) == len(values) and whole:
        return list(range(min(whole), max(whole) + 1))
    return list(dict.fromkeys(_shown(value) for value in values))


def _frame(data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json", "background": None,
        "data": {"values": list(data)}, "config": _CONFIG,
        "padding": {"left": 14, "right": 8, "top": 2, "bottom": 2},
        "autosize": {"type": "fit-x", "contains": "padding"},
    }  # fmt: skip


def _spec(
    data: Sequence[Mapping[str, Any]], mark: Mapping[str, Any], encoding: Mapping[str, Any],
    *, height: Any,
) -> dict[str, Any]:  # fmt: skip
    return {
        **_frame(data), "width": WIDTH, "height": height, "mark": mark,
        "encoding": encoding,
    }  # fmt: skip


def _axis(kind: str, title: str | None) -> dict[str, Any]:
    unit = {"joule": "J", "second": "s"}.get(kind)
    return {"format": _SI.get(kind, ",.3~r"), "title": f"{title}, {unit}" if unit and title else
            (unit or title)}  # fmt: skip
