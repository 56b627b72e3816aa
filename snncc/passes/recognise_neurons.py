"""recognise-neurons: Graph → Graph, in exact arithmetic the same spikes.

A membrane that is written as arithmetic is a value that feeds back through a Delay and is compared:
the comparison becomes the `Spiking` it computes. By algebra, not by patterns
(`snncc.passes.equations`):

1. u is what the comparison asks to be at or above 0: the difference of its two sides, followed back
   through sums, products with spikes or numbers and choices by spikes, to what the step before left
   (states) and to currents, which are all other real values. A product of two states or currents
   has no such form.
2. s is the spike of this comparison, r the one of the step before: what is left of s behind a
   Delay, or a comparison of states alone that asks the same of the step before.
3. Each state must be left as k·u + c, with k and c by s. Then u = P·u' + Q + B·x, where u' is u of
   the step before, and P, Q and B hang on r. That is a proof, for all inputs.
4. A state of its own input alone, without spikes, is a synaptic current.
5. Where u grows by B > 0 of a current, it is counted in units of B.
6. With h = u + θ: Q as without spikes, a soft reset takes θ from h, a hard one gives it another
   value; now, or in the next step, where a hard one loses the current. What is left over is a
   constant current.
7. The first membrane follows from the states' own beginning.
8. Whatever no longer reaches a head goes. A real value that still feeds back to itself is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.ops import (
    Constant,
    Delay,
    Elementwise,
    Identity,
    Number,
    Ref,
    Reset,
    Scale,
    Spiking,
    When,
)
from snncc.ir.values import SPIKE
from snncc.passes.base import Form, Outcome, Pass
from snncc.passes.equations import (
    ONE,
    Bit,
    Coefficient,
    NoForm,
    Sum,
    alike,
    as_float,
    exact,
    is_never_zero,
    is_zero,
)

ABOVE: Mapping[str, tuple[int, bool | None]] = {
    "ge": (1, False), "gt": (1, True), "le": (-1, False), "lt": (-1, True),
}  # fmt: skip
"""Of each comparison, the sign of left − right and whether 0 is not enough."""

ZERO = Fraction(0)


@dataclass(frozen=True)
class RecogniseNeurons(Pass):
    name: ClassVar[str] = "recognise-neurons"
    reads: ClassVar[type[Form]] = Graph
    writes: ClassVar[type[Form]] = Graph

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Graph)
        if not form.of_type(Delay):
            return Outcome(form)
        reading = _Reading(form)
        found: dict[str, _Neuron] = {}
        obstacles: dict[str, str] = {}
        for name in reading.comparisons:
            try:
                neuron = reading.neuron(name)
            except NoForm as error:
                obstacles[name] = f"{error}; `{name}` asks whether {reading.question(name)}"
            else:
                if neuron is not None:
                    found[name] = neuron
        graph = _replaced(form, reading, found) if found else form
        findings = tuple(dict.fromkeys(_circles(graph, obstacles)))
        return Outcome(graph, findings, {"recognised": sorted(found)} if found else {})


@dataclass(frozen=True)
class _Neuron:
    """A `Spiking` and what it reads: a sum of nodes, each with its factor, and a constant."""

    op: Mapping[str, Any]
    reads: Mapping[str, Coefficient]
    bias: Coefficient
    late: Mapping[str, int]


class _Reading:
    """The equations of a Graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._sums: dict[str, Sum] = {}
        self._touched = _touched(graph)
        self.comparisons = [
            node.name
            for node in graph.nodes.values()
            if node.name in self._touched and self._strict(node) is not None and self._is_open(node)
        ]  # fmt: skip
        self._late = dict(self._late_comparisons())

    # -- what a node is ------------------------------------------------------------------------

    def sum(self, name: str) -> Sum:
        """The equation of a node; a Delay of spikes alone is these, late."""
        if name not in self._sums:
            self._sums[name] = self._sum(self._graph.nodes[name])
        return self._sums[name]

    def _sum(self, node: Node) -> Sum:
        op = node.op
        if isinstance(op, Constant):
            return Sum.constant(self._number(op.value))
        if node.name not in self._touched:
            return Sum.variable(node.name)
        if isinstance(op, Delay):
            return self._delayed(node)
        if self._strict(node) is not None:
            return self._compared(node)
        try:
            return self._combined(node, [self.sum(source) for source in node.inputs])
        except NoForm:  # a product of real values
            return Sum.variable(node.name)

    def _combined(self, node: Node, args: Sequence[Sum]) -> Sum:
        op = node.op
        match op:
            case Identity():
                return args[0]
            case Scale():
                return args[0].times(self._number(op.factor))
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
            case Elementwise(function="not") if _is_spike(args[0]):
                return Sum.constant(ONE) - args[0]
            case Elementwise(function="or") if all(map(_is_spike, args)):
                return args[0] + args[1] - args[0] * args[1]
            case Elementwise(function="where") if _is_spike(args[0]):
                return args[0] * args[1] + (Sum.constant(ONE) - args[0]) * args[2]
        return Sum.variable(node.name)

    def _delayed(self, node: Node) -> Sum:
        """Spikes alone, late; else a state."""
        (source,) = node.inputs
        self._sums[node.name] = Sum.variable(node.name)  # on the way back to itself
        before = dict(self._sums)
        left = self.sum(source)
        if not left.variables and not any(bit.late for bit in left.bits) and len(left.bits) == 1:
            self._sums = before
            late = {bit: Bit(bit.name, late=True) for bit in left.bits}
            return left.renamed(late)
        return Sum.variable(node.name)

    def _compared(self, node: Node) -> Sum:
        """A spike; of spikes alone what the comparison says of them."""
        u = self._asked(node)
        if u.variables or len(u.bits) > 3:
            return Sum.bit(Bit(node.name))
        bits, strict = sorted(u.bits), self._strict(node)
        total = Sum.of([])
        for number in range(1 << len(bits)):
            spikes = {bit: number >> i & 1 for i, bit in enumerate(bits)}
            value = u.at(spikes).of_variable("")
            if not isinstance(value, Fraction):
                return Sum.bit(Bit(node.name))
            if value > 0 or (value == 0 and not strict):
                here = Sum.constant(ONE)
                for bit, spike in spikes.items():
                    one = Sum.bit(bit)
                    here = here * (one if spike else Sum.constant(ONE) - one)
                total = total + here
        return total

    def _asked(self, node: Node) -> Sum:
        """What must be at or above 0 for a comparison to hold."""
        left, right = (self.sum(source) for source in node.inputs)
        if _function(node) == "heaviside":
            return left
        sign, _ = ABOVE[_function(node)]
        return (left - right).times(Fraction(sign))

    def question(self, name: str) -> str:
        """What a comparison asks, in words."""
        node = self._graph.nodes[name]
        return f"{self._asked(node)} {'>' if self._strict(node) else '≥'} 0"

    def _strict(self, node: Node) -> bool | None:
        """Whether 0 is not enough for a comparison; None where it is none."""
        if not isinstance(node.op, Elementwise):
            return None
        if node.op.function != "heaviside":
            return ABOVE.get(node.op.function, (0, None))[1]
        at_zero = self._graph.nodes[node.inputs[1]].op
        value = self._number(at_zero.value) if isinstance(at_zero, Constant) else None
        if not isinstance(value, Fraction) or value not in (0, 1):
            return None
        return value == 0

    def _is_open(self, node: Node) -> bool:
        """Whether a comparison is one of real values."""
        return self.sum(node.name).bits == {Bit(node.name)}

    def _number(self, number: Number) -> Coefficient:
        return exact(self._graph.tensors[number] if isinstance(number, Ref) else number)

    def _left(self, state: str) -> Sum:
        """What a step leaves in a state."""
        (source,) = self._graph.nodes[state].inputs
        return self.sum(source)

    def _first(self, state: str) -> Coefficient:
        op = self._graph.nodes[state].op
        assert isinstance(op, Delay)
        return self._number(op.initial)

    # -- neurons -------------------------------------------------------------------------------

    def _states(self, u: Sum) -> list[str]:
        nodes = self._graph.nodes
        return sorted(name for name in u.variables if isinstance(nodes[name].op, Delay))

    def _late_comparisons(self) -> Iterator[tuple[str, str]]:
        """Comparisons of states alone, each with the one that asks the same a step before."""
        nodes = self._graph.nodes
        for name in self.comparisons:
            asked = self._asked(nodes[name])
            states = self._states(asked)
            if asked.bits or not states or asked.variables != set(states):
                continue
            before = asked
            for state in states:
                before = before.put(state, self._left(state))
            for other in self.comparisons:
                alike = self._strict(nodes[other]) == self._strict(nodes[name])
                if other != name and alike and self._asked(nodes[other]) == before:
                    yield name, other
                    break

    def neuron(self, name: str) -> _Neuron | None:
        """What a comparison computes; None where no state is in it. Raises NoForm."""
        if name in self._late:
            return None
        node = self._graph.nodes[name]
        now, late = Bit(name), Bit(name, late=True)
        same = {Bit(other): late for other, of in self._late.items() if of == name}
        u = self._asked(node).renamed(same)
        states = self._states(u)
        if not states and late not in u.bits:
            return None
        if foreign := u.bits - {late}:
            u = _with_others_as_currents(u, foreign)
        left = {
            state: _with_others_as_currents(
                (full := self._left(state).renamed(same)), full.bits - {now, late}
            )
            for state in states
        }
        current = self._current(u, left)
        decay: Coefficient = ZERO
        inside: dict[str, Coefficient] = {}
        if current is not None:
            decay, inside = self._own_input(current, left[current])
            if not is_zero(self._first(current)):
                raise NoForm(f"the synaptic current `{current}` does not start at 0")
            states = [state for state in states if state != current]
            u = _behind(u, current, left[current])
            left = {state: _behind(left[state], current, left[current]) for state in states}
        kept = {state: self._kept(state, u, left[state], now, late) for state in states}
        at = {spike: u.at({late: spike}) for spike in (0, 1)}
        p, q = ({}, {})
        for spike in (0, 1):
            factors = {state: at[spike].of_variable(state) for state in states}
            p[spike] = sum((factors[s] * kept[s][spike][0] for s in states), ZERO)
            q[spike] = at[spike].of_variable("") + sum(
                (factors[s] * kept[s][spike][1] for s in states), ZERO
            )
        reads = {
            spike: {n: at[spike].of_variable(n) for n in at[spike].variables - set(states)}
            for spike in (0, 1)
        }
        first = {
            spike: at[spike].of_variable("")
            + sum((at[spike].of_variable(s) * self._first(s) for s in states), ZERO)
            for spike in (0, 1)
        }
        unit = _unit(reads[0])
        form = _form(p, _over(q, unit), _same_reads(reads), not reads[1])
        before = self._before(name)
        op = self._begun(form, {s: first[s] / unit for s in (0, 1)}, before, node)
        gains = {n: c / unit for n, c in reads[0].items()}
        if current is not None:
            op["current_decay"] = decay
            gain = gains.pop(current)
            gains |= {n: gain * c for n, c in inside.items()}
        self._check_shapes(node, gains)
        return _Neuron(op, gains, form.bias, dict.fromkeys(self._late_of(name), before))

    def _late_of(self, name: str) -> list[str]:
        return [other for other, of in self._late.items() if of == name]

    def _current(self, u: Sum, left: Mapping[str, Sum]) -> str | None:
        """The state of its own input alone that is no membrane."""
        nodes = self._graph.nodes
        found = []
        for state, what in left.items():
            own = {n for n in what.variables if isinstance(nodes[n].op, Delay)}
            if not what.bits and own == {state} and len(left) > 1:
                found.append(state)
        if len(found) > 1:
            raise NoForm(f"several synaptic currents, `{found[0]}` and `{found[1]}`")
        return found[0] if found else None

    def _own_input(self, current: str, left: Sum) -> tuple[Coefficient, dict[str, Coefficient]]:
        decay = left.of_variable(current)
        if not is_zero(left.of_variable("")):
            raise NoForm(f"the synaptic current `{current}` has a constant of its own")
        inputs = {n: left.of_variable(n) for n in left.variables - {current}}
        return decay, inputs

    def _kept(
        self, state: str, u: Sum, left: Sum, now: Bit, late: Bit
    ) -> dict[int, tuple[Coefficient, Coefficient]]:
        """k and c, by this step's spike, of what is left in a state: k·u + c."""
        found: dict[int, tuple[Coefficient, Coefficient]] = {}
        for spike in (0, 1):
            pairs = []
            for before in (0, 1):
                mine = u.at({late: before})
                its = left.at({now: spike, late: before})
                pairs.append((mine, its))
            k = _ratio(state, pairs)
            cs = [its.of_variable("") - k * mine.of_variable("") for mine, its in pairs]
            if not alike(cs[0], cs[1]):
                raise NoForm(f"what is left in `{state}` asks for the spike of two steps before")
            found[spike] = k, cs[0]
        return found

    def _before(self, name: str) -> int:
        """The spike of the step before the first, as everything that holds it says."""
        said = {0, 1}
        for fits in (*self._held(Bit(name, late=True)), *self._asked_first(name)):
            said &= fits
        if not said:
            raise NoForm("spikes of the step before the first that are not the same")
        return min(said)

    def _held(self, late: Bit) -> Iterator[set[int]]:
        """The late spike that fits the beginning of each Delay of it."""
        for node in self._graph.of_type(Delay):
            what, first = self.sum(node.name), self._first(node.name)
            if what.bits == {late} and not what.variables:
                yield {s for s in (0, 1) if alike(what.at({late: s}).of_variable(""), first)}

    def _asked_first(self, name: str) -> Iterator[set[int]]:
        """What comparisons that ask for the late spike say at first."""
        for other in self._late_of(name):
            node = self._graph.nodes[other]
            asked = self._asked(node)
            value = asked.of_variable("") + sum(
                (asked.of_variable(s) * self._first(s) for s in self._states(asked)), ZERO
            )
            yield {int(_one(value > 0 if self._strict(node) else value >= 0))}

    def _begun(
        self, form: _Form, first: Mapping[int, Coefficient], before: int, node: Node
    ) -> dict[str, Any]:
        """The op, with the membrane that it starts from."""
        spike = 0 if form.when == "next" else before
        wanted = first[spike] + form.threshold - form.bias
        if is_never_zero(form.decay):
            initial = wanted / form.decay
        elif is_zero(wanted):
            initial = ZERO
        else:
            raise NoForm("a first membrane that no neuron without memory has")
        strict = bool(self._strict(node))
        if form.when == "next":
            fires = initial > form.threshold if strict else initial >= form.threshold
            if _one(fires) != bool(before):
                raise NoForm("a first spike that its first membrane does not say")
        return {
            "decay": form.decay, "threshold": form.threshold, "reset": form.reset,
            "v_reset": form.v_reset, "initial": initial, "strict": strict, "when": form.when,
        }  # fmt: skip

    def _check_shapes(self, node: Node, reads: Mapping[str, Coefficient]) -> None:
        for name in reads:
            if self._graph.nodes[name].signal.shape != node.signal.shape:
                raise NoForm(f"the current `{name}` has another shape")


