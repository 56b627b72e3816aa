"""What is no spike op whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from snncc.ir.graph import Node
from snncc.ir.ops import Argmax, Dynamics, MatMul, Membrane, Normalise, Softmax, Unread
from snncc.lowering.combination import Region
from snncc.lowering.draft import Draft

SPIKE_ATTENTION = (
    "use an attention of spikes without products of currents: q * self.sn((k * v).sum(-2, "
    "keepdim=True)), in which all three and the gate are spikes (snncc explain SNN107)"
)


def never(
    draft: Draft, node: Node, op: Normalise | Softmax | MatMul | Membrane | Argmax | Unread
) -> Region:
    """A finding of ``node``; what it reads is looked at too, but for an argmax."""
    if isinstance(op, Argmax):
        return draft.find("SNN108", node, f"{node.name} (argmax) is no spike op")
    draft.sound(node.inputs)
    match op:
        case Unread():
            return draft.find(op.code, node, op.message)
        case Normalise():
            message = f"{node.name}, of kind {op.kind}, takes its statistics from the data"
            return draft.find("SNN106", node, message)
        case Softmax():
            return _softmax(draft, node)
        case MatMul():
            return _product(draft, node)
        case Membrane():
            return draft.find("SNN114", node, f"{node.name} is the membrane of a neuron")


def _softmax(draft: Draft, node: Node) -> Region:
    return draft.find("SNN107", node, f"{node.name} is a softmax between neurons")


def _product(draft: Draft, node: Node) -> Region:
    """A product that softmax attention is made of is refused as the softmax, and once."""
    nodes, readers = draft.graph.nodes, draft.graph.readers
    near = _near(draft, node.name, lambda name: nodes[name].inputs)
    near |= _near(draft, node.name, lambda name: readers[name])
    attention = [each for each in draft.graph.of_type(Softmax)
                 if each.name in near & draft.needed - draft.host
                 and each.name not in draft.suffix]  # fmt: skip
    for each in attention:
        _softmax(draft, each)
    if attention:
        return Region({}, broken=True)
    said = f"{node.name} multiplies two values of the run"
    return draft.find("SNN103", node, said, SPIKE_ATTENTION)


def _near(draft: Draft, start: str, of: Callable[[str], Iterable[str]]) -> set[str]:
    """What is on a way from ``start`` that leads through no neuron."""
    seen, pending = {start}, [start]
    while pending:
        for name in of(pending.pop()):
            if name not in seen and not isinstance(draft.graph.nodes[name].op, Dynamics):
                seen.add(name)
                pending.append(name)
    return seen
