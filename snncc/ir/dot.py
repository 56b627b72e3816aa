"""A network in the language of Graphviz, for `dot` and everything else that reads it."""

from __future__ import annotations

from collections.abc import Iterable

from snncc.ir.graph import Graph
from snncc.ir.network import Encoder, Network, Place, Population, Readout, Source

_SHAPES = {"neuron": "ellipse", "gate": "box", "relay": "diamond"}


def dot(form: Graph | Network) -> str:
    """The digraph: a node for each op or place, an edge for each argument or projection.

    An edge that arrives in a later step is dashed and has the delay as its label.
    """
    lines = _graph(form) if isinstance(form, Graph) else _network(form)
    return "\n".join([f"digraph {_quoted(form.name)} {{", *lines, "}", ""])


def _graph(graph: Graph) -> Iterable[str]:
    for node in graph.nodes.values():
        shape = " × ".join(map(str, node.signal.shape))
        label = f"{node.name}\n{type(node.op).__name__} {shape}"
        yield f"  {_quoted(node.name)} [shape=box, label={_quoted(label)}];"
    for node in graph.nodes.values():
        for source in node.inputs:
            yield f"  {_quoted(source)} -> {_quoted(node.name)};"


def _network(network: Network) -> Iterable[str]:
    for place in network.places.values():
        label = f"{place.name}\n{' × '.join(map(str, place.shape)) or '1'}"
        yield f"  {_quoted(place.name)} [shape={_shape(place)}, label={_quoted(label)}];"
    for p in network.projections:
        late = f" [style=dashed, label={_quoted(str(p.delay))}]" if p.delay else ""
        yield f"  {_quoted(p.source)} -> {_quoted(p.target)}{late};"


def _shape(place: Place) -> str:
    match place:
        case Population(role=role):
            return _SHAPES[role]
        case Source() | Encoder():
            return "invtriangle"
        case Readout():
            return "octagon"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