@dataclass(frozen=True)
class _Form:
    """Decay, threshold, reset and constant current, in units of the current."""

    decay: Coefficient
    threshold: Coefficient
    reset: Reset
    when: When = "now"
    v_reset: Coefficient = ZERO
    bias: Coefficient = ZERO


def _form(
    p: Mapping[int, Coefficient], q: Mapping[int, Coefficient], same: bool, silenced: bool
) -> _Form:
    """Rule 6. ``same``: the currents do not hang on the spike before; or it ``silenced`` them."""
    lost = ONE - p[0]
    if alike(p[0], p[1]) and same and alike(q[0], q[1]):
        threshold = -q[0] / lost if is_never_zero(lost) else ONE
        if not _positive(threshold):
            threshold = ONE
        return _Form(p[0], threshold, "none", bias=q[0] + threshold * lost)
    if alike(p[0], p[1]) and same:
        step = q[0] - q[1]
        if is_never_zero(p[0]):
            now = step / p[0]
            bias = q[0] + now * lost
            if is_zero(bias):
                return _Form(p[0], now, "soft", bias=ZERO)
            if is_zero(q[0] + step * lost):
                return _Form(p[0], step, "soft", "next")
            return _Form(p[0], now, "soft", bias=bias)
        return _Form(p[0], step, "soft", "next", bias=q[0] + step * lost)
    if is_zero(p[1]) and same and is_never_zero(p[0]):
        if is_never_zero(lost):
            threshold = -q[0] / lost
            v_reset = (q[1] + threshold) / p[0]
            if isinstance(v_reset, Fraction) and _positive(threshold):
                return _Form(p[0], threshold, "hard", v_reset=v_reset)
        threshold = (q[0] - q[1]) / p[0]
        return _Form(p[0], threshold, "hard", bias=q[1] + threshold)
    if is_zero(p[1]) and silenced:
        if is_never_zero(lost):
            threshold = -q[0] / lost
            v_reset = q[1] + threshold
            if isinstance(v_reset, Fraction) and _positive(threshold):
                return _Form(p[0], threshold, "hard", "next", v_reset)
        threshold = -q[1]
        return _Form(p[0], threshold, "hard", "next", bias=q[0] + threshold * lost)
    if same:
        raise NoForm("a reset that leaves a part of the membrane")
    raise NoForm("a current that hangs on the spike of the step before")


