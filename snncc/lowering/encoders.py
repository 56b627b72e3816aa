"""What stays on the host, and the projections from there and from spikes (rule 4)."""

from __future__ import annotations

import math
from dataclasses import replace

from snncc.ir.graph import Graph, Node
from snncc.ir.network import Encoder, Projection
from snncc.ir.ops import ConvTranspose, Delay, Dynamics, Input, Op, Scale
from snncc.ir.shapes import output_shape
from snncc.ir.values import REAL
from snncc.lowering.combination import Region
from snncc.lowering.draft import Draft
from snncc.lowering.linear import WEIGHTED


def on_host(graph: Graph) -> frozenset[str]:
    """Nodes that depend on the analog input and on no neuron."""
    analog: set[str] = set()
    spiking: set[str] = set()
    order = (name for group in graph.groups(graph.nodes) for name in group)
    for node in map(graph.nodes.__getitem__, order):
        if (
            isinstance(node.op, Dynamics)
            or (isinstance(node.op, Input) and node.op.kind != "analog")
            or any(source in spiking for source in node.inputs)
            or (isinstance(node.op, Delay) and node.inputs[0] not in analog)
        ):
            spiking.add(node.name)
        elif isinstance(node.op, Input) or any(source in analog for source in node.inputs):
            analog.add(node.name)
    return frozenset(analog)


def connect(draft: Draft, region: Region, target: str) -> None:
    """A projection to the place ``target`` for each term of the region."""
    for (source, chain), coefficient in region.terms.items():
        if coefficient == 0:
            continue
        whole = chain if coefficient == 1 else (*chain, Scale(float(coefficient)))
        if source in draft.host:
            source, whole = encoder(draft, source, whole, target)
        maps = tuple(op for op in whole if not isinstance(op, Delay))
        delay = len(whole) - len(maps)
        draft.projections.append(Projection(source, target, maps, delay))


def encoder(
    draft: Draft, host: str, chain: tuple[Op, ...], target: str
) -> tuple[str, tuple[Op, ...]]:
    """The encoder that yields ``chain`` of the host node, and what is left of the chain.

    ``target`` reads it: behind an addition of spikes the chain is the analog half of what a layer
    computes.
    """
    cut = len(chain)
    while cut and isinstance(chain[cut - 1], Scale):
        cut -= 1
    moved, left = chain[:cut], chain[cut:]
    if (host, moved) in draft.encoders:
        return draft.encoders[host, moved], left
    name, nodes = host, draft.graph.nodes
    sources = draft.graph.ancestors(host)
    made = [node for node in nodes.values() if node.name in sources - {host}] + [nodes[host]]
    for op in moved:
        before = made[-1]
        shape = output_shape(op, (before.signal.shape,), draft.tensors)
        name = draft.unused(f"{name}.{type(op).__name__.lower()}")
        signal = replace(before.signal, shape=shape, values=REAL)
        made.append(replace(before, name=name, op=op, inputs=(before.name,), signal=signal))
    last = made[-1]
    heads = {"current": last.name}
    graph = Graph.build(made, draft.tensors, heads, name, draft.graph.time_steps)
    static = last.signal.rate != "step"
    draft.encoders[host, moved] = name
    draft.places[name] = Encoder(name, last.signal.shape, graph, static)
    half = any(isinstance(op, WEIGHTED) for op in moved)
    node = nodes.get(target if half else host, nodes[host])
    what = f"half of what {node.name} reads" if half else f"current {node.name}"
    _report(draft, graph, node, static, what)
    return name, left


def _report(draft: Draft, graph: Graph, node: Node, static: bool, what: str) -> None:
    often = "sample" if static else "time step"
    macs = {layer: dense_macs(graph, layer) for layer in graph.of_type(*WEIGHTED)}
    for layer, work in macs.items() if draft.strict else ():
        message = f"{layer.name} is {work:,} MACs per {often} on the analog input"
        draft.find("SNN101", layer, message)
    if not (draft.strict and macs):
        work = sum(macs.values())
        message = f"the analog {what} is computed on the host, {work:,} MACs per {often}"
        draft.find("SNN501", node, message)


def dense_macs(graph: Graph, node: Node) -> int:
    """MACs of one layer with weights on one dense input."""
    op = node.op
    assert isinstance(op, WEIGHTED)
    weight = graph.tensors[op.weight]
    across = graph.nodes[node.inputs[0]] if isinstance(op, ConvTranspose) else node
    return math.prod(weight.shape[1:]) * math.prod(across.signal.shape)
