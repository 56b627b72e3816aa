"""What the first iteration of a loop computes, against what its body says.

A loop whose states begin as a number, as None or as zeros often does less in its first step: 0 + x
is x, and 0.5 · 0 is a constant; where a state is read before it is renewed, so in the second. So
the body is worked out with the first values of its states in their place, folded by identities that
are exact in floating point, and must be, node for node, what these steps compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from snncc.ir.elementwise import BOOLEAN, STEPPED, function
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
from snncc.recognition.iterations import Iterations

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
        self._terms: dict[int, tuple[Node, tuple[int, ...]]] = {}
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

    def parts(self, found: int) -> tuple[Node, tuple[int, ...]] | None:
        """A node that is the expression, and its arguments."""
        return self._terms.get(found)

    def unknown(self, name: str) -> int:
        """What the node ``name`` may have been in a step before the first."""
        return self._id(("unknown", name), self._graph.nodes[name].signal.shape)

    def put(self, found: int, values: Mapping[int, int]) -> int:
        """An expression with others in the place of some."""
        return self._put(found, dict(values))

    def _put(self, found: int, done: dict[int, int]) -> int:
        if found not in done:
            terms = self._terms.get(found)
            done[found] = found if terms is None else self.term(
                terms[0], [self._put(each, done) for each in terms[1]])  # fmt: skip
        return done[found]

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
        self._terms[found] = node, tuple(args)
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


def _neutral(op: Op) -> float | None:
    """The argument with which an op yields the other one."""
    name = op.function if isinstance(op, Elementwise) else ""
    return {"add": 0.0, "sub": 0.0, "or": 0.0, "mul": 1.0, "div": 1.0, "and": 1.0}.get(name)


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
    """The first steps of a loop: the values of its states, and what each node of the body is.

    ``values``: of each step before the first copy, by node. ``held`` are nodes of the body, of
    states alone, that are taken from the step before like states because no first values of the
    states are known that give theirs.
    """

    states: Mapping[str, float | Array]
    values: tuple[Mapping[str, int], ...]
    held: Mapping[str, float | Array]


def beginning(graph: Graph, loop: Iterations, folded: Folded, steps: int) -> Beginning | None:
    """First values of the states with which the body yields what the first steps left.

    ``loop`` begins behind as many ``steps``. Spikes of a step before are none at first, or all.
    """
    late = dict.fromkeys(loop.before, 0.0)
    for spiked in (0.0, 1.0):
        spikes = {name: spiked for name in late if is_step(graph.nodes[name].op)}
        for solving in (_Solving(graph, loop, folded, spikes, steps), None):
            states: dict[str, float | Array] = {**late, **spikes}
            held: dict[str, float | Array] = {}
            if solving is not None:
                states |= solving.states
                held = solving.held
            ids = {name: folded.constant_of(value) for name, value in states.items()}
            values = first_values(graph, loop, folded, ids, held, steps)
            left = values[-1]
            if all(left[name] == folded.of(first) for name, first in loop.before.items()):
                return Beginning(states, values, held)
        if not spikes:
            break
    return None


def is_step(op: Op) -> bool:
    """Whether its values are 0 and 1, or an answer whatever it reads."""
    stepped = isinstance(op, Elementwise) and op.function in BOOLEAN | STEPPED
    return stepped or isinstance(op, Spiking)


def first_values(
    graph: Graph, loop: Iterations, folded: Folded, states: Mapping[str, int],
    held: Mapping[str, float | Array], steps: int,
) -> tuple[Mapping[str, int], ...]:  # fmt: skip
    """The body in each of the first ``steps``; what is ``held`` has its value in the first."""
    found: list[dict[str, int]] = []
    for step in range(steps):
        values: dict[str, int] = {}
        for name, sources in loop.reads.items():
            node = graph.nodes[name]
            if isinstance(node.op, AtStep):
                values[name] = folded.at(node, node.op.step - steps + step)
            elif name in held and not step:
                values[name] = folded.constant_of(held[name])
            else:
                args = [
                    values[of] if how == "inner" else states[of] if how == "late" else folded.of(of)
                    for how, of in sources
                ]
                values[name] = folded.term(node, args, step)
        found.append(values)
        states = values
    return tuple(found)


class _Solving:
    """States of the body for which it may be what the first step computes.

    The body is worked out with unknown states, and it and the first step are followed side by side
    to where the one has something unknown and the other a constant.
    """

    def __init__(
        self, graph: Graph, loop: Iterations, folded: Folded, spikes: Mapping[str, float],
        steps: int,
    ) -> None:  # fmt: skip
        self._folded = folded
        self.states: dict[str, float | Array] = {}
        self.held: dict[str, float | Array] = {}
        ids = {
            name: folded.constant_of(spikes[name]) if name in spikes else folded.unknown(name)
            for name in loop.before
        }
        self._unknown = {found: name for name, found in ids.items() if name not in spikes}
        values = first_values(graph, loop, folded, ids, {}, steps)
        self._names = {found: name for name, found in list(values[0].items())[::-1]}
        self._seen: set[tuple[int, int]] = set()
        self._of_states: dict[int, bool] = {}
        for name, first in loop.before.items():
            known = {
                unknown: folded.constant_of(self.states[state])
                for unknown, state in self._unknown.items() if state in self.states
            }  # fmt: skip
            self._match(folded.put(values[-1][name], known), folded.of(first))

    def _match(self, found: int, wanted: int) -> None:
        """Let ``found``, an expression with unknown states, be ``wanted``."""
        if found == wanted or (found, wanted) in self._seen:
            return
        self._seen.add((found, wanted))
        value = self._folded.constant(wanted)
        if value is not None:
            self._solve(found, value)
            return
        one, two = self._folded.parts(found), self._folded.parts(wanted)
        if one is not None and wanted in one[1] and (neutral := _neutral(one[0].op)) is not None:
            for other in (each for each in one[1] if each != wanted):
                self._solve(other, neutral)
            return
        if one is None or two is None or one[0].op != two[0].op or len(one[1]) != len(two[1]):
            return
        args = two[1]
        if is_commutative(one[0].op) and not all(map(self._fits, one[1], args)):
            args = args[::-1]
        for mine, its in zip(one[1], args, strict=True):
            self._match(mine, its)

    def _fits(self, found: int, wanted: int) -> bool:
        """Whether an argument of the body may be this one of the first step."""
        if found == wanted:
            return True
        if self._folded.constant(wanted) is not None:
            return self._is_of_states(found)
        one, two = self._folded.parts(found), self._folded.parts(wanted)
        return one is not None and two is not None and one[0].op == two[0].op

    def _is_of_states(self, found: int) -> bool:
        """Whether an expression reads unknown states and constants alone."""
        known = self._of_states.get(found)
        if known is None:
            parts = self._folded.parts(found)
            known = found in self._unknown or self._folded.constant(found) is not None or (
                parts is not None and all(map(self._is_of_states, parts[1])))  # fmt: skip
            self._of_states[found] = known
        return known

    def _solve(self, found: int, value: float | Array) -> None:
        """Let ``found`` be ``value``: by the value of one state, the others being 0, or held.

        Where it does not grow evenly with the state, the value that this yields is not right.
        """
        folded = self._folded
        if not self._is_of_states(found):
            return
        if found in self._unknown:
            self.states.setdefault(self._unknown[found], value)
            return
        wanted = folded.constant_of(value)
        zeros = dict.fromkeys(self._unknown, folded.constant_of(0.0))
        for unknown, name in self._unknown.items():
            ends = [
                folded.constant(folded.put(found, zeros | {unknown: folded.constant_of(at)}))
                for at in (0.0, 1.0)
            ]
            zero, one = (np.nan if end is None else np.asarray(end) for end in ends)
            with np.errstate(all="ignore"):
                start = np.asarray((np.asarray(value) - zero) / (one - zero))
            if not np.isfinite(start).all() or name in self.states:
                continue
            if folded.put(found, zeros | {unknown: folded.constant_of(start)}) == wanted:
                self.states[name] = float(start) if start.ndim == 0 else start
                return
        if found in self._names:
            self.held.setdefault(self._names[found], value)