def _ratio(state: str, pairs: Sequence[tuple[Sum, Sum]]) -> Coefficient:
    """k, where all variables of the second are k times those of the first."""
    k: Coefficient | None = None
    for mine, its in pairs:
        if more := its.variables - mine.variables:
            raise NoForm(f"what is left in `{state}` also hangs on `{min(more)}`")
        for name in sorted(mine.variables):
            factor = mine.of_variable(name)
            if not is_never_zero(factor):
                raise NoForm(f"`{name}` is in some neurons of `{state}` and not in others")
            here = its.of_variable(name) / factor
            if k is not None and not alike(k, here):
                raise NoForm(f"what is left in `{state}` is no multiple of what is compared")
            k = here
    if k is None:
        raise NoForm(f"nothing but constants in `{state}`")
    return k


def _with_others_as_currents(what: Sum, foreign: frozenset[Bit]) -> Sum:
    """The spikes of other neurons are currents. Raises NoForm where they choose or scale."""
    terms = []
    for (bits, name), c in what.terms.items():
        others = bits & foreign
        if not others:
            terms.append(((bits, name), c))
            continue
        (bit, *more) = sorted(others)
        if more or name or bits - others or bit.late:
            raise NoForm(f"the spikes of `{bit.name}` decide what its membrane becomes")
        terms.append(((frozenset[Bit](), bit.name), c))
    return Sum.of(terms)


