"""The equations of a Graph: what each value is of states, currents and spikes, exactly.

A state is what the step before left behind a `Delay`. Only arithmetic value by value is followed;
all that it reads else is a current.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import torch

from snncc.ir.graph import Graph, Node
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import Constant, Delay, Elementwise, Identity, Input, Number, Ref, Scale, Spiking
from snncc.recognition.equations import (
    ONE,
    Bit,
    Coefficient,
    NoForm,
    Sum,
    alike,
    exact,
    is_never_zero,
)
from snncc.recognition.obstacles import obstacle

ABOVE: Mapping[str, tuple[int, bool | None]] = {
    "ge": (1, False), "gt": (1, True), "le": (-1, False), "lt": (-1, True),
}  # fmt: skip
"""Of each comparison, the sign of left − right and whether 0 is not enough."""


class Reading:
    """The equations of a Graph.

    ``comparisons`` are those of real values, each of which may be a neuron. ``late`` are those of
    states alone that ask what another asked a step before. ``obstacles``: the values whose function
    of a state is no sum, and why.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.obstacles: dict[str, NoForm] = {}
        self._sums: dict[str, Sum] = {}
        self._touched = touched(graph)
        self.comparisons = [
            node.name
            for node in graph.nodes.values()
            if node.name in self._touched and self._strict(node) is not None and self._is_open(node)
        ]  # fmt: skip
        self.late = dict(self._late_comparisons())

    # -- what a node is ------------------------------------------------------------------------

    def sum(self, name: str) -> Sum:
        """The equation of a node; a Delay of spikes alone is these, late."""
        if name not in self._sums:
            self._sums[name] = self._sum(self.graph.nodes[name])
        return self._sums[name]

    def _sum(self, node: Node) -> Sum:
        op = node.op
        if isinstance(op, Constant):
            return Sum.constant(self.number(op.value))
        if node.name not in self._touched:
            return Sum.variable(node.name)
        if isinstance(op, Delay):
            return self._delayed(node)
        if self._strict(node) is not None:
            return self._compared(node)
        args = [self.sum(source) for source in node.inputs]
        try:
            combined = self._combined(node, args)
        except NoForm:  # a product of real values
            combined = None
        if combined is not None:
            return combined
        variables = sorted({name for each in args for name in each.variables})
        deeper = [self.obstacles[name] for name in variables if name in self.obstacles]
        if deeper or any(self.states(each) for each in args):
            self.obstacles[node.name] = deeper[0] if deeper else obstacle(node, args)
        return Sum.variable(node.name)

    def _combined(self, node: Node, args: Sequence[Sum]) -> Sum | None:
        op = node.op
        match op:
            case Identity():
                return args[0]
            case Scale():
                return args[0].times(self.number(op.factor))
            case Elementwise(function="add"):
                return args[0] + args[1]
            case Elementwise(function="sub"):
                return args[0] - args[1]
            case Elementwise(function="neg"):
                return args[0].times(-ONE)
            case Elementwise(function="mul" | "and"):
                return args[0] * args[1]
            case Elementwise(function="square"):
                return args[0] * args[0]
            case Elementwise(function="div") if not args[1].variables | args[1].bits:
                divisor = args[1].of_variable("")
                if is_never_zero(divisor):
                    return args[0].times(ONE / divisor)
            case Elementwise(function="not") if args[0].is_spike:
                return Sum.constant(ONE) - args[0]
            case Elementwise(function="or") if all(arg.is_spike for arg in args):
                return args[0] + args[1] - args[0] * args[1]
            case Elementwise(function="where") if args[0].is_spike:
                return args[0] * args[1] + (Sum.constant(ONE) - args[0]) * args[2]
        return None

    def _delayed(self, node: Node) -> Sum:
        """Spikes alone, late; else a state."""
        (source,) = node.inputs
        self._sums[node.name] = Sum.variable(node.name)  # on the way back to itself
        before, obstacles = dict(self._sums), dict(self.obstacles)
        left = self.sum(source)
        if not left.variables and not any(bit.late for bit in left.bits) and len(left.bits) == 1:
            self._sums, self.obstacles = before, obstacles
            late = {bit: Bit(bit.name, late=True) for bit in left.bits}
            return left.renamed(late)
        return Sum.variable(node.name)

    def _compared(self, node: Node) -> Sum:
        """A spike; of spikes alone what the comparison says of them."""
        u = self.asked(node.name)
        if u.variables or len(u.bits) > 3:
            return Sum.bit(Bit(node.name))
        bits, strict = sorted(u.bits), self._strict(node)
        total = Sum.of([])
        for number in range(1 << len(bits)):
            spikes = {bit: number >> i & 1 for i, bit in enumerate(bits)}
            value = u.at(spikes).constant_part
            if not isinstance(value, Fraction):
                return Sum.bit(Bit(node.name))
            if value > 0 or (value == 0 and not strict):
                here = Sum.constant(ONE)
                for bit, spike in spikes.items():
                    one = Sum.bit(bit)
                    here = here * (one if spike else Sum.constant(ONE) - one)
                total = total + here
        return total

    # -- comparisons ---------------------------------------------------------------------------

    def asked(self, name: str) -> Sum:
        """What must be at or above 0 for a comparison to hold."""
        node = self.graph.nodes[name]
        left, right = (self.sum(source) for source in node.inputs)
        if _function(node) == "heaviside":
            return left
        sign, _ = ABOVE[_function(node)]
        return (left - right).times(Fraction(sign))

    def question(self, name: str) -> str:
        """What a comparison asks, in words."""
        return f"{self.asked(name)} {'>' if self.strict(name) else '≥'} 0"

    def strict(self, name: str) -> bool:
        """Whether 0 is not enough for a comparison."""
        return bool(self._strict(self.graph.nodes[name]))

    def _strict(self, node: Node) -> bool | None:
        """The same; None where the node is no comparison."""
        if not isinstance(node.op, Elementwise):
            return None
        if node.op.function != "heaviside":
            return ABOVE.get(node.op.function, (0, None))[1]
        at_zero = self.graph.nodes[node.inputs[1]].op
        value = self.number(at_zero.value) if isinstance(at_zero, Constant) else None
        if not isinstance(value, Fraction) or value not in (0, 1):
            return None
        return value == 0

    def _is_open(self, node: Node) -> bool:
        """Whether a comparison is one of real values."""
        return self.sum(node.name).bits == {Bit(node.name)}

    def _late_comparisons(self) -> Iterator[tuple[str, str]]:
        """Comparisons of states alone, each with the one that asks the same a step before."""
        for name in self.comparisons:
            asked = self.asked(name)
            states = self.states(asked)
            if asked.bits or not states or asked.variables != set(states):
                continue
            before = asked
            for state in states:
                before = before.put(state, self.left(state))
            for other in self.comparisons:
                alike = self.strict(other) == self.strict(name)
                if other != name and alike and self.asked(other) == before:
                    yield name, other
                    break

    def late_of(self, name: str) -> list[str]:
        """The comparisons that ask what this one asked a step before."""
        return [other for other, of in self.late.items() if of == name]

    # -- states --------------------------------------------------------------------------------

    def states(self, u: Sum) -> list[str]:
        """The states in a sum: Delays of real values."""
        nodes = self.graph.nodes
        delays = [name for name in u.variables if isinstance(nodes[name].op, Delay)]
        return sorted(name for name in delays if not self.sum(name).bits)

    def left(self, state: str) -> Sum:
        """What a step leaves in a state."""
        (source,) = self.graph.nodes[state].inputs
        return self.sum(source)

    def is_input(self, state: str) -> bool:
        """Whether a state is a current of the step before, and nothing else."""
        left = self.left(state)
        real = left.variables - self.obstacles.keys()
        return not left.bits and not self.states(left) and bool(real) and real == left.variables

    def first(self, state: str) -> Coefficient:
        """What a state is in the first step."""
        op = self.graph.nodes[state].op
        assert isinstance(op, Delay)
        return self.number(op.initial)

    def number(self, number: Number) -> Coefficient:
        return exact(self.graph.tensors[number] if isinstance(number, Ref) else number)

    def holding(self, late: Bit) -> Iterator[tuple[str, Sum]]:
        """The Delays of the spikes of a comparison, each with its equation in the late spike."""
        for node in self.graph.of_type(Delay):
            what = self.sum(node.name)
            if what.bits == {late} and not what.variables:
                yield node.name, what

    def delayed_copy(self, late: Bit) -> tuple[str, Coefficient] | None:
        """A Delay that is a multiple of the late spikes, and which; all of them begin alike."""
        copies = []
        for name, what in self.holding(late):
            height = what.at({late: 1}).constant_part
            if what == Sum.bit(late).times(height) and is_never_zero(height):
                copies.append((name, height))
        if not copies:
            return None
        name, height = copies[0]
        before = self.first(name) / height
        for other, what in self.holding(late):  # what else holds them must begin as the copy does
            apart = what.at({late: 0}).constant_part
            rise = what.at({late: 1}).constant_part - apart
            if not alike(apart + rise * before, self.first(other)):
                return None
        return name, height

    # -- silence -------------------------------------------------------------------------------

    def silent(self, name: str) -> Coefficient:
        """A current without any spikes. Raises NoForm for one that hangs on analog values."""
        graph, cut = self.graph, set(self.comparisons)
        cut |= {node.name for node in graph.of_type(Spiking)}
        nodes: set[str] = set()
        pending = [name]
        while pending:
            here = pending.pop()
            if here not in nodes:
                nodes.add(here)
                pending += [] if here in cut else graph.nodes[here].inputs
        if any(node.op == Input("analog") for node in graph.inputs if node.name in nodes):
            raise NoForm(f"the analog `{name}` of the step before is in its membrane")
        cone = [
            replace(node, op=Input("spike"), inputs=()) if node.name in cut else node
            for node in graph.nodes.values() if node.name in nodes
        ]  # fmt: skip
        part = Graph.build(cone, graph.tensors, {"it": name}, time_steps=1)
        zeros = {
            node.name: torch.zeros(
                *[1] * (2 if node.signal.rate == "step" else 1), *node.signal.shape
            )
            for node in part.inputs
        }
        shape = graph.nodes[name].signal.shape
        value = run_graph(part, zeros)[name].double().reshape(-1, *shape)[0].numpy()
        for axis in range(value.ndim):
            first = value.take([0], axis)
            value = first if (value == first).all() else value
        return exact(value)


def _function(node: Node) -> str:
    assert isinstance(node.op, Elementwise)
    return node.op.function


def touched(graph: Graph) -> frozenset[str]:
    """Delays, and what is computed from them value by value."""
    found = {node.name for node in graph.of_type(Delay)}
    while True:
        more = {
            node.name
            for node in graph.nodes.values()
            if node.name not in found and isinstance(node.op, Elementwise | Identity | Scale)
            and not found.isdisjoint(node.inputs)
        }  # fmt: skip
        if not more:
            return frozenset(found)
        found |= more
