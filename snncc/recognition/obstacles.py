"""What in a written membrane no neuron computes, in words: one function, where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snncc.ir.graph import Node
from snncc.ir.ops import Elementwise
from snncc.recognition.equations import NoForm, Sum

BOUNDS: Mapping[str, str] = {
    "maximum": "a floor", "relu": "a floor", "minimum": "a ceiling",
    "clamp": "a floor and a ceiling", "hardtanh": "a floor and a ceiling",
    "relu6": "a floor and a ceiling",
}  # fmt: skip

ROUNDING = frozenset({"floor", "round", "ceil", "trunc"})

NO_BOUND = (
    "a membrane on the chip has no bound: train the network without it, or so that no membrane "
    "comes near it and leave it out"
)
NO_GATE = "let decays and gains be constants or parameters, and add inputs up instead"
NO_FUNCTION = "between spikes a membrane is a multiple of itself and a sum of currents"
ONE_SPIKE = "compare the membrane with one threshold, or use several neurons with one each"


def obstacle(node: Node, args: Sequence[Sum]) -> NoForm:
    """A function of a membrane or a current of the step before that is no sum."""
    name = node.op.function if isinstance(node.op, Elementwise) else type(node.op).__name__.lower()
    equation = f"`{node.name}` is {name}({', '.join(map(str, args))})"
    if name in BOUNDS:
        return NoForm(f"the membrane has {BOUNDS[name]}: {equation}", node.name, NO_BOUND)
    if name in ("mul", "div", "square", "pow"):
        said = f"real values are multiplied or divided: {equation}"
        return NoForm(said, node.name, NO_GATE)
    if name in ROUNDING:
        return NoForm(f"several spikes in a step: {equation}", node.name, ONE_SPIKE)
    if name == "where":
        return NoForm(f"a choice that is made by no spike: {equation}", node.name, NO_FUNCTION)
    return NoForm(f"`{name}` of the membrane: {equation}", node.name, NO_FUNCTION)
