"""The Graph with neurons in the place of the arithmetic that they were written as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.ops import Constant, Delay, Elementwise, Membrane, Number, Ref, Scale, Spiking
from snncc.ir.values import REAL, SPIKE
from snncc.recognition.equations import ONE, Coefficient, alike, as_float, is_zero
from snncc.recognition.written_neurons import Inputs, Left, Synapse, WrittenNeuron


class Rewriting:
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
