"""Where an auxiliary path leaks into the spike path.

The auxiliary path of another head is what reaches that head without passing a neuron and is not
linear in spikes. It may read spikes; an edge from it into the chosen head's slice is a leak.
"""

from __future__ import annotations

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph
from snncc.ir.ops import Spiking
from snncc.lowering.lower import lower


def leaks(graph: Graph, head: str) -> tuple[Finding, ...]:
    """One SNN401 finding for each leaking edge into the slice of ``head``."""
    chosen = graph.ancestors(graph.heads[head])
    auxiliary: set[str] = set()
    for other, node in graph.heads.items():
        if other != head:
            auxiliary |= _without_neurons(graph, node) & lower(graph.single(other)).broken
    found = []
    for name in graph.nodes:
        if name not in auxiliary or name not in chosen:
            continue
        for reader in graph.readers[name]:
            if reader in chosen and reader not in auxiliary:
                edge = f"{name} -> {reader}"
                message = f"the auxiliary path leaks into the spike path by the edge {edge}"
                found.append(Finding("SNN401", message, graph.nodes[reader].origin, reader))
    return tuple(found)


def beside_leaks(graph: Graph, head: str) -> tuple[Finding, ...]:
    """What else is wrong with ``head``, in nodes that no other head reads."""
    others = graph.ancestors(*(node for name, node in graph.heads.items() if name != head))
    errors = (finding for finding in lower(graph.single(head)).findings if finding.is_error)
    return tuple(finding for finding in errors if finding.node not in others)


def _without_neurons(graph: Graph, head: str) -> set[str]:
    """Nodes with a path to ``head`` on which no neuron lies."""
    reached: set[str] = set()
    pending = [head]
    while pending:
        name = pending.pop()
        if name in reached or isinstance(graph.nodes[name].op, Spiking):
            continue
        reached.add(name)
        pending.extend(graph.nodes[name].inputs)
    return reached
