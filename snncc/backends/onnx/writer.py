"""A Graph as an ONNX model: what tools outside of snncc show, check and run.

An input is (T, N, *features), or (N, *features) where it is the same at every step; T and N are
free. Every value has the name of its node. A neuron is one node of the domain ``org.snncc``, whose
functions come with the file (`snncc.ir.neuron_functions`); all else is operators of ONNX. What
feeds back is one Scan, which calls the functions of one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.backends.onnx.nodes import INT64, Nodes, Scope
from snncc.backends.onnx.operators import (
    OPS,
    FixedSpiking,
    Real,
    WholeSum,
    cast,
    elementwise,
    no_form,
)
from snncc.ir.graph import Graph, Node
from snncc.ir.neuron_functions import DOMAIN, IR_VERSION, OPSET, VERSION, FixedKind, Kind
from snncc.ir.ops import (
    Argmax,
    Constant,
    Delay,
    Dynamics,
    Elementwise,
    Input,
    Op,
    OverTime,
    Ref,
    Repeat,
)  # fmt: skip
from snncc.ir.registers import ONE, FixedNeuron

if TYPE_CHECKING:
    import onnx


def as_model(
    graph: Graph, *, dtype: type[np.floating[Any]] = np.float32, about: Mapping[str, str] = {},
    rounded: set[str] | None = None,
) -> onnx.ModelProto:  # fmt: skip
    """``graph`` as an ONNX model in ``dtype``; ``about`` becomes its metadata.

    ``rounded`` gets the names of the tensors that ``dtype`` cannot hold as they are. Raises
    SnnccError (SNN324) for an op that has no form in ONNX.
    """
    writer = _Writer(graph, dtype)
    model = writer.model(about)
    if rounded is not None:
        rounded |= writer.rounded
    return model


class _Writer(Nodes):
    """Writes one Graph. Values are (T, N, *features), (N, *features) or, constants, (*features).

    Inside a loop they are of one step, (N, *features).
    """

    def __init__(self, graph: Graph, dtype: type[np.floating[Any]]) -> None:
        super().__init__(graph, dtype)
        self._graph = graph
        self._in_loop = False
        self._functions: dict[str, Any] = {}
        self._whole: set[str] = set()
        for node in graph.nodes.values():
            sums = isinstance(node.op, Elementwise) and not self._whole.isdisjoint(node.inputs)
            if isinstance(node.op, WholeSum) or sums:
                self._whole.add(node.name)

    # -- the model -----------------------------------------------------------------------------

    def model(self, about: Mapping[str, str]) -> onnx.ModelProto:
        import onnx
        from onnx import helper

        graph = self._graph
        inputs = [self._info(node) for node in graph.inputs]
        self._lead = self._shape_of_lead()
        for group in graph.groups(graph.nodes):
            if len(group) > 1:
                self._loop(group)
            else:
                self._node(graph.nodes[group[0]])
        outputs: list[Any] = []
        for head, name in graph.heads.items():
            node = graph.nodes[name]
            info = self._info(node, name)
            if name in {each.name for each in inputs} or name in {o.name for o in outputs}:
                self.of = node
                info.name = self.new(f"{head}.output")
                self.add("Identity", [name], info.name)
            outputs.append(info)
        made = helper.make_graph(
            self.scope.nodes, graph.name, inputs, outputs, list(self.initializers.values())
        )
        model = helper.make_model(
            made, functions=list(self._functions.values()), ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)],
            producer_name="snncc",
        )  # fmt: skip
        helper.set_model_props(model, dict(about))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _info(self, node: Node, name: str = "") -> Any:
        from onnx import helper

        shape: list[Any] = ["N", *node.signal.shape]
        if node.signal.rate == "step":
            steps = self._graph.time_steps
            static = not any(n.signal.rate == "step" for n in self._graph.inputs)
            shape = [steps if static and steps else "T", *shape]
        kind = INT64 if isinstance(node.op, Argmax) else self.type
        return helper.make_tensor_value_info(name or node.name, kind, shape)

    def _shape_of_lead(self) -> str:
        """T and N of a run."""
        inputs = self._graph.inputs
        for node in inputs:
            if node.signal.rate == "step":
                return self("Shape", [node.name], end=2)
        samples = self("Shape", [inputs[0].name], end=1)
        if self._graph.time_steps is None:
            raise ValueError("the number of time steps is not known")
        return self("Concat", [self.ints([self._graph.time_steps]), samples], axis=0)

    # -- values --------------------------------------------------------------------------------

    def _rank(self, name: str) -> int:
        """How many axes lie before the features of a value, as it is known here."""
        node = self._graph.nodes[name]
        if isinstance(node.op, Constant):
            return 0
        return 2 if node.signal.rate == "step" and not self._in_loop else 1

    def _value(self, name: str) -> str:
        return self.scope.values.get(name, name)

    def _stepwise(self, name: str, shape: Sequence[int] | None = None) -> str:
        """A value at all steps, (T, N, *features); one number for all gets this ``shape``."""
        value, lead = self._value(name), self._rank(name)
        if lead == 2:
            return value
        shape = self._graph.nodes[name].signal.shape if shape is None else shape
        if lead == 1:
            value = self("Unsqueeze", [value, self.ints([0])])
        return self("Expand", [value, self._whole_shape(shape)])

    def _whole_shape(self, shape: Sequence[int]) -> str:
        """T, N and the features."""
        return self("Concat", [self._lead, self.ints(shape)], axis=0) if shape else self._lead

    # -- nodes ---------------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        self.of = node
        op = node.op
        match op:
            case Input():
                return
            case Constant(value):
                self.scope.values[node.name] = self.number(value)
                if node.name in self._graph.heads.values():
                    self.add("Identity", [self.scope.values.pop(node.name)], node.name)
                return
            case Dynamics() | FixedSpiking():
                self._neuron(node)
                return
            case Delay():
                self.add("Identity", [self._delayed(node, op)], node.name)
                return
            case Repeat():
                self.add("Identity", [self._stepwise(node.inputs[0], node.signal.shape)], node.name)
                return
            case OverTime(kind):
                (source,) = node.inputs
                x = self._stepwise(source)
                if kind == "last":
                    last = self.constant(np.array(-1, np.int64), "whole:-1")
                    self.add("Gather", [x, last], node.name, axis=0)
                else:
                    name = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax"}[kind]
                    self.add(name, [x, self.ints([0])], node.name, keepdims=0)
                return
        self._plain(node)

    def _plain(self, node: Node) -> None:
        """An op on steps by themselves."""
        ranks = [self._rank(name) for name in node.inputs]
        lead = max(ranks)
        shapes = [self._graph.nodes[name].signal.shape for name in node.inputs]
        values = [self._value(name) for name in node.inputs]
        if isinstance(node.op, WholeSum | Real):
            self.add("Identity", [cast(self, node.op, values[0])], node.name)
            return
        if isinstance(node.op, Elementwise):
            rank = max(map(len, shapes))
            values = [
                self.with_features(value, own, shape, rank)
                for value, own, shape in zip(values, ranks, shapes, strict=True)
            ]
            if not lead and node.signal.rate != "static":
                raise no_form(node, "it reads constants alone")
            self.add("Identity", [elementwise(self, node.op.function, values)], node.name)
            return
        flat = []
        for name, value, own, shape in zip(node.inputs, values, ranks, shapes, strict=True):
            if lead == 2:
                value = self._stepwise(name)
                value = self("Reshape", [value, self.ints([-1, *shape])])
            elif not own:  # a constant beside values of one step
                first = next(n for n, r in zip(node.inputs, ranks, strict=True) if r)
                samples = self("Shape", [self._value(first)], end=1)
                whole = self("Concat", [samples, self.ints(shape)], axis=0) if shape else samples
                value = self("Expand", [value, whole])
            flat.append(value)
        write = OPS.get(type(node.op))
        if write is None:
            raise no_form(node)
        result = write(self, node, flat, shapes)
        if lead == 2:
            self.add("Reshape", [result, self._whole_shape(node.signal.shape)], node.name)
        else:
            self.add("Identity", [result], node.name)

    def _delayed(self, node: Node, op: Delay) -> str:
        x = self._stepwise(node.inputs[0])
        one = self.ints([1])
        steps = self("Shape", [x], start=1)
        first = self("Unsqueeze", [self("Expand", [self.number(op.initial), steps]),
                                   self.ints([0])])  # fmt: skip
        before = self("Slice", [x, self.ints([0]), self.ints([-1]), self.ints([0]), one])
        return self("Concat", [first, before], axis=0)

    def _numbers(self, op: Op, names: Iterable[str]) -> list[str]:
        """The numbers of a neuron that its function takes."""
        if isinstance(op, FixedSpiking):
            n = op.neuron
            fixed = {
                "threshold": lambda: self.whole(n.vth, ONE),
                "dv": lambda: self.whole(n.dv), "du": lambda: self.whole(n.du),
                "bias": lambda: self._bias(n), "initial": lambda: self.whole(n.initial),
                "current_initial": lambda: self.whole(0),
            }  # fmt: skip
            return [fixed[name]() for name in names]
        return [self.number(getattr(op, name)) for name in names]

    def _bias(self, neuron: FixedNeuron) -> str:
        tensors = self.tensors
        parts = [
            tensors[n].astype(np.int64) if isinstance(n, Ref) else np.array(n, np.int64)
            for n in (neuron.bias_mant, neuron.bias_exp)
        ]
        return self.constant(np.left_shift(*parts), f"bias:{neuron.bias_mant}<<{neuron.bias_exp}")

    def _kind(self, op: Op) -> Kind | FixedKind:
        if isinstance(op, FixedSpiking):
            neuron = op.neuron
            kind: Kind | FixedKind = FixedKind(neuron.reset, neuron.when, neuron.bias_into)
        else:
            assert isinstance(op, Dynamics)
            kind = Kind.of(op)
        for function in kind.functions:
            self._functions.setdefault(function.name, function)
        return kind

    def _neuron(self, node: Node) -> None:
        kind, (source,) = self._kind(node.op), node.inputs
        inputs = [self._stepwise(source), *self._numbers(node.op, kind.parameters)]
        if isinstance(node.op, FixedSpiking):
            spikes = self.add(kind.name, inputs, self.new(f"{node.name}.whole"), domain=DOMAIN)
            self.add("Cast", [spikes], node.name, to=self.type)
        else:
            self.add(kind.name, inputs, node.name, domain=DOMAIN)

    # -- loops ---------------------------------------------------------------------------------

    def _loop(self, names: Sequence[str]) -> None:
        """What feeds back, as one Scan. States are those of its neurons and of its delays."""
        from onnx import helper

        nodes = [self._graph.nodes[name] for name in names]
        self.of = nodes[0]
        outside = dict.fromkeys(s for n in nodes for s in n.inputs if s not in names)
        stepwise = [s for s in outside if self._rank(s) == 2]
        whole = {state for node in nodes if isinstance(node.op, FixedSpiking)
                 for state in (f"{node.name}.v", f"{node.name}.u")}  # fmt: skip
        begin, states = self._states(nodes)
        steps = [self("Identity", [self._value(s)]) for s in stepwise]
        if not steps:  # the loop hears the same at every step
            clock = self("Expand", [self.real(np.zeros(1), "clock"), self("Slice", [
                self._lead, self.ints([0]), self.ints([1])])])  # fmt: skip
            steps = [clock]
        outer, self.scope = self.scope, Scope(values=dict(self.scope.values))
        self._in_loop = True
        heard = [f"{s}.step" for s in stepwise] or ["clock.step"]
        self.scope.values |= dict(zip(stepwise, heard, strict=False))
        shown = []
        for node in nodes:
            self.of = node
            self.scope.values[node.name] = f"{node.name}.step"
        for node in nodes:
            self.of = node
            if not isinstance(node.op, Delay):
                self._in_step(node)
            else:
                self.add("Identity", [f"{node.name}.state"], self._value(node.name))
            shown.append(f"{node.name}.shown")
            self.add("Identity", [self._value(node.name)], shown[-1])
        for node in nodes:
            self.of = node
            if isinstance(node.op, Delay):
                source = node.inputs[0]
                self.add("Identity", [self._value(source)], f"{node.name}.state.next")
        inner, self.scope, self._in_loop = self.scope, outer, False
        info = helper.make_tensor_value_info
        types = {state: INT64 if state in whole else self.type for state, _ in states}
        own = [INT64 if name in self._whole else self.type for name in (*stepwise, *names)]
        own = own if stepwise else [self.type, *own]
        body = helper.make_graph(
            inner.nodes, f"{names[0]}.loop",
            [*(info(state, types[state], None) for state, _ in states),
             *(info(value, kind, None) for value, kind in zip(heard, own, strict=False))],
            [*(info(after, types[state], None) for state, after in states),
             *(info(v, kind, None) for v, kind in zip(shown, own[len(heard):], strict=True))],
        )  # fmt: skip
        ends = [self.new(f"{state}.end") for state, _ in states]
        node = helper.make_node(
            "Scan", [*begin, *steps], [*ends, *names], name=self.new(f"{names[0]}.scan"),
            body=body, num_scan_inputs=len(steps),
        )  # fmt: skip
        self.scope.nodes.append(node)

    def _states(self, nodes: Sequence[Node]) -> tuple[list[str], list[tuple[str, str]]]:
        """With what each state of a loop begins; its name in a step, and that of the next."""
        begin: list[str] = []
        states: list[tuple[str, str]] = []
        for node in nodes:
            first: list[str] = []
            left: list[str] = []
            if isinstance(node.op, Delay):
                first, left = [self.number(node.op.initial)], [f"{node.name}.state"]
            elif isinstance(node.op, Dynamics | FixedSpiking):
                kind = self._kind(node.op)
                first = self._numbers(node.op, kind.first)
                left = [f"{node.name}.{state}" for state in kind.states]
            shape = node.signal.shape
            samples = self("Slice", [self._lead, self.ints([1]), self.ints([2])])
            size = self("Concat", [samples, self.ints(shape)], axis=0) if shape else samples
            for number, state in zip(first, left, strict=True):
                begin.append(self("Expand", [number, size]))
                states.append((state, f"{node.name}.{state.rpartition('.')[2]}.next"))
        return begin, states

    def _in_step(self, node: Node) -> None:
        """A node of a loop, in one step."""
        from onnx import helper

        out = self._value(node.name)
        if isinstance(node.op, Dynamics | FixedSpiking):
            kind = self._kind(node.op)
            (source,) = node.inputs
            value = self._value(source)
            fixed = isinstance(node.op, FixedSpiking)
            shown = f"{node.name}.whole" if fixed else out
            self.scope.nodes.append(helper.make_node(
                kind.step_name,
                [value, *(f"{node.name}.{s}" for s in kind.states),
                 *self._numbers(node.op, kind.numbers)],
                [shown, *(f"{node.name}.{s}.next" for s in kind.states)],
                name=out, domain=DOMAIN,
            ))  # fmt: skip
            if fixed:
                self.add("Cast", [shown], out, to=self.type)
            return
        renamed = Node(out, node.op, node.inputs, node.signal, node.origin)
        self._plain(renamed)
