"""What the first iteration of a loop computes, against what its body says.

A loop whose states begin as a number, as None or as zeros often does less in its first step: 0 + x
is x, and 0.5 · 0 is a constant. So the body is worked out once with the first values of its states
in their place, folded by identities that are exact in floating point, and must be, node for node,
what the first step computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from snncc.ir.elementwise import function
from snncc.ir.graph import Graph, Node
from snncc.ir.ops import (
    AtStep,
    Broadcast,
    Constant,
    Conv,
    Dense,
    Elementwise,
    Identity,
    Number,
    Op,
    Permute,
    Pool,
    Ref,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Spiking,
)
from snncc.passes.iterations import Iterations, Source

Array = np.ndarray
UNIFORM = (Reshape, Broadcast, Permute, Slice, Repeat, Identity)
"""Ops that leave one number for all what it is."""


class Folded:
    """Expressions of a Graph as numbers: the same number, the same value for every input."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._ids: dict[object, int] = {}
        self._constants: dict[int, float | Array] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._terms: dict[int, tuple[Op, tuple[int, ...]]] = {}
        self._known: dict[str, int] = {}
        self._calls = _calls(graph)

    def of(self, name: str) -> int:
        """A node that is not in the body of the loop."""
        pending = [name]
        while pending:
            node = self._graph.nodes[pending[-1]]
            missing = [] if _is_leaf(node) else [n for n in node.inputs if n not in self._known]
            if missing:
                pending += missing
                continue
            pending.pop()
            if node.name not in self._known:
                self._known[node.name] = self._node(node)
        return self._known[name]

    def _node(self, node: Node) -> int:
        op = node.op
        if isinstance(op, Constant):
            return self.number(op.value)
        if isinstance(op, AtStep):
            return self.at(node, op.step)
        if _is_leaf(node):
            return self._id(("node", node.name), node.signal.shape)
        return self.term(node, [self._known[each] for each in node.inputs])

    def at(self, node: Node, step: int) -> int:
        """What ``node``, an `AtStep`, is at ``step``."""
        return self._id(("step", node.inputs[0], step), node.signal.shape)

    def number(self, value: Number) -> int:
        return self.constant_of(self._graph.tensors[value] if isinstance(value, Ref) else value)

    def constant_of(self, value: float | Array) -> int:
        array = np.asarray(value, np.float64)
        if array.size and (array == array.flat[0]).all():
            array = np.asarray(float(array.flat[0]) + 0.0)
        found = self._id(("constant", array.shape, array.tobytes()), array.shape)
        self._constants[found] = float(array) if array.ndim == 0 else array
        return found

    def constant(self, found: int) -> float | Array | None:
        """The value of an expression without inputs."""
        return self._constants.get(found)

    def parts(self, found: int) -> tuple[Op, tuple[int, ...]] | None:
        """The op and the arguments of an expression."""
        return self._terms.get(found)

    def term(self, node: Node, args: Sequence[int], call: int | None = None) -> int:
        """``node`` on other arguments; of a neuron the ``call``-th of its calls."""
        op, shape = node.op, node.signal.shape
        if isinstance(op, Spiking):
            number = self._calls[node.name] if call is None else call
            return self._id(("call", op, node.origin.module, number, tuple(args)), shape)
        simple = self._simple(op, args, shape)
        if simple is not None:
            return simple
        ordered = tuple(sorted(args)) if is_commutative(op) else tuple(args)
        found = self._id((op, ordered), shape)
        self._terms[found] = op, tuple(args)
        return found

    def _simple(self, op: Op, args: Sequence[int], shape: tuple[int, ...]) -> int | None:
        """A constant, or the one argument that decides."""
        values = [self._constants.get(each) for each in args]
        if isinstance(op, Identity):
            return args[0]
        if isinstance(op, UNIFORM) and isinstance(values[0], float):
            return args[0]
        if isinstance(op, Pool) and values[0] == 0.0:
            return args[0]
        if isinstance(op, Dense | Conv) and isinstance(values[0], float) and values[0] == 0:
            return self._of_zeros(op)
        if isinstance(op, Scale):
            return self._by_value("mul", [args[0], self.number(op.factor)], shape)
        if isinstance(op, Elementwise):
            return self._by_value(op.function, args, shape)
        return None

    def _of_zeros(self, op: Dense | Conv) -> int:
        if op.bias is None:
            return self.constant_of(0.0)
        bias = self._graph.tensors[op.bias]
        return self.constant_of(
            bias if isinstance(op, Dense) else bias.reshape(-1, *[1] * len(op.stride))
        )

    def _by_value(self, name: str, args: Sequence[int], shape: tuple[int, ...]) -> int | None:
        values = [self._constants.get(each) for each in args]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            tensors = [torch.as_tensor(value, dtype=torch.float64) for value in known]
            return self.constant_of(function(name)(*tensors).numpy())
        whole = [self._shapes[each] == shape for each in args]
        numbers = [... if isinstance(value, np.ndarray) else value for value in values]
        match name, numbers:
            case ("add", [0.0, None]) if whole[1]:
                return args[1]
            case ("add" | "sub", [None, 0.0]) if whole[0]:
                return args[0]
            case ("mul", [1.0, None]) if whole[1]:
                return args[1]
            case ("mul" | "div", [None, 1.0]) if whole[0]:
                return args[0]
            case (("mul" | "and"), [0.0, None] | [None, 0.0]):
                return self.constant_of(0.0)
            case ("or", [0.0, None]) if whole[1]:
                return args[1]
            case ("or", [None, 0.0]) if whole[0]:
                return args[0]
            case ("where", [float() as test, *_]) if whole[1 if test else 2]:
                return args[1 if test else 2]
        return None

    def _id(self, key: object, shape: tuple[int, ...]) -> int:
        found = self._ids.setdefault(key, len(self._ids))
        self._shapes.setdefault(found, shape)
        return found


