"""recognise-neurons: Graph → Graph, in exact arithmetic the same spikes.

A membrane that is written as arithmetic is a value that feeds back through a Delay and is compared:
the comparison becomes the `Spiking` it computes. By algebra, not by patterns (`equations`,
`reading`, `written_neurons`, `normal_form`):

1. u is what the comparison asks to be at or above 0: the difference of its two sides, followed back
   through sums, products with spikes or numbers and choices by spikes, to what the step before left
   (states) and to currents, which are all other real values. A bound or another function of a state
   and a product of two states or currents have no such form.
2. s is the spike of this comparison, r the one of the step before: what is left of s behind a
   Delay, or a comparison of states alone that asks the same of the step before.
3. Each state must be left as k·u + c, with k and c by s. Then u = P·u' + Q + B·x, where u' is u of
   the step before, and P, Q and B hang on r. That is a proof, for all inputs.
4. A state of its own input alone, without spikes, is a synaptic current; where the membrane reads
   it before it is renewed, its input comes through a Delay.
5. Where u grows by B > 0 of a current, it is counted in units of B.
6. With h = u + θ: Q as without spikes, a soft reset takes θ from h, a hard one keeps a part of it,
   or nothing, and adds a value; now, or in the next step, where a hard one does so with the
   current too. What is left over is a constant current.
7. The first membrane and the first synaptic current follow from the states' own beginning.
8. Whatever no longer reaches a head goes. What still reads a state reads it of the `Membrane`.
9. A comparison of a state that is no neuron is refused, once for all that share a state; so is a
   real value that still feeds back to itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
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
    Membrane,
    Number,
    Ref,
    Scale,
    Spiking,
)
from snncc.ir.values import REAL, SPIKE
from snncc.passes.base import Form, Outcome, Pass
from snncc.passes.equations import ONE, Coefficient, NoForm, alike, as_float, is_zero
from snncc.passes.obstacles import ROUNDING
from snncc.passes.reading import Reading, touched
from snncc.passes.spellings import in_one_spelling
from snncc.passes.written_neurons import Inputs, Left, Synapse, WrittenNeuron, neuron


@dataclass(frozen=True)
class RecogniseNeurons(Pass):
    name: ClassVar[str] = "recognise-neurons"
    reads: ClassVar[type[Form]] = Graph
    writes: ClassVar[type[Form]] = Graph

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Graph)
        if not form.of_type(Delay):
            return Outcome(form)
        form = in_one_spelling(form, touched(form))
        reading = Reading(form)
        found: dict[str, WrittenNeuron] = {}
        refused: dict[str, NoForm] = {}
        for name in reading.comparisons:
            try:
                written = neuron(reading, name)
            except NoForm as error:
                refused[name] = error
            else:
                if written is not None:
                    found[name] = written
        graph = _Rewriting(form).replaced(found) if found else form
        findings = tuple(_findings(graph, reading, refused))
        return Outcome(graph, findings, {"recognised": sorted(found)} if found else {})


# -- the new Graph -----------------------------------------------------------------------------


class _Rewriting:
    """A Graph and the tensors of the new one as they come."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tensors = dict(graph.tensors)

    def replaced(self, found: Mapping[str, WrittenNeuron]) -> Graph:
        graph = self._graph
        late = {other: (name, spike) for name, neuron in found.items()
                for other, spike in neuron.late.items()}  # fmt: skip
        sources: dict[str, str] = {}
        nodes: list[Node] = []
        states: list[Node] = []
        for node in graph.nodes.values():
            if node.name in found:
                *made, spiking = self._neuron(node, found[node.name])
                nodes += [*made, spiking]
                states += self._states(spiking, found[node.name], sources)
            elif node.name in late:
                source, spike = late[node.name]
                nodes.append(replace(node, op=Delay(float(spike)), inputs=(source,)))
            else:
                nodes.append(node)
        nodes = [
            replace(node, inputs=(sources[node.name],)) if node.name in sources else node
            for node in (*nodes, *states)
        ]
        whole = Graph.build(nodes, self._tensors, graph.heads, graph.name, graph.time_steps)
        before = graph.ancestors(*graph.heads.values())
        unread = [name for name in graph.nodes if name not in before]
        return whole.keep(whole.ancestors(*whole.heads.values(), *unread))

    def _neuron(self, node: Node, neuron: WrittenNeuron) -> Iterator[Node]:
        """The neuron in the place of a comparison, and the current it reads."""
        made, total = self._current(node, node.name, neuron.inputs, neuron.silent, neuron.bias)
        yield from made
        numbers: dict[str, Any] = {
            key: self._number(value, f"{node.name}.{key}")
            if isinstance(value, Fraction | np.ndarray) else value
            for key, value in neuron.op.items()
        }  # fmt: skip
        op = Spiking(**numbers)
        signal = Signal(node.signal.shape, node.signal.rate, axes=node.signal.axes)
        yield Node(node.name, op, (total,), replace(signal, values=SPIKE), node.origin)

    def _unused(self, name: str) -> str:
        """A name that no node of the user has."""
        return self._unused(f"{name}'") if name in self._graph.nodes else name

    def _number(self, value: Coefficient, name: str) -> Number:
        rounded = as_float(value)
        if isinstance(rounded, float):
            return rounded
        while name in self._tensors and not np.array_equal(self._tensors[name], rounded):
            name += "'"
        self._tensors[name] = rounded
        return Ref(name)

    def _current(
        self, node: Node, stem: str, inputs: Inputs, silent: Mapping[str, Coefficient],
        bias: Coefficient,
    ) -> tuple[list[Node], str]:  # fmt: skip
        """The nodes of a sum of currents and a constant, and the last one's name."""
        signal = Signal(node.signal.shape, node.signal.rate, axes=node.signal.axes)
        made: list[Node] = []
        parts: list[str] = []

        def part(name: str, gain: Coefficient) -> None:
            if not alike(gain, ONE):
                scaled = self._unused(f"{stem}.gain{len(parts) or ''}")
                op = Scale(self._number(gain, scaled))
                made.append(Node(scaled, op, (name,), signal, node.origin))
                name = scaled
            parts.append(name)

        for name, gain in sorted(inputs.now.items()):
            part(name, gain)
        for name, gain in sorted(inputs.before.items()):
            late = self._unused(f"{stem}.before{len(parts) or ''}")
            delay = Delay(self._number(silent[name], late))
            made.append(Node(late, delay, (name,), signal, node.origin))
            part(late, gain)
        if not is_zero(bias) or not parts:
            constant = self._unused(f"{stem}.bias")
            op = Constant(self._number(bias, constant))
            made.append(Node(constant, op, (), Signal((), "static"), node.origin))
            parts.append(constant)
        total = parts[0]
        for index, each in enumerate(parts[1:]):
            added = self._unused(f"{stem}.current{index or ''}")
            made.append(Node(added, Elementwise("add"), (total, each), signal, node.origin))
            total = added
        return made, total

    # -- states that are shown ---------------------------------------------------------------------

    def _states(self, node: Node, neuron: WrittenNeuron, sources: dict[str, str]) -> Iterator[Node]:
        """What a step leaves in the states, of the membrane; ``sources``: the name of each."""
        shown = self._unused(f"{node.name}.membrane")
        signal = Signal(node.signal.shape, node.signal.rate, REAL, node.signal.axes)
        op = Membrane(**{f.name: getattr(node.op, f.name) for f in fields(node.op)}, before=True)
        yield Node(shown, op, node.inputs, signal, node.origin)
        asked = self._unused(f"{node.name}.asked")
        away = -neuron.unit * neuron.op["threshold"]
        yield from self._sum(node, asked, {shown: neuron.unit}, away)
        for state, kept in neuron.kept.items():
            if state not in sources:
                sources[state] = self._unused(f"{state}.left")
                yield from self._left(node, sources[state], asked, kept)
        synapse = neuron.synapse
        if synapse is not None and synapse.state not in sources:
            sources[synapse.state] = self._unused(f"{synapse.state}.left")
            yield from self._trace(node, sources[synapse.state], synapse)

    def _left(self, node: Node, name: str, asked: str, kept: Mapping[int, Left]) -> Iterator[Node]:
        signal = Signal(node.signal.shape, node.signal.rate, REAL, node.signal.axes)
        choice = [self._unused(f"{name}.{word}") for word in ("spike", "silence")]
        for each, spike in zip(choice, (1, 0), strict=True):
            left = kept[spike]
            terms = {asked: left.factor, **left.currents}
            yield from self._sum(node, each, terms, left.constant)
        inputs = (node.name, *choice)
        yield Node(name, Elementwise("where"), inputs, signal, node.origin)

    def _sum(
        self, node: Node, name: str, terms: Mapping[str, Coefficient], constant: Coefficient
    ) -> Iterator[Node]:
        """Real values, each with its factor, and a constant."""
        signal = Signal(node.signal.shape, node.signal.rate, REAL, node.signal.axes)
        total = self._unused(f"{name}.constant")
        number = self._number(constant, total)
        yield Node(total, Constant(number), (), Signal((), "static"), node.origin)
        for index, (of, factor) in enumerate(terms.items()):
            scaled = self._unused(f"{name}.part{index or ''}")
            yield Node(scaled, Scale(self._number(factor, scaled)), (of,), signal, node.origin)
            added = name if index == len(terms) - 1 else self._unused(f"{name}.sum{index or ''}")
            yield Node(added, Elementwise("add"), (scaled, total), signal, node.origin)
            total = added

    def _trace(self, node: Node, name: str, synapse: Synapse) -> Iterator[Node]:
        """A synaptic current: a membrane that nothing resets."""
        first = self._graph.nodes[synapse.state].op
        assert isinstance(first, Delay)
        inputs = Inputs(synapse.inputs)
        made, total = self._current(node, name, inputs, {}, synapse.constant)
        yield from made
        decay = self._number(synapse.decay, f"{name}.decay")
        op = Membrane(decay=decay, reset="none", initial=first.initial)
        signal = Signal(node.signal.shape, node.signal.rate, REAL, node.signal.axes)
        yield Node(name, op, (total,), signal, node.origin)


