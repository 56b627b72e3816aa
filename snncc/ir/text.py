"""The text form of a Graph and of a Network: stable, readable, and parsed back to the same value.

Tensors of up to ``INLINE`` numbers are written out; larger ones are named and stay in a file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from snncc.diagnostics import Location
from snncc.ir.graph import Graph, Node, Signal, Tensors
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Readout,
    Source,
)  # fmt: skip
from snncc.ir.ops import OPS, Op, Ref
from snncc.ir.registers import FixedNeuron
from snncc.ir.stages import Scheduled
from snncc.ir.values import ValueSet

INLINE = 64


class TextError(ValueError):
    """Text that is no Graph and no Network; says the line."""


# -- printing ----------------------------------------------------------------------------------


def _literal(value: object) -> str:
    if isinstance(value, Ref):
        return repr(value)
    if isinstance(value, tuple):
        inside = ", ".join(map(_literal, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def _fields(value: object, skip: tuple[str, ...] = ()) -> str:
    """Fields that differ from their default, as ``{a=1, b=@w}``."""
    parts = []
    for f in fields(value):  # type: ignore[arg-type]
        content = getattr(value, f.name)
        if f.name not in skip and not (content == f.default and type(content) is type(f.default)):
            parts.append(f"{f.name}={_literal(content)}")
    return "{" + ", ".join(parts) + "}" if parts else ""


def print_op(op: Op) -> str:
    """The text of ``op``. Raises TypeError for one that has no text form."""
    if type(op) not in OPS.values():
        raise TypeError(f"`{type(op).__name__}` has no text form")
    return type(op).__name__.lower() + _fields(op)


def _shape(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _origin(origin: Location) -> str:
    return f"  # {origin.module}|{origin.file}|{origin.line}" if str(origin) else ""


def _node(node: Node) -> str:
    signal = node.signal
    axes = " (" + ",".join(signal.axes) + ")" if signal.axes else ""
    args = "".join(f" %{name}" for name in node.inputs)
    return (
        f"%{node.name} = {print_op(node.op)}{args} : "
        f"{signal.rate} {_shape(signal.shape)} {signal.values}{axes}{_origin(node.origin)}"
    )


def _tensors(tensors: Tensors) -> Iterator[str]:
    for name, tensor in tensors.items():
        written = f" = {tensor.tolist()!r}" if tensor.size <= INLINE else ""
        yield f"tensor @{name} {tensor.dtype} {_shape(tensor.shape)}{written}"


def _indent(lines: Iterator[str] | list[str]) -> list[str]:
    return ["  " + line for line in lines]


def _steps(steps: int | None) -> str:
    return "" if steps is None else f" steps={steps}"


def print_graph(graph: Graph) -> str:
    """The text of a Graph."""
    lines = [f"graph {graph.name}{_steps(graph.time_steps)} {{"]
    lines += _indent([_node(node) for node in graph.nodes.values()])
    lines += _indent([f"head {name} = %{node}" for name, node in graph.heads.items()])
    lines += _indent(_tensors(graph.tensors))
    return "\n".join([*lines, "}"]) + "\n"


def _place(place: Place, level: str) -> list[str]:
    head = f"%{place.name} {_shape(place.shape)}{level}"
    match place:
        case Source():
            return [f"source {head} {place.kind}"]
        case Encoder():
            inner = print_graph(place.graph).splitlines()
            return [f"encoder {head} {'static' if place.static else 'step'}", *_indent(inner)]
        case Population():
            stands = f" for %{place.stands_for}" if place.stands_for else ""
            neuron = _fields(place.neuron) or "{}"
            if isinstance(place.neuron, FixedNeuron):
                neuron = "fixed" + neuron
            return [f"{place.role} {head} {neuron}{stands}{_origin(place.origin)}"]
        case Readout():
            return [f"readout {head} {_fields(place, ('name', 'shape', 'host')) or '{}'}"
                    + "".join(f" > {print_op(op)}" for op in place.host)]  # fmt: skip


def _projection(p: Projection) -> str:
    chain = "".join(f" > {print_op(op)}" for op in p.map)
    return f"%{p.source} -> %{p.target}{chain}" + (f" after {p.delay}" if p.delay else "")


def print_network(network: Network) -> str:
    """The text of a Network."""
    lines = [f"network {network.name}{_steps(network.time_steps)} {{"]
    for place in network.places.values():
        level = f" @{network.levels[place.name]}" if isinstance(network, Scheduled) else ""
        lines += _indent(_place(place, level))
        lines += _indent(_indent([_projection(p) for p in network.incoming[place.name]]))
    lines += _indent(_tensors(network.tensors))
    return "\n".join([*lines, "}"]) + "\n"


# -- parsing -----------------------------------------------------------------------------------

_NAME = r"%(?P<name>\S+)"
_NODE = re.compile(
    rf"{_NAME} = (?P<op>\w+)(?P<fields>{{.*?}})?(?P<args>( %\S+)*) : (?P<rate>\w+) "
    r"\[(?P<shape>[\d,]*)\] (?P<values>\S+)( \((?P<axes>[\w,]*)\))?(  # (?P<origin>.*))?$"
)
_HEAD = re.compile(r"head (?P<head>\S+) = %(?P<node>\S+)$")
_TENSOR = re.compile(
    r"tensor @(?P<name>\S+) (?P<dtype>\w+) \[(?P<shape>[\d,]*)\]( = (?P<data>.*))?$"
)
_OPEN = re.compile(r"(?P<form>graph|network) (?P<name>.+?)( steps=(?P<steps>\d+))? {$")
_PLACE = re.compile(
    rf"(?P<role>source|encoder|neuron|gate|relay|readout) {_NAME} \[(?P<shape>[\d,]*)\]"
    r"( @(?P<level>\d+))? (?P<rest>.*)$"
)
_POPULATION = re.compile(
    r"(?P<fixed>fixed)?(?P<fields>{.*?})( for %(?P<stands>\S+))?(  # (?P<origin>.*))?$"
)
_PROJECTION = re.compile(
    r"%(?P<source>\S+) -> %(?P<target>\S+)(?P<map>( > .*?)?)( after (?P<delay>\d+))?$"
)
_OP = re.compile(r"(?P<op>\w+)(?P<fields>{.*})?$")


def _parse_shape(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def _parse_fields(text: str | None) -> dict[str, Any]:
    """``{a=1, b=@w}`` as keyword arguments; only literals are read, nothing is evaluated."""
    if not text or text == "{}":
        return {}
    marked = re.sub(r"@([^\s,{}()]+)", lambda m: f"b{m.group(1)!r}", text[1:-1])
    call = ast.parse(f"f({marked})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(k.arg): _unmark(ast.literal_eval(k.value)) for k in call.keywords}


def _unmark(value: Any) -> Any:
    return Ref(value.decode()) if isinstance(value, bytes) else value


def parse_op(text: str) -> Op:
    """The op that prints as ``text``. Raises TextError."""
    found = _OP.match(text.strip())
    if not found or found["op"] not in OPS:
        raise TextError(f"no op: {text.strip()!r}")
    try:
        return OPS[found["op"]](**_parse_fields(found["fields"]))
    except (TypeError, ValueError, SyntaxError) as error:
        raise TextError(f"bad fields: {text.strip()!r} ({error})") from None


def _parse_chain(text: str) -> tuple[Op, ...]:
    return tuple(parse_op(part) for part in text.split(" > ") if part.strip())


def _parse_origin(text: str | None) -> Location:
    if not text:
        return Location()
    module, file, line = text.split("|")
    return Location(module, file, int(line))


class _Lines:
    """The lines still to read, with their numbers."""

    def __init__(self, text: str) -> None:
        self._lines = [
            (number, line.strip())
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.strip().startswith("#")
        ]
        self._next = 0
        self.number = 0

    def take(self) -> str:
        if self._next == len(self._lines):
            raise TextError("the text ends too early")
        self.number, line = self._lines[self._next]
        self._next += 1
        return line


def _parse_tensor(found: re.Match[str], stored: Tensors) -> np.ndarray:
    shape = _parse_shape(found["shape"])
    if found["data"] is not None:
        literal = re.sub(r"\b(nan|inf)\b", "None", found["data"])
        return np.array(ast.literal_eval(literal), dtype=found["dtype"]).reshape(shape)
    if found["name"] not in stored:
        raise TextError(f"tensor @{found['name']} is not stored")
    return stored[found["name"]]


def _parse_node(found: re.Match[str]) -> Node:
    axes = tuple(part for part in (found["axes"] or "").split(",") if part)
    signal = Signal(
        _parse_shape(found["shape"]), found["rate"],  # type: ignore[arg-type]
        ValueSet.parse(found["values"]), axes,
    )  # fmt: skip
    op = parse_op(found["op"] + (found["fields"] or ""))
    inputs = tuple(part[1:] for part in found["args"].split())
    return Node(found["name"], op, inputs, signal, _parse_origin(found["origin"]))


def _graph_body(opened: re.Match[str], lines: _Lines, stored: Tensors) -> Graph:
    nodes: list[Node] = []
    heads: dict[str, str] = {}
    tensors: dict[str, np.ndarray] = {}
    while (line := lines.take()) != "}":
        if found := _NODE.match(line):
            nodes.append(_parse_node(found))
        elif found := _HEAD.match(line):
            heads[found["head"]] = found["node"]
        elif found := _TENSOR.match(line):
            tensors[found["name"]] = _parse_tensor(found, stored)
        else:
            raise TextError(f"line {lines.number}: not understood: {line!r}")
    steps = int(opened["steps"]) if opened["steps"] else None
    return Graph.build(nodes, tensors, heads, opened["name"], steps)


def _network_body(opened: re.Match[str], lines: _Lines, stored: Tensors) -> Network:
    places: list[Place] = []
    projections: list[Projection] = []
    tensors: dict[str, np.ndarray] = {}
    levels: dict[str, int] = {}
    while (line := lines.take()) != "}":
        if found := _PROJECTION.match(line):
            chain = _parse_chain(found["map"])
            delay = int(found["delay"] or 0)
            projections.append(Projection(found["source"], found["target"], chain, delay))
        elif found := _PLACE.match(line):
            places.append(_parse_place(found, lines, stored))
            if found["level"]:
                levels[found["name"]] = int(found["level"])
        elif found := _TENSOR.match(line):
            tensors[found["name"]] = _parse_tensor(found, stored)
        else:
            raise TextError(f"line {lines.number}: not understood: {line!r}")
    steps = int(opened["steps"]) if opened["steps"] else None
    network = Network.build(places, projections, tensors, opened["name"], steps)
    return Scheduled.of(network, levels) if levels else network


def _parse_place(found: re.Match[str], lines: _Lines, stored: Tensors) -> Place:
    name, shape, rest = found["name"], _parse_shape(found["shape"]), found["rest"]
    match found["role"]:
        case "source":
            return Source(name, shape, rest)  # type: ignore[arg-type]
        case "encoder":
            opened = _OPEN.match(lines.take())
            if not opened:
                raise TextError(f"line {lines.number}: an encoder holds a graph")
            return Encoder(name, shape, _graph_body(opened, lines, stored), rest == "static")
        case "readout":
            head, *host = rest.split(" > ")
            return Readout(name, shape, **_parse_fields(head), host=tuple(map(parse_op, host)))
    inside = _POPULATION.match(rest)
    if not inside:
        raise TextError(f"line {lines.number}: not understood: {rest!r}")
    kind = FixedNeuron if inside["fixed"] else Neuron
    try:
        neuron = kind(**_parse_fields(inside["fields"]))
    except (TypeError, ValueError, SyntaxError) as error:
        raise TextError(f"line {lines.number}: bad fields: {rest!r} ({error})") from None
    return Population(
        name, shape, neuron, found["role"],  # type: ignore[arg-type]
        inside["stands"] or "", _parse_origin(inside["origin"]),
    )  # fmt: skip


def _parse(text: str, form: str, body: Callable[..., Any], stored: Tensors | None) -> Any:
    lines = _Lines(text)
    opened = _OPEN.match(lines.take())
    if not opened or opened["form"] != form:
        raise TextError(f"line {lines.number}: a {form} starts with `{form} NAME {{`")
    return body(opened, lines, stored or {})


def parse_graph(text: str, stored: Mapping[str, np.ndarray] | None = None) -> Graph:
    """The Graph that prints as ``text``; larger tensors come from ``stored``. Raises TextError."""
    graph: Graph = _parse(text, "graph", _graph_body, stored)
    return graph


def parse_network(text: str, stored: Mapping[str, np.ndarray] | None = None) -> Network:
    """The Network that prints as ``text``, `Scheduled` where it has levels.

    Larger tensors come from ``stored``. Raises TextError.
    """
    network: Network = _parse(text, "network", _network_body, stored)
    return network
