"""A Graph as an ONNX model: what tools outside of snncc show, check and run.

An input is (T, N, *features), or (N, *features) where it is the same at every step; T and N are
free. Every value has the name of its node. A neuron is one node of the domain ``org.snncc``, whose
functions come with the file (`snncc.ir.neuron_functions`); all else is operators of ONNX. What
feeds back is one Scan, which calls the functions of one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.diagnostics import SnnccError, refuse
from snncc.ir.graph import Graph, Node
from snncc.ir.neuron_functions import DOMAIN, IR_VERSION, OPSET, VERSION, FixedKind, Kind
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Delay,
    Dense,
    Dynamics,
    Elementwise,
    Identity,
    Input,
    MatMul,
    Norm,
    Normalise,
    Number,
    Op,
    OverTime,
    Pad,
    Permute,
    Pool,
    Reduce,
    Ref,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Sparse,
    Upsample,
)  # fmt: skip
from snncc.ir.registers import ONE, FixedNeuron, Whole
from snncc.ir.shapes import adaptive_spans, has_empty_window, pool_windows, window_count

if TYPE_CHECKING:
    import onnx

_INT64 = 7  # onnx.TensorProto.INT64

LARGEST_DENSE = 1 << 26
"""So many numbers a sparse matrix may have when it is written out."""


@dataclass(frozen=True)
class WholeSum(Op):
    """A sum of weights as an int64: of a current ``rounded``, of a convolution ``wrapped``."""

    rounded: bool = False
    wrapped: bool = False


@dataclass(frozen=True)
class Real(Op):
    """A whole number as a real one."""


@dataclass(frozen=True)
class FixedSpiking(Op):
    """The spikes of a neuron in whole numbers, for a sum of weights."""

    neuron: FixedNeuron

    def refs(self) -> Iterable[Ref]:  # type: ignore[override]
        return [n for _, n in self.neuron.numbers() if isinstance(n, Ref)]


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


@dataclass
class _Scope:
    """The nodes of the model or of the body of a Scan, and what is known there by which name."""

    nodes: list[Any] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


class _Writer:
    """Writes one Graph. Values are (T, N, *features), (N, *features) or, constants, (*features).

    Inside a loop they are of one step, (N, *features).
    """

    def __init__(self, graph: Graph, dtype: type[np.floating[Any]]) -> None:
        from onnx import helper

        self._graph, self._dtype = graph, np.dtype(dtype)
        self._type = helper.np_dtype_to_tensor_dtype(self._dtype)
        self._scope = _Scope()
        self._in_loop = False
        self._initializers: dict[str, Any] = {}
        self._functions: dict[str, Any] = {}
        self._names = {*graph.nodes, *graph.tensors}
        self._of: Node | None = None
        self.rounded: set[str] = set()
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
                self._of = node
                info.name = self._new(f"{head}.output")
                self._add("Identity", [name], info.name)
            outputs.append(info)
        made = helper.make_graph(
            self._scope.nodes, graph.name, inputs, outputs, list(self._initializers.values())
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
        kind = _INT64 if isinstance(node.op, Argmax) else self._type
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

    def __call__(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The value of a new node."""
        base = self._of.name if self._of is not None else "run"
        return self._add(kind, inputs, self._new(f"{base}.{kind.lower()}"), **attributes)

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        domain = attributes.pop("domain", "")
        node = helper.make_node(
            kind, list(inputs), [output], name=output, domain=domain, **attributes
        )
        if self._of is not None and str(self._of.origin):
            node.metadata_props.add(key="origin", value=str(self._of.origin))
        self._scope.nodes.append(node)
        return output

    def _new(self, base: str) -> str:
        name, count = base, 1
        while name in self._names:
            count += 1
            name = f"{base}:{count}"
        self._names.add(name)
        return name

    def _constant(self, array: np.ndarray, name: str) -> str:
        from onnx import numpy_helper

        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    def ints(self, values: Iterable[int]) -> str:
        whole = [int(value) for value in values]
        return self._constant(np.array(whole, np.int64), f"ints:{','.join(map(str, whole))}")

    def _real(self, array: np.ndarray, name: str) -> str:
        """A tensor of reals in the model's own dtype."""
        cast = np.asarray(array).astype(self._dtype)
        if not np.array_equal(cast.astype(np.float64), np.asarray(array, np.float64)):
            self.rounded.add(name)
        return self._constant(cast, name)

    def tensor(self, ref: Ref) -> str:
        name = f"tensor:{ref}" if str(ref) in self._graph.nodes else str(ref)
        return self._real(self._graph.tensors[ref], name)

    def number(self, number: Number) -> str:
        if isinstance(number, Ref):
            return self.tensor(number)
        return self._real(np.array(number), f"number:{number!r}")

    def whole(self, number: Whole, factor: int = 1) -> str:
        if isinstance(number, Ref):
            return self._constant(
                self._graph.tensors[number].astype(np.int64) * factor, f"whole:{number}*{factor}"
            )
        return self._constant(np.array(number * factor, np.int64), f"whole:{number * factor}")

    def _rank(self, name: str) -> int:
        """How many axes lie before the features of a value, as it is known here."""
        node = self._graph.nodes[name]
        if isinstance(node.op, Constant):
            return 0
        return 2 if node.signal.rate == "step" and not self._in_loop else 1

    def _value(self, name: str) -> str:
        return self._scope.values.get(name, name)

    def _with_features(self, value: str, lead: int, shape: Sequence[int], rank: int) -> str:
        """A value whose features get ones in front until there are ``rank``."""
        missing = rank - len(shape)
        if missing <= 0 or not lead:
            return value
        return self("Unsqueeze", [value, self.ints(range(lead, lead + missing))])

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
        self._of = node
        op = node.op
        match op:
            case Input():
                return
            case Constant(value):
                self._scope.values[node.name] = self.number(value)
                if node.name in self._graph.heads.values():
                    self._add("Identity", [self._scope.values.pop(node.name)], node.name)
                return
            case Dynamics() | FixedSpiking():
                self._neuron(node)
                return
            case Delay():
                self._add("Identity", [self._delayed(node, op)], node.name)
                return
            case Repeat():
                self._add(
                    "Identity", [self._stepwise(node.inputs[0], node.signal.shape)], node.name
                )
                return
            case OverTime(kind):
                (source,) = node.inputs
                x = self._stepwise(source)
                if kind == "last":
                    last = self._constant(np.array(-1, np.int64), "whole:-1")
                    self._add("Gather", [x, last], node.name, axis=0)
                else:
                    name = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax"}[kind]
                    self._add(name, [x, self.ints([0])], node.name, keepdims=0)
                return
        self._plain(node)

    def _plain(self, node: Node) -> None:
        """An op on steps by themselves."""
        ranks = [self._rank(name) for name in node.inputs]
        lead = max(ranks)
        shapes = [self._graph.nodes[name].signal.shape for name in node.inputs]
        values = [self._value(name) for name in node.inputs]
        if isinstance(node.op, WholeSum | Real):
            self._add("Identity", [_cast(self, node.op, values[0])], node.name)
            return
        if isinstance(node.op, Elementwise):
            rank = max(map(len, shapes))
            values = [
                self._with_features(value, own, shape, rank)
                for value, own, shape in zip(values, ranks, shapes, strict=True)
            ]
            if not lead and node.signal.rate != "static":
                raise _no_form(node, "it reads constants alone")
            self._add("Identity", [_elementwise(self, node.op.function, values)], node.name)
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
        write = _OPS.get(type(node.op))
        if write is None:
            raise _no_form(node)
        result = write(self, node, flat, shapes)
        if lead == 2:
            self._add("Reshape", [result, self._whole_shape(node.signal.shape)], node.name)
        else:
            self._add("Identity", [result], node.name)

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
        tensors = self._graph.tensors
        parts = [
            tensors[n].astype(np.int64) if isinstance(n, Ref) else np.array(n, np.int64)
            for n in (neuron.bias_mant, neuron.bias_exp)
        ]
        return self._constant(np.left_shift(*parts), f"bias:{neuron.bias_mant}<<{neuron.bias_exp}")

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
            spikes = self._add(kind.name, inputs, self._new(f"{node.name}.whole"), domain=DOMAIN)
            self._add("Cast", [spikes], node.name, to=self._type)
        else:
            self._add(kind.name, inputs, node.name, domain=DOMAIN)

    # -- loops ---------------------------------------------------------------------------------

    def _loop(self, names: Sequence[str]) -> None:
        """What feeds back, as one Scan. States are those of its neurons and of its delays."""
        from onnx import helper

        nodes = [self._graph.nodes[name] for name in names]
        self._of = nodes[0]
        outside = dict.fromkeys(s for n in nodes for s in n.inputs if s not in names)
        stepwise = [s for s in outside if self._rank(s) == 2]
        begin: list[str] = []
        states: list[tuple[str, str]] = []
        whole = {state for node in nodes if isinstance(node.op, FixedSpiking)
                 for state in (f"{node.name}.v", f"{node.name}.u")}  # fmt: skip
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
        steps = [self("Identity", [self._value(s)]) for s in stepwise]
        if not steps:  # the loop hears the same at every step
            clock = self("Expand", [self._real(np.zeros(1), "clock"), self("Slice", [
                self._lead, self.ints([0]), self.ints([1])])])  # fmt: skip
            steps = [clock]
        outer, self._scope = self._scope, _Scope(values=dict(self._scope.values))
        self._in_loop = True
        heard = [f"{s}.step" for s in stepwise] or ["clock.step"]
        self._scope.values |= dict(zip(stepwise, heard, strict=False))
        shown = []
        for node in nodes:
            self._of = node
            self._scope.values[node.name] = f"{node.name}.step"
        for node in nodes:
            self._of = node
            if not isinstance(node.op, Delay):
                self._in_step(node)
            else:
                self._add("Identity", [f"{node.name}.state"], self._value(node.name))
            shown.append(f"{node.name}.shown")
            self._add("Identity", [self._value(node.name)], shown[-1])
        for node in nodes:
            self._of = node
            if isinstance(node.op, Delay):
                source = node.inputs[0]
                self._add("Identity", [self._value(source)], f"{node.name}.state.next")
        inner, self._scope, self._in_loop = self._scope, outer, False
        info = helper.make_tensor_value_info
        types = {state: _INT64 if state in whole else self._type for state, _ in states}
        own = [_INT64 if name in self._whole else self._type for name in (*stepwise, *names)]
        own = own if stepwise else [self._type, *own]
        body = helper.make_graph(
            inner.nodes, f"{names[0]}.loop",
            [*(info(state, types[state], None) for state, _ in states),
             *(info(value, kind, None) for value, kind in zip(heard, own, strict=False))],
            [*(info(after, types[state], None) for state, after in states),
             *(info(v, kind, None) for v, kind in zip(shown, own[len(heard):], strict=True))],
        )  # fmt: skip
        ends = [self._new(f"{state}.end") for state, _ in states]
        node = helper.make_node(
            "Scan", [*begin, *steps], [*ends, *names], name=self._new(f"{names[0]}.scan"),
            body=body, num_scan_inputs=len(steps),
        )  # fmt: skip
        self._scope.nodes.append(node)

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
            self._scope.nodes.append(helper.make_node(
                kind.step_name,
                [value, *(f"{node.name}.{s}" for s in kind.states),
                 *self._numbers(node.op, kind.numbers)],
                [shown, *(f"{node.name}.{s}.next" for s in kind.states)],
                name=out, domain=DOMAIN,
            ))  # fmt: skip
            if fixed:
                self._add("Cast", [shown], out, to=self._type)
            return
        renamed = Node(out, node.op, node.inputs, node.signal, node.origin)
        self._plain(renamed)