def _behind(what: Sum, current: str, left: Sum) -> Sum:
    """``what`` with the new value of a synaptic current in the place of its old one and input."""
    decay = left.of_variable(current)
    if not is_never_zero(decay):
        raise NoForm(f"the synaptic current `{current}` keeps nothing")
    terms, rest = [], what
    for (bits, name), c in what.terms.items():
        if name == current:
            share = Sum.of([((bits, ""), c / decay)])
            rest = rest - share * left
            terms.append(((bits, current), c / decay))
    if rest.variables & left.variables:
        raise NoForm(f"the synaptic current `{current}` is read before it is renewed")
    return rest + Sum.of(terms)


def _unit(reads: Mapping[str, Coefficient]) -> Coefficient:
    """The common positive factor of all currents, or 1."""
    factors = list(reads.values())
    common = factors and all(alike(factors[0], c) for c in factors)
    return factors[0] if common and _positive(factors[0]) else ONE


def _over(q: Mapping[int, Coefficient], unit: Coefficient) -> dict[int, Coefficient]:
    return {spike: value / unit for spike, value in q.items()}


def _same_reads(reads: Mapping[int, Mapping[str, Coefficient]]) -> bool:
    zero, one = reads[0], reads[1]
    return zero.keys() == one.keys() and all(alike(zero[n], one[n]) for n in zero)