# -- what is refused -------------------------------------------------------------------------------


def _findings(graph: Graph, reading: Reading, refused: Mapping[str, NoForm]) -> Iterator[Finding]:
    """Rule 9."""
    needed = graph.ancestors(*graph.heads.values())
    explained: set[str] = set()
    first = sorted(refused, key=lambda name: not refused[name].node)  # a function says most
    for name in first:
        states = _states(graph, name)
        if name not in needed or states & explained:
            continue
        explained |= states
        error = refused[name]
        said = f"{error}; `{name}` asks whether {reading.question(name)}"
        place = graph.nodes[error.node or name]
        yield Finding("SNN115", said, place.origin, place.name, error.help)
    yield from dict.fromkeys(_circles(graph, reading, needed, explained))


def _states(graph: Graph, name: str) -> set[str]:
    """The states that a value asks for, through values and spikes."""
    return {
        each.name for each in map(graph.nodes.__getitem__, _within(graph, name))
        if isinstance(each.op, Delay)
    }  # fmt: skip


def _within(graph: Graph, name: str) -> set[str]:
    """What a value is computed from value by value, over all steps."""
    seen: set[str] = set()
    pending = [name]
    while pending:
        node = graph.nodes[pending.pop()]
        if node.name not in seen and isinstance(node.op, Elementwise | Identity | Scale | Delay):
            seen.add(node.name)
            pending.extend(node.inputs)
    return seen