def _no_form(node: Node, why: str = "") -> SnnccError:
    said = f"`{node.name}`, {type(node.op).__name__}, has no form in ONNX"
    return refuse("SNN324", said + (f": {why}" if why else ""), node.origin)


# -- ops -----------------------------------------------------------------------------------------

Write = Callable[["_Writer", Node, list[str], list[tuple[int, ...]]], str]


def _pads(padding: Sequence[int]) -> list[int]:
    return [*padding, *padding]


def _optional(w: _Writer, ref: Ref | None) -> list[str]:
    return [] if ref is None else [w.tensor(ref)]


def _conv(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Conv)
    return w("Conv", [args[0], w.tensor(op.weight), *_optional(w, op.bias)],
             strides=list(op.stride), pads=_pads(op.padding), dilations=list(op.dilation),
             group=op.groups)  # fmt: skip


def _conv_transpose(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, ConvTranspose)
    # onnxruntime takes no output padding as wide as a stride: less is cut off at the end instead
    after = [max(p - more, 0) for p, more in zip(op.padding, op.output_padding, strict=True)]
    rest = [max(more - p, 0) for p, more in zip(op.padding, op.output_padding, strict=True)]
    bias = [] if any(rest) else _optional(w, op.bias)
    y = w("ConvTranspose", [args[0], w.tensor(op.weight), *bias], strides=list(op.stride),
          pads=[*op.padding, *after], dilations=list(op.dilation), group=op.groups)  # fmt: skip
    if any(rest):
        y = w("Pad", [y, w.ints([0] * (len(rest) + 4) + rest)])
        if op.bias is not None:
            wide = np.reshape(w._graph.tensors[op.bias], (-1, *(1,) * len(rest)))
            y = w("Add", [y, w._real(wide, f"{op.bias}.wide")])
    return y


