"""Why a loop that was written down step by step is none over time, in words.

A comparison that is not a neuron's is the mark of a step: what lies between two of them, in the
order of the run, is one step. Two steps are held against each other from their comparisons back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from snncc.ir.graph import Graph, Node
from snncc.ir.ops import AtStep, Constant, Elementwise, Norm, Ref, Scale, Spiking
from snncc.recognition.beginnings import is_step

FEW = 3
"""Of fewer steps nobody can say what repeats."""

LAST = "return the last step of a value, or the sum, the mean or the stack of all its steps"
FIRST = "let every step do the same, and let the membrane begin as a constant, such as zeros"
NORM = (
    "use one norm for all steps, self.bn(x[t]) in place of self.bns[t](x[t]): it is folded into "
    "weights, and a chip has the same weights in all steps"
)
NUMBER = "use the same number in every step: weights, decays and thresholds of a chip stay"
FEWER = (
    "a neuron that is written as a loop is recognised where at least three steps are seen: give "
    "an example with T of 3 or more, or let the loop have three steps"
)


@dataclass(frozen=True)
class Why:
    """The comparison that marks the steps, the reason, and what to do (empty: as ever)."""

    node: Node
    said: str
    help: str = ""


def why_no_loop(graph: Graph, reason: str) -> Why | None:
    """Why no loop of ``graph`` is rolled up, whose steps are marked by comparisons.

    ``reason`` is what is known already. None where no comparison is seen twice.
    """
    marks = _marks(graph)
    if len(marks) < 2:
        return None
    first = graph.nodes[marks[0]]
    said = f"`{first.name}` is a comparison in a loop, and is not recognised as a neuron: "
    if len(marks) < FEW:
        return Why(first, f"{said}only {len(marks)} steps of the loop are seen", FEWER)
    for step, (one, two, three) in enumerate(zip(marks, marks[1:], marks[2:], strict=False)):
        unlike = next(_differences(graph, (one, two), (two, three)), None)
        if unlike is not None:
            words, help = _words(graph, *unlike)
            return Why(first, f"{said}step {step + 2} is not like step {step + 1}: {words}", help)
    help = FIRST if "first step" in reason else LAST if "behind the loop" in reason else ""
    return Why(first, said + reason, help)


def _marks(graph: Graph) -> list[str]:
    """The comparisons of one line of code, one per step, of the line that has most."""
    lines: dict[object, list[str]] = {}
    needed = graph.ancestors(*graph.heads.values())
    for node in graph.nodes.values():
        written = is_step(node.op) and not isinstance(node.op, Spiking)
        if written and node.signal.rate == "static" and node.inputs and node.name in needed:
            lines.setdefault((node.op, node.signal.shape, node.origin), []).append(node.name)
    return max(lines.values(), key=len, default=[])


def _differences(
    graph: Graph, one: tuple[str, str], two: tuple[str, str]
) -> Iterator[tuple[Node, Node]]:
    """Nodes of two steps that stand for each other and do not do the same.

    A step is what lies behind the comparison before it, up to its own.
    """
    place = {name: number for number, name in enumerate(graph.nodes)}
    seen: set[tuple[str, str]] = set()
    pending = [(one[1], two[1])]
    while pending:
        names = pending.pop(0)
        a, b = (graph.nodes[name] for name in names)
        if a is b or names in seen:
            continue
        seen.add(names)
        if _kind(a) != _kind(b):
            yield a, b
            continue
        for mine, its in zip(a.inputs, b.inputs, strict=True):
            inside = place[mine] > place[one[0]], place[its] > place[two[0]]
            constant = isinstance(graph.nodes[mine].op, Constant)
            if all(inside) or (constant and isinstance(graph.nodes[its].op, Constant)):
                pending.append((mine, its))


def _kind(node: Node) -> object:
    op: object = AtStep if isinstance(node.op, AtStep) else node.op
    return op, len(node.inputs), node.signal.shape


def _words(graph: Graph, one: Node, two: Node) -> tuple[str, str]:
    """How two nodes differ, the one of the later step first, and what to do."""
    mine, its = _called(graph, two), _called(graph, one)
    line = f" in line {two.origin.line}" if two.origin.line else ""
    if type(one.op) is not type(two.op) or (
        isinstance(one.op, Elementwise) and isinstance(two.op, Elementwise)
    ):
        return f"it has {mine}{line} where the other has {its}", ""
    if isinstance(one.op, Norm):
        return f"{mine}{line} is another norm than {its}", NORM
    if isinstance(one.op, Scale | Constant):
        return f"it has {mine}{line} where the other has {its}", NUMBER
    return f"{mine}{line} has other numbers than {its}", NUMBER


def _called(graph: Graph, node: Node) -> str:
    match node.op:
        case Constant(value) | Scale(value) if not isinstance(value, Ref):
            kind = "the number" if isinstance(node.op, Constant) else "a factor of"
            return f"{kind} {value:g}"
    return f"`{node.name}`"
