"""Refused: comparisons of states that are no neurons, and values that feed back (rule 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph, Node
from snncc.ir.ops import Delay, Elementwise, Identity, Membrane, Scale, Spiking
from snncc.recognition.equations import NoForm
from snncc.recognition.obstacles import ROUNDING
from snncc.recognition.reading import Reading


def refusals(graph: Graph, reading: Reading, refused: Mapping[str, NoForm]) -> Iterator[Finding]:
    """SNN115 and SNN112, once for all that share a state."""
    needed = graph.ancestors(*graph.heads.values())
    explained: set[str] = set()
    first = sorted(refused, key=lambda name: not refused[name].node)  # a function says most
    for name in first:
        states = _states(graph, name)
        if name not in needed or states & explained:
            continue
        explained |= states
        error = refused[name]
        said = f"{error}; `{name}` asks whether {reading.question(name)}"
        place = graph.nodes[error.node or name]
        yield Finding("SNN115", said, place.origin, place.name, error.help)
    yield from dict.fromkeys(_circles(graph, reading, needed, explained))


def _states(graph: Graph, name: str) -> set[str]:
    """The states that a value asks for, through values and spikes."""
    return {
        each.name for each in map(graph.nodes.__getitem__, _within(graph, name))
        if isinstance(each.op, Delay)
    }  # fmt: skip


def _within(graph: Graph, name: str) -> set[str]:
    """What a value is computed from value by value, over all steps."""
    seen: set[str] = set()
    pending = [name]
    while pending:
        node = graph.nodes[pending.pop()]
        if node.name not in seen and isinstance(node.op, Elementwise | Identity | Scale | Delay):
            seen.add(node.name)
            pending.extend(node.inputs)
    return seen


def _circles(
    graph: Graph, reading: Reading, needed: frozenset[str], explained: set[str]
) -> Iterator[Finding]:
    """Real values that still feed back to themselves."""
    nodes = graph.nodes
    for delay in graph.of_type(Delay):
        if delay.name not in needed or delay.name in explained:
            continue
        seen: set[str] = set()
        pending = list(delay.inputs)
        while pending:
            name = pending.pop()
            if name == delay.name:
                yield _circle(graph, reading, delay)
                break
            if name not in seen and not isinstance(nodes[name].op, Spiking | Membrane):
                seen.add(name)
                pending.extend(nodes[name].inputs)


def _circle(graph: Graph, reading: Reading, delay: Node) -> Finding:
    (source,) = delay.inputs
    said = f"`{source}` feeds back to itself without a neuron between"
    reading.sum(source)
    why = [error for name, error in reading.obstacles.items()
           if name in graph.nodes and delay.name in _states(graph, name)]  # fmt: skip
    if not why:
        return Finding("SNN112", said, delay.origin, source)
    place = graph.nodes[why[0].node]
    if isinstance(place.op, Elementwise) and place.op.function in ROUNDING:
        return Finding("SNN115", str(why[0]), place.origin, place.name, why[0].help)
    return Finding("SNN112", f"{said}; {why[0]}", place.origin, source)