def is_commutative(op: Op) -> bool:
    return isinstance(op, Elementwise) and op.function in (
        "add", "mul", "and", "or", "minimum", "maximum", "eq", "ne",
    )  # fmt: skip


def _is_leaf(node: Node) -> bool:
    return node.signal.rate != "static" or not node.inputs


def _calls(graph: Graph) -> dict[str, int]:
    """Of each call of a neuron, how many it had before."""
    counts: dict[str, int] = {}
    found: dict[str, int] = {}
    for node in graph.of_type(Spiking):
        found[node.name] = counts.get(node.origin.module, 0)
        counts[node.origin.module] = found[node.name] + 1
    return found


@dataclass(frozen=True)
class Beginning:
    """The first step of a loop: the values of its states, and what each node of the body is."""

    states: Mapping[str, float | Array]
    values: Mapping[str, int]


def beginnings(graph: Graph, loop: Iterations, folded: Folded) -> Iterator[Beginning]:
    """First values of the states with which the body yields what the first step left.

    ``loop`` begins with the second step.
    """
    zeros: dict[str, float | Array] = dict.fromkeys(loop.before, 0.0)
    solved = _Solving(graph, loop, folded).states()
    for states in [zeros | solved, zeros] if solved else [zeros]:
        values = first_values(graph, loop, folded, states)
        if all(values[name] == folded.of(first) for name, first in loop.before.items()):
            yield Beginning(states, values)
            return


def first_values(
    graph: Graph, loop: Iterations, folded: Folded, states: Mapping[str, float | Array]
) -> dict[str, int]:
    """The body in the first step."""
    values: dict[str, int] = {}
    for name, sources in loop.reads.items():
        node = graph.nodes[name]
        if isinstance(node.op, AtStep):
            values[name] = folded.at(node, node.op.step - 1)
            continue
        args = [
            values[of] if how == "inner"
            else folded.constant_of(states[of]) if how == "late" else folded.of(of)
            for how, of in sources
        ]  # fmt: skip
        values[name] = folded.term(node, args, 0)
    return values


class _Solving:
    """States of the body for which it may be what the first step computes."""

    def __init__(self, graph: Graph, loop: Iterations, folded: Folded) -> None:
        self._graph, self._loop, self._folded = graph, loop, folded
        self._states: dict[str, float | Array] = {}
        self._seen: set[tuple[str, int]] = set()

    def states(self) -> dict[str, float | Array]:
        for name, first in self._loop.before.items():
            self._match(name, self._folded.of(first))
        return self._states

    def _match(self, name: str, wanted: int) -> None:
        """Follow a node of the body and an expression of the first step side by side."""
        if (name, wanted) in self._seen:
            return
        self._seen.add((name, wanted))
        value = self._folded.constant(wanted)
        if value is not None:
            self._solve(name, value)
            return
        parts, node = self._folded.parts(wanted), self._graph.nodes[name]
        if parts is None or parts[0] != node.op or len(parts[1]) != len(node.inputs):
            return
        sources, args = self._loop.reads[name], parts[1]
        if is_commutative(node.op) and not all(map(self._fits, sources, args)):
            args = args[::-1]
        for (how, of), part in zip(sources, args, strict=True):
            number = self._folded.constant(part)
            if how == "inner":
                self._match(of, part)
            elif how == "late" and number is not None:
                self._states.setdefault(of, number)

    def _fits(self, source: Source, part: int) -> bool:
        """Whether an argument of the body may be this one of the first step."""
        how, of = source
        if how == "same":
            return self._folded.of(of) == part
        constant = self._folded.constant(part) is not None
        parts = self._folded.parts(part)
        return constant or (how == "inner" and (
            parts is None or parts[0] == self._graph.nodes[of].op
        ))  # fmt: skip

    def _solve(self, name: str, value: float | Array) -> None:
        """Let ``name`` be ``value``, where that says what one state is, the others being 0.

        It grows evenly with a state, or the values that this yields are not right.
        """
        states = self._states_of(name)
        for state in states:
            zero, one = (
                self._valued(name, dict.fromkeys(states, 0.0) | {state: at}) for at in (0.0, 1.0)
            )
            if zero is None or one is None:
                return
            with np.errstate(all="ignore"):
                found = np.asarray((np.asarray(value) - zero) / (np.asarray(one) - zero))
            if np.isfinite(found).all():
                self._states.setdefault(state, float(found) if found.ndim == 0 else found)
                return

    def _states_of(self, name: str) -> list[str]:
        """The states that a node of the body reads."""
        found: dict[str, None] = {}
        pending, seen = [name], set[str]()
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            for how, of in self._loop.reads[at]:
                if how == "late":
                    found[of] = None
                elif how == "inner":
                    pending.append(of)
        return list(found)

    def _valued(self, name: str, states: Mapping[str, float | Array]) -> float | Array | None:
        """What a node of the body is with some states, where that is a constant."""
        zeros: dict[str, float | Array] = dict.fromkeys(self._loop.before, 0.0)
        values = first_values(self._graph, self._loop, self._folded, zeros | dict(states))
        return self._folded.constant(values[name])
