"""What the value of each kind of op is made of."""

from __future__ import annotations

from snncc.ir.graph import Node
from snncc.ir.network import Source
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Concat,
    Constant,
    Delay,
    Elementwise,
    Identity,
    Input,
    MatMul,
    Membrane,
    Normalise,
    OverTime,
    Pool,
    Repeat,
    Softmax,
    Spiking,
    Unread,
    is_linear,
    is_max_pool,
)
from snncc.lowering.combination import Region
from snncc.lowering.draft import Draft
from snncc.lowering.elementwise import elementwise
from snncc.lowering.linear import concat, delayed, linear, over_time
from snncc.lowering.pooling import max_pool
from snncc.lowering.refusals import never


def value(draft: Draft, node: Node) -> Region:
    """What ``node`` is made of. Raises TypeError for an op that nothing is said of."""
    op = node.op
    if isinstance(op, Repeat | Identity):
        return draft.of(node.inputs[0])
    if node.name in draft.host:
        if node.signal.rate == "final":
            message = f"`{node.name}` is an analog value of all time steps"
            return draft.find("SNN112", node, message)
        return Region({(node.name, ()): 1.0})
    match op:
        case Constant():
            return Region({}, draft.store.number(op.value))
        case Input():
            draft.places[node.name] = Source(
                node.name, node.signal.shape, "spike" if op.kind == "spike" else "count"
            )
            return Region({(node.name, ()): 1.0})
        case Spiking():
            return Region({(node.name, ()): 1.0})
        case OverTime():
            return over_time(draft, node, op)
        case Delay():
            return delayed(draft, node, op)
        case Elementwise():
            return elementwise(draft, node, op)
        case Concat():
            return concat(draft, node, op)
        case Pool() | AdaptivePool() if is_max_pool(op):
            return max_pool(draft, node, op)
        case Normalise() | Softmax() | MatMul() | Membrane() | Argmax() | Unread():
            return never(draft, node, op)
        case op if is_linear(op):
            return linear(draft, node, op)
        case _:
            raise TypeError(f"nothing says what `{type(op).__name__}` is lowered to")
