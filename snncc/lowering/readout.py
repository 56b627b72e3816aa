"""What follows the last spikes: sums that leave the chip, and what the host makes of them (5)."""

from __future__ import annotations

from snncc.ir.elementwise import COMPARISONS
from snncc.ir.graph import Graph, Node
from snncc.ir.network import Readout
from snncc.ir.ops import Argmax, Elementwise, Identity, OverTime, Softmax, Spiking, Unread
from snncc.lowering.draft import Draft
from snncc.lowering.encoders import connect
from snncc.recognition.unlike import FEWER


def suffix(graph: Graph, head: str) -> tuple[str, ...]:
    """The softmax, argmax and identities that the host computes of a readout, the first first."""
    names: list[str] = []
    name = graph.heads[head]
    while isinstance(graph.nodes[name].op, Softmax | Argmax | Identity):
        names.insert(0, name)
        (name,) = graph.nodes[name].inputs
    return tuple(names)


def read_out(draft: Draft, head: str) -> None:
    """The readout of the head, or the finding why there is none."""
    nodes = draft.graph.nodes
    node = nodes[draft.graph.heads[head]]
    if not any(isinstance(nodes[n].op, Spiking | Unread) for n in draft.needed):
        _no_neuron(draft, head, node)
        return
    if draft.suffix:
        node = nodes[nodes[draft.suffix[0]].inputs[0]]
    host = tuple(nodes[n].op for n in draft.suffix if not isinstance(nodes[n].op, Identity))
    if host and node.signal.rate == "step":
        said = f"head {head} takes `{type(host[-1]).__name__.lower()}` of each time step"
        draft.find("SNN112", node, f"{said}; take it of their mean, sum or last")
        return
    region = draft.of(node.inputs[0] if node.op == OverTime("max") else node.name)
    if region.broken:
        return
    needed = [n.op for n in draft.graph.of_type(OverTime) if n.name in draft.needed]
    kinds = {op.kind for op in needed if isinstance(op, OverTime)}
    if len(kinds) > 1:
        draft.find("SNN112", node, f"head {head} reduces time in several ways")
        return
    kind = kinds.pop() if kinds else "mean"
    offset = region.offset
    if kind == "sum" and offset is not None:
        offset = offset / (draft.graph.time_steps or 1)
    name = head if head not in draft.places else f"{head}.readout"
    bias = draft.number(f"{name}.bias", offset)
    draft.places[name] = Readout(name, node.signal.shape, bias, kind, host)
    connect(draft, region, name)


def _no_neuron(draft: Draft, head: str, node: Node) -> None:
    """A comparison alone may be one step of a neuron."""
    said, help = f"head {head} depends on no spiking neuron", ""
    compared = [n for n in draft.graph.of_type(Elementwise)
                if n.name in draft.needed and n.inputs
                and isinstance(n.op, Elementwise) and n.op.function in COMPARISONS]  # fmt: skip
    if compared:
        node = compared[0]
        said += f": `{node.name}` is a comparison, and no loop with a membrane is seen around it"
        help = FEWER
    draft.find("SNN113", node, said, help)