def _positive(c: Coefficient) -> bool:
    return bool(c > 0) if isinstance(c, Fraction) else bool(np.all(c > 0))


def _one(truth: Any) -> bool:
    """One truth for all neurons. Raises NoForm where they differ."""
    values = np.unique(np.asarray(truth, bool))
    if len(values) != 1:
        raise NoForm("neurons that begin in different ways")
    return bool(values[0])


def _is_spike(what: Sum) -> bool:
    """Whether it is 0 or 1 whatever the spikes are."""
    bits = sorted(what.bits)
    if what.variables or len(bits) > 3:
        return False
    values = (
        what.at({bit: number >> i & 1 for i, bit in enumerate(bits)}).of_variable("")
        for number in range(1 << len(bits))
    )
    return all(isinstance(v, Fraction) and v in (0, 1) for v in values)


def _function(node: Node) -> str:
    assert isinstance(node.op, Elementwise)
    return node.op.function


def _touched(graph: Graph) -> frozenset[str]:
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


# -- the new Graph -----------------------------------------------------------------------------


def _replaced(graph: Graph, reading: _Reading, found: Mapping[str, _Neuron]) -> Graph:
    tensors = dict(graph.tensors)
    late = {other: (name, spike) for name, neuron in found.items()
            for other, spike in neuron.late.items()}  # fmt: skip

    def number(value: Coefficient, name: str) -> Number:
        rounded = as_float(value)
        if isinstance(rounded, float):
            return rounded
        tensors[name] = rounded
        return Ref(name)

    nodes: list[Node] = []
    for node in graph.nodes.values():
        if node.name in found:
            nodes += _made(node, found[node.name], number)
        elif node.name in late:
            source, spike = late[node.name]
            nodes.append(replace(node, op=Delay(float(spike)), inputs=(source,)))
        else:
            nodes.append(node)
    whole = Graph.build(nodes, tensors, graph.heads, graph.name, graph.time_steps)
    gone = graph.ancestors(*graph.heads.values()) - whole.ancestors(*whole.heads.values())
    return whole.keep(name for name in whole.nodes if name not in gone)


