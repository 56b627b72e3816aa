"""What each op of a Graph is in ONNX, on values (B, *features)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from snncc.backends.onnx.nodes import INT64, Nodes
from snncc.diagnostics import SnnccError, refuse
from snncc.ir.graph import Node
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Identity,
    MatMul,
    Norm,
    Normalise,
    Op,
    Pad,
    Permute,
    Pool,
    Reduce,
    Ref,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Sparse,
    Upsample,
)  # fmt: skip
from snncc.ir.registers import FixedNeuron
from snncc.ir.shapes import adaptive_spans, has_empty_window, pool_windows, window_count

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


def no_form(node: Node, why: str = "") -> SnnccError:
    said = f"`{node.name}`, {type(node.op).__name__}, has no form in ONNX"
    return refuse("SNN324", said + (f": {why}" if why else ""), node.origin)


# -- ops -----------------------------------------------------------------------------------------

Write = Callable[[Nodes, Node, list[str], list[tuple[int, ...]]], str]


def _pads(padding: Sequence[int]) -> list[int]:
    return [*padding, *padding]


def _optional(w: Nodes, ref: Ref | None) -> list[str]:
    return [] if ref is None else [w.tensor(ref)]


def _conv(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Conv)
    return w("Conv", [args[0], w.tensor(op.weight), *_optional(w, op.bias)],
             strides=list(op.stride), pads=_pads(op.padding), dilations=list(op.dilation),
             group=op.groups)  # fmt: skip


def _conv_transpose(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
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
            wide = np.reshape(w.tensors[op.bias], (-1, *(1,) * len(rest)))
            y = w("Add", [y, w.real(wide, f"{op.bias}.wide")])
    return y


def _dense(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Dense)
    weight = w.real(w.tensors[op.weight].T, f"{op.weight}.T")
    product = w("MatMul", [args[0], weight])
    return product if op.bias is None else w("Add", [product, w.tensor(op.bias)])


def _sparse(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    import scipy.sparse

    op = node.op
    assert isinstance(op, Sparse)
    rows, columns = math.prod(op.shape), math.prod(shapes[0])
    if rows * columns > LARGEST_DENSE:
        raise no_form(node, f"a matrix of {rows} × {columns} is too large to be written out")
    parts = tuple(w.tensors[ref] for ref in (op.data, op.indices, op.indptr))
    matrix = scipy.sparse.csr_matrix(parts, (rows, columns)).toarray()
    flat = w("Reshape", [args[0], w.ints([-1, columns])])
    product = w("MatMul", [flat, w.real(matrix.T, f"{op.data}.dense")])
    return w("Reshape", [product, w.ints([-1, *op.shape])])


def _pool(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
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
            raise no_form(node, "a window of it holds nothing but padding")
        if wide:
            lowest = float(np.finfo(w.dtype).min)
            number = w.real(np.array(lowest), f"number:{lowest!r}")
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
        y = w("Conv", [x, w.real(ones, f"ones:{channels},{op.kernel}")], group=channels,
              strides=list(op.stride), pads=[*before, *after],
              dilations=list(op.dilation))  # fmt: skip
        if op.kind == "average":
            axes = pool_windows(op, shape)
            counted = [[c if op.count_padding else i for i, c in axis] for axis in axes]
            divisor = np.array(counted[0], float)
            for axis in counted[1:]:
                divisor = np.multiply.outer(divisor, np.array(axis, float))
            y = w("Div", [y, w.real(divisor, w.new(f"{node.name}.sizes"))])
    return y if len(lead) == 1 else w("Reshape", [y, w.ints([-1, *node.signal.shape])])


def _adaptive(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
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
        x = w("MatMul", [x, w.real(table, f"{op.kind}:{n},{count}")])
        x = w("Transpose", [x], perm=back)
    return x


def _largest_in_spans(w: Nodes, node: Node, x: str, shape: tuple[int, ...]) -> str:
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


def _norm(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Norm)
    tensors = w.tensors
    channels = len(tensors[op.mean])
    scale = tensors[op.scale] if op.scale is not None else np.ones(channels)
    shift = tensors[op.shift] if op.shift is not None else np.zeros(channels)
    if op.outside:
        shape = (-1, *(1,) * (len(shapes[0]) - 1))
        deviation = np.sqrt(np.asarray(tensors[op.variance], np.float64)) + op.epsilon
        parts = {"mean": tensors[op.mean], "deviation": deviation, "scale": scale, "shift": shift}
        names = {
            key: w.real(np.reshape(value, shape), f"{node.name}.{key}")
            for key, value in parts.items()
        }
        y = w("Div", [w("Sub", [args[0], names["mean"]]), names["deviation"]])
        return w("Add", [w("Mul", [y, names["scale"]]), names["shift"]])
    given = [
        w.tensor(op.scale) if op.scale else w.real(scale, f"ones:{channels}"),
        w.tensor(op.shift) if op.shift else w.real(shift, f"zeros:{channels}"),
        w.tensor(op.mean), w.tensor(op.variance),
    ]  # fmt: skip
    return w("BatchNormalization", [args[0], *given], epsilon=op.epsilon)


def _normalise(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
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
    epsilon = w.real(np.array(op.epsilon), f"number:{op.epsilon!r}")
    y = w("Div", [apart, w("Sqrt", [w("Add", [variance, epsilon])])])
    y = w("Reshape", [y, w.ints([-1, *shape])]) if back else y
    for kind, ref in (("Mul", op.scale), ("Add", op.shift)):
        if ref is not None:
            array = w.tensors[ref]
            if op.kind != "layer":
                array = np.reshape(array, (-1, *(1,) * (dims - 1)))
            y = w(kind, [y, w.real(array, f"{node.name}.{kind.lower()}")])
    return y


def _slice(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Slice)
    return w("Slice", [args[0], *(w.ints([n]) for n in (op.start, op.stop, op.axis + 1, op.step))])


def _reduce(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Reduce)
    kind = "ReduceMean" if op.kind == "mean" else "ReduceSum"
    return w(kind, [args[0], w.ints(axis + 1 for axis in op.axes)], keepdims=int(op.keep))


def _pad(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Pad)
    before, after = zip(*op.widths, strict=True)
    return w("Pad", [args[0], w.ints([0, *before, 0, *after])])


def _upsample(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
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


def _scale(w: Nodes, node: Node, args: list[str], shapes: list[tuple[int, ...]]) -> str:
    op = node.op
    assert isinstance(op, Scale)
    factor = np.shape(w.tensors[op.factor]) if isinstance(op.factor, Ref) else ()
    x = w.with_features(args[0], 1, shapes[0], len(factor))
    return w("Mul", [x, w.number(op.factor)])


def cast(w: Nodes, op: WholeSum | Real, x: str) -> str:
    """To whole numbers and back."""
    if isinstance(op, Real):
        return w("Cast", [x], to=w.type)
    x = w("Cast", [w("Round", [x]) if op.rounded else x], to=INT64)
    if op.wrapped:
        half = w.whole(1 << 23)
        x = w("Sub", [w("Mod", [w("Add", [x, half]), w.whole(1 << 24)]), half])
    return x


OPS: dict[type[Op], Write] = {
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
        w.with_features(args[0], 1, shapes[0], len(node.signal.shape)),
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


def elementwise(w: Nodes, name: str, args: list[str]) -> str:
    """One function of `snncc.ir.elementwise`; truth values are 0 and 1."""

    def real(value: str) -> str:
        return w("Cast", [value], to=w.type)

    def number(value: float) -> str:
        return w.real(np.array(value), f"number:{value!r}")

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