def _dense(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Dense)
    weight = w._real(w._graph.tensors[op.weight].T, f"{op.weight}.T")
    product = w("MatMul", [args[0], weight])
    return product if op.bias is None else w("Add", [product, w.tensor(op.bias)])


def _sparse(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    import scipy.sparse

    op = node.op
    assert isinstance(op, Sparse)
    rows, columns = math.prod(op.shape), math.prod(shapes[0])
    if rows * columns > LARGEST_DENSE:
        raise _no_form(node, f"a matrix of {rows} × {columns} is too large to be written out")
    parts = tuple(w._graph.tensors[ref] for ref in (op.data, op.indices, op.indptr))
    matrix = scipy.sparse.csr_matrix(parts, (rows, columns)).toarray()
    flat = w("Reshape", [args[0], w.ints([-1, columns])])
    product = w("MatMul", [flat, w._real(matrix.T, f"{op.data}.dense")])
    return w("Reshape", [product, w.ints([-1, *op.shape])])


def _pool(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Pool)
    rank, shape = len(op.kernel), shapes[0]
    lead, sizes = shape[: len(shape) - rank], shape[len(shape) - rank :]
    channels = math.prod(lead)
    windows = list(zip(sizes, op.kernel, op.stride, op.padding, op.dilation, strict=True))
    counts = [window_count(n, k, s, p, p, d, op.ceil) for n, k, s, p, d in windows]
    after = []
    for (n, k, s, p, d), count in zip(windows, counts, strict=True):
        after.append(max((count - 1) * s + d * (k - 1) + 1 - n - p, 0))
    wanted = w.ints([-1, channels, *sizes])
    x = args[0] if len(lead) == 1 else w("Reshape", [args[0], wanted])
    before = list(op.padding)
    # onnxruntime has no padding as wide as a window
    wide = any(max(p, m) >= k for p, m, k in zip(before, after, op.kernel, strict=True))
    uneven = any(m > p for m, p in zip(after, before, strict=True))
    if op.kind == "max":
        if has_empty_window(op, shape):
            raise _no_form(node, "a window of it holds nothing but padding")
        if wide:
            lowest = float(np.finfo(w._dtype).min)
            number = w._real(np.array(lowest), f"number:{lowest!r}")
            x = w("Pad", [x, w.ints([0, 0, *before, 0, 0, *after]), number])
            before, after = [0] * rank, [0] * rank
        elif not op.ceil:
            after = before
        y = w("MaxPool", [x], kernel_shape=list(op.kernel), strides=list(op.stride),
              pads=[*before, *after], dilations=list(op.dilation))  # fmt: skip
    elif op.kind == "average" and not uneven and not wide:
        y = w("AveragePool", [x], kernel_shape=list(op.kernel), strides=list(op.stride),
              pads=[*before, *before], count_include_pad=int(op.count_padding))  # fmt: skip
    else:
        ones = np.ones((channels, 1, *op.kernel))
        y = w("Conv", [x, w._real(ones, f"ones:{channels},{op.kernel}")], group=channels,
              strides=list(op.stride), pads=[*before, *after],
              dilations=list(op.dilation))  # fmt: skip
        if op.kind == "average":
            axes = pool_windows(op, shape)
            counted = [[c if op.count_padding else i for i, c in axis] for axis in axes]
            divisor = np.array(counted[0], float)
            for axis in counted[1:]:
                divisor = np.multiply.outer(divisor, np.array(axis, float))
            y = w("Div", [y, w._real(divisor, w._new(f"{node.name}.sizes"))])
    return y if len(lead) == 1 else w("Reshape", [y, w.ints([-1, *node.signal.shape])])


def _adaptive(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, AdaptivePool)
    rank = len(op.size)
    sizes = shapes[0][-rank:]
    if all(n % m == 0 for n, m in zip(sizes, op.size, strict=True)):
        kernel = tuple(n // m for n, m in zip(sizes, op.size, strict=True))
        zeros, ones = (0,) * rank, (1,) * rank
        plain = Pool(op.kind, kernel, kernel, zeros, ones)
        return _pool(w, Node(node.name, plain, node.inputs, node.signal), args, shapes)
    if op.kind == "max":
        return _largest_in_spans(w, node, args[0], shapes[0])
    x, total = args[0], len(shapes[0]) + 1
    for axis, count in enumerate(op.size, total - rank):
        n = shapes[0][axis - 1]
        table = np.zeros((n, count))
        for i, (first, last) in enumerate(adaptive_spans(n, count)):
            table[first:last, i] = 1 / (last - first) if op.kind == "average" else 1
        order = [d for d in range(total) if d != axis] + [axis]
        back = [order.index(d) for d in range(total)]
        x = w("Transpose", [x], perm=order)
        x = w("MatMul", [x, w._real(table, f"{op.kind}:{n},{count}")])
        x = w("Transpose", [x], perm=back)
    return x


def _largest_in_spans(w: _Writer, node: Node, x: str, shape: tuple[int, ...]) -> str:
    """An adaptive max pool whose windows overlap: axis by axis, window by window."""
    op = node.op
    assert isinstance(op, AdaptivePool)
    rank = len(op.size)
    sizes = list(shape[-rank:])
    x = w("Reshape", [x, w.ints([-1, math.prod(shape[:-rank]), *sizes])])
    for axis, count in enumerate(op.size):
        cuts = []
        for first, last in adaptive_spans(sizes[axis], count):
            cut = w("Slice", [x, *(w.ints([n]) for n in (first, last, axis + 2))])
            kernel = [last - first if each == axis else 1 for each in range(rank)]
            cuts.append(w("MaxPool", [cut], kernel_shape=kernel, strides=kernel))
        x = w("Concat", cuts, axis=axis + 2)
        sizes[axis] = count
    return w("Reshape", [x, w.ints([-1, *node.signal.shape])])


def _norm(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Norm)
    tensors = w._graph.tensors
    channels = len(tensors[op.mean])
    scale = tensors[op.scale] if op.scale is not None else np.ones(channels)
    shift = tensors[op.shift] if op.shift is not None else np.zeros(channels)
    if op.outside:
        shape = (-1, *(1,) * (len(shapes[0]) - 1))
        deviation = np.sqrt(np.asarray(tensors[op.variance], np.float64)) + op.epsilon
        parts = {"mean": tensors[op.mean], "deviation": deviation, "scale": scale, "shift": shift}
        names = {
            key: w._real(np.reshape(value, shape), f"{node.name}.{key}")
            for key, value in parts.items()
        }
        y = w("Div", [w("Sub", [args[0], names["mean"]]), names["deviation"]])
        return w("Add", [w("Mul", [y, names["scale"]]), names["shift"]])
    given = [
        w.tensor(op.scale) if op.scale else w._real(scale, f"ones:{channels}"),
        w.tensor(op.shift) if op.shift else w._real(shift, f"zeros:{channels}"),
        w.tensor(op.mean), w.tensor(op.variance),
    ]  # fmt: skip
    return w("BatchNormalization", [args[0], *given], epsilon=op.epsilon)


def _normalise(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Normalise)
    shape, dims = shapes[0], len(shapes[0])
    x = args[0]
    if op.kind == "layer":
        axes = [axis + 1 for axis in op.axes]
        grouped, back = x, False
    else:
        grouped = w("Reshape", [x, w.ints([-1, op.groups, math.prod(shape) // op.groups])])
        axes, back = [2], True
    mean = w("ReduceMean", [grouped, w.ints(axes)], keepdims=1)
    apart = w("Sub", [grouped, mean])
    variance = w("ReduceMean", [w("Mul", [apart, apart]), w.ints(axes)], keepdims=1)
    epsilon = w._real(np.array(op.epsilon), f"number:{op.epsilon!r}")
    y = w("Div", [apart, w("Sqrt", [w("Add", [variance, epsilon])])])
    y = w("Reshape", [y, w.ints([-1, *shape])]) if back else y
    for kind, ref in (("Mul", op.scale), ("Add", op.shift)):
        if ref is not None:
            array = w._graph.tensors[ref]
            if op.kind != "layer":
                array = np.reshape(array, (-1, *(1,) * (dims - 1)))
            y = w(kind, [y, w._real(array, f"{node.name}.{kind.lower()}")])
    return y


def _slice(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Slice)
    return w("Slice", [args[0], *(w.ints([n]) for n in (op.start, op.stop, op.axis + 1, op.step))])


def _reduce(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Reduce)
    kind = "ReduceMean" if op.kind == "mean" else "ReduceSum"
    return w(kind, [args[0], w.ints(axis + 1 for axis in op.axes)], keepdims=int(op.keep))


def _pad(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Pad)
    before, after = zip(*op.widths, strict=True)
    return w("Pad", [args[0], w.ints([0, *before, 0, *after])])


def _upsample(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    """Each axis n becomes (n, 1), (n, factor) and one axis again: no rule of rounding is asked."""
    op = node.op
    assert isinstance(op, Upsample)
    shape = shapes[0]
    lead, sizes = shape[: len(shape) - len(op.factors)], shape[len(shape) - len(op.factors) :]
    apart = [n for size in sizes for n in (size, 1)]
    wide = [n for pair in zip(sizes, op.factors, strict=True) for n in pair]
    x = w("Reshape", [args[0], w.ints([-1, *lead, *apart])])
    x = w("Expand", [x, w.ints([1, *lead, *wide])])
    return w("Reshape", [x, w.ints([-1, *node.signal.shape])])


def _scale(w: _Writer, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Scale)
    factor = np.shape(w._graph.tensors[op.factor]) if isinstance(op.factor, Ref) else ()
    x = w._with_features(args[0], 1, shapes[0], len(factor))
    return w("Mul", [x, w.number(op.factor)])


def _cast(w: _Writer, op: WholeSum | Real, x: str) -> str:
    """To whole numbers and back."""
    if isinstance(op, Real):
        return w("Cast", [x], to=w._type)
    x = w("Cast", [w("Round", [x]) if op.rounded else x], to=_INT64)
    if op.wrapped:
        half = w.whole(1 << 23)
        x = w("Sub", [w("Mod", [w("Add", [x, half]), w.whole(1 << 24)]), half])
    return x


_OPS: dict[type[Op], Write] = {
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Dense: _dense,
    Sparse: _sparse,
    Pool: _pool,
    AdaptivePool: _adaptive,
    Norm: _norm,
    Normalise: _normalise,
    Scale: _scale,
    Slice: _slice,
    Reduce: _reduce,
    Pad: _pad,
    Upsample: _upsample,
    Identity: lambda w, node, args, shapes: args[0],
    Reshape: lambda w, node, args, shapes: w(
        "Reshape", [args[0], w.ints([-1, *node.signal.shape])]
    ),
    Permute: lambda w, node, args, shapes: w(
        "Transpose", [args[0]], perm=[0, *(a + 1 for a in node.op.axes)]  # type: ignore[attr-defined]
    ),
    Broadcast: lambda w, node, args, shapes: w("Expand", [
        w._with_features(args[0], 1, shapes[0], len(node.signal.shape)),
        w.ints([1, *node.signal.shape])]),
    Concat: lambda w, node, args, shapes: w(
        "Concat", args, axis=node.op.axis + 1  # type: ignore[attr-defined]
    ),
    Softmax: lambda w, node, args, shapes: w(
        "LogSoftmax" if node.op.log else "Softmax", args, axis=node.op.axis + 1  # type: ignore[attr-defined]
    ),
    Argmax: lambda w, node, args, shapes: w(
        "ArgMax", args, axis=node.op.axis + 1, keepdims=0  # type: ignore[attr-defined]
    ),
    MatMul: lambda w, node, args, shapes: w("MatMul", args),
}  # fmt: skip


# -- elementwise ---------------------------------------------------------------------------------

_SAME = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "abs": "Abs",
    "minimum": "Min", "maximum": "Max", "pow": "Pow", "sqrt": "Sqrt", "exp": "Exp", "log": "Log",
    "sign": "Sign", "round": "Round", "floor": "Floor", "ceil": "Ceil", "relu": "Relu",
    "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus", "elu": "Elu", "erf": "Erf",
    "mish": "Mish", "softsign": "Softsign", "hardswish": "HardSwish",
}  # fmt: skip
_TESTS = {
    "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less", "eq": "Equal",
}  # fmt: skip
_LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}


def _elementwise(w: _Writer, name: str, args: list[str]) -> str:
    """One function of `snncc.ir.elementwise`; truth values are 0 and 1."""

    def real(value: str) -> str:
        return w("Cast", [value], to=w._type)

    def number(value: float) -> str:
        return w._real(np.array(value), f"number:{value!r}")

    def truth(value: str) -> str:
        return w("Not", [w("Equal", [value, number(0.0)])])

    if name in _SAME:
        return w(_SAME[name], args)
    if name in _TESTS:
        return real(w(_TESTS[name], args))
    if name in _LOGIC:
        return real(w(_LOGIC[name], [truth(value) for value in args]))
    match name:
        case "ne":
            return real(w("Not", [w("Equal", args)]))
        case "not":
            return real(w("Equal", [args[0], number(0.0)]))
        case "nonzero":
            return real(truth(args[0]))
        case "where":
            return w("Where", [truth(args[0]), *args[1:]])
        case "clamp" | "hardtanh":
            return w("Min", [w("Max", args[:2]), args[2]])
        case "square":
            return w("Mul", [args[0], args[0]])
        case "relu6":
            return w("Min", [w("Max", [args[0], number(0.0)]), number(6.0)])
        case "trunc":
            return w("Mul", [w("Sign", args), w("Floor", [w("Abs", args)])])
        case "remainder":
            return w("Sub", [args[0], w("Mul", [w("Floor", [w("Div", args)]), args[1]])])
        case "fmod":
            return w("Mod", args, fmod=1)
        case "gelu":
            return w("Gelu", args)
        case "gelu_tanh":
            return w("Gelu", args, approximate="tanh")
        case "silu":
            return w("Mul", [args[0], w("Sigmoid", args)])
        case "leaky_relu":
            test = w("GreaterOrEqual", [args[0], number(0.0)])
            return w("Where", [test, args[0], w("Mul", args)])
        case "hardsigmoid":
            x = w("Add", [args[0], number(3.0)])
            return w("Div", [w("Min", [w("Max", [x, number(0.0)]), number(6.0)]), number(6.0)])
        case "heaviside":
            at_zero = w("Where", [w("Equal", [args[0], number(0.0)]), args[1], number(0.0)])
            return w("Where", [w("Greater", [args[0], number(0.0)]), number(1.0), at_zero])
    raise refuse("SNN324", f"the function `{name}` has no form in ONNX")