def _made(node: Node, neuron: _Neuron, number: Any) -> Iterator[Node]:
    """The neuron in the place of a comparison, and the current it reads."""
    signal = Signal(node.signal.shape, node.signal.rate, axes=node.signal.axes)
    parts: list[str] = []
    for index, (name, gain) in enumerate(sorted(neuron.reads.items())):
        if alike(gain, ONE):
            parts.append(name)
            continue
        made = f"{node.name}.gain{index or ''}"
        yield Node(made, Scale(number(gain, made)), (name,), signal, node.origin)
        parts.append(made)
    if not is_zero(neuron.bias) or not parts:
        made = f"{node.name}.bias"
        yield Node(made, Constant(number(neuron.bias, made)), (), Signal((), "static"), node.origin)
        parts.append(made)
    total = parts[0]
    for index, part in enumerate(parts[1:]):
        made = f"{node.name}.current{index or ''}"
        add = Elementwise("add")
        yield Node(made, add, (total, part), signal, node.origin)
        total = made
    named = {
        key: number(value, f"{node.name}.{key}")
        if isinstance(value, Fraction | np.ndarray) else value
        for key, value in neuron.op.items()
    }  # fmt: skip
    yield Node(node.name, Spiking(**named), (total,), replace(signal, values=SPIKE), node.origin)


def _circles(graph: Graph, obstacles: Mapping[str, str]) -> Iterator[Finding]:
    """Real values that still feed back to themselves."""
    nodes = graph.nodes
    needed = graph.ancestors(*graph.heads.values())
    for delay in graph.of_type(Delay):
        seen: set[str] = set()
        pending = list(delay.inputs) if delay.name in needed else []
        while pending:
            name = pending.pop()
            if name == delay.name:
                yield _refused(graph, delay, seen, obstacles)
                break
            if name not in seen and not isinstance(nodes[name].op, Spiking):
                seen.add(name)
                pending.extend(nodes[name].inputs)


def _refused(graph: Graph, delay: Node, circle: set[str], obstacles: Mapping[str, str]) -> Finding:
    """A neuron without exact form, by the first comparison of its circle; or no neuron at all."""
    (source,) = delay.inputs
    why = [(name, reason) for name, reason in obstacles.items() if name in circle]
    if why:
        name, reason = why[0]
        return Finding("SNN115", reason, graph.nodes[name].origin, name)
    said = f"`{source}` feeds back to itself without a neuron between"
    return Finding("SNN112", said, delay.origin, source)