def _circles(
    graph: Graph, reading: Reading, needed: frozenset[str], explained: set[str]
) -> Iterator[Finding]:
    """Real values that still feed back to themselves."""
    nodes = graph.nodes
    for delay in graph.of_type(Delay):
        if delay.name not in needed or delay.name in explained:
            continue
        seen: set[str] = set()
        pending = list(delay.inputs)
        while pending:
            name = pending.pop()
            if name == delay.name:
                yield _circle(graph, reading, delay)
                break
            if name not in seen and not isinstance(nodes[name].op, Spiking | Membrane):
                seen.add(name)
                pending.extend(nodes[name].inputs)


def _circle(graph: Graph, reading: Reading, delay: Node) -> Finding:
    (source,) = delay.inputs
    said = f"`{source}` feeds back to itself without a neuron between"
    reading.sum(source)
    why = [error for name, error in reading.obstacles.items()
           if name in graph.nodes and delay.name in _states(graph, name)]  # fmt: skip
    if not why:
        return Finding("SNN112", said, delay.origin, source)
    place = graph.nodes[why[0].node]
    if isinstance(place.op, Elementwise) and place.op.function in ROUNDING:
        return Finding("SNN115", str(why[0]), place.origin, place.name, why[0].help)
    return Finding("SNN112", f"{said}; {why[0]}", place.origin, source)
