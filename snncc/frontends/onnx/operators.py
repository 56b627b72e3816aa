"""What each operator of ONNX is in torch, and what it is on whole numbers that are no data.

Values are torch tensors, and numpy arrays for whole numbers that do not depend on data: shapes,
indices, axes. An entry of the table takes the `Call` and its arguments, None where one is left out.
What has no entry is refused by name when it runs.

Operators: https://onnx.ai/onnx/operators, versions 9 to 28.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.onnx.reading import Operation
from snncc.frontends.onnx.samples import Samples
from snncc.ir.shapes import window_count

Host = np.ndarray
Value = torch.Tensor | np.ndarray | None

LARGEST = 1 << 27
"""So many numbers a value may hold."""

WHOLE_LARGEST = 1 << 16
"""So many whole numbers a shape, an index or a list of axes may hold."""


class Unsupported(Exception):
    """An operator, or a way to use it, that has no meaning here; says which."""


@dataclass(frozen=True)
class Call:
    """One operation in one run. ``samples``: how the run differs in size from the file."""

    operation: Operation
    opset: int
    real: torch.dtype
    samples: Samples

    def get(self, name: str, default: Any = None) -> Any:
        return self.operation.attributes.get(name, default)

    def tensor(self, value: Value) -> torch.Tensor:
        """A value as a tensor of the run."""
        if isinstance(value, torch.Tensor):
            return value
        if value is None:
            raise Unsupported("an argument is missing")
        return torch.as_tensor(np.asarray(value, np.int64))

    def whole(self, value: Value) -> list[int]:
        """Whole numbers that do not depend on data. Raises Unsupported for others."""
        if not isinstance(value, np.ndarray):
            raise Unsupported("a shape, an axis or an index depends on data")
        if value.size > WHOLE_LARGEST:
            raise Unsupported(f"a list of {value.size} sizes or indices is too long")
        return [n if isinstance(n, int) else int(n) for n in value.reshape(-1).tolist()]

    def axes(self, given: Value, rank: int, name: str = "axes") -> list[int] | None:
        """Axes from an attribute or an input; None where neither is there."""
        listed = self.get(name)
        if listed is None and given is not None:
            listed = self.whole(given)
        if listed is None:
            return None
        return [self.axis(int(axis), rank) for axis in listed]

    def axis(self, axis: int, rank: int) -> int:
        if not -rank <= axis < rank:
            raise Unsupported(f"axis {axis} of a value with {rank} axes")
        return axis % rank

    def sized(self, shape: Sequence[int]) -> list[int]:
        """``shape``, if no value of it is too large."""
        plain = [int(n) for n in shape]
        if math.prod(max(n, 0) for n in plain) > LARGEST:
            raise Unsupported(f"a value of shape {tuple(plain)} is too large")
        return [n if isinstance(n, int) else int(n) for n in shape]

    def fitted(self, *values: Value) -> list[torch.Tensor]:
        """Arguments that broadcast, constants with the file's number of samples made to fit."""
        tensors = [self.tensor(value) for value in values]
        tensors = self.samples.fit(tensors)
        shape = torch.broadcast_shapes(*(tuple(t.shape) for t in tensors))
        self.sized(shape)
        return tensors


Handler = Callable[..., Any]
OPERATORS: dict[str, Handler] = {}
"""What runs on data."""

TABLES: dict[str, dict[str, Handler]] = {"": OPERATORS}
"""The same by domain: other formats enter their own."""

ON_HOST: dict[str, Handler] = {}
"""What runs on whole numbers that are no data."""


def on(*kinds: str) -> Callable[[Handler], Handler]:
    def enter(handler: Handler) -> Handler:
        for kind in kinds:
            OPERATORS[kind] = handler
        return handler

    return enter


def on_host(*kinds: str) -> Callable[[Handler], Handler]:
    def enter(handler: Handler) -> Handler:
        for kind in kinds:
            ON_HOST[kind] = handler
        return handler

    return enter


def is_known(operation: Operation) -> bool:
    hosted = not operation.domain and operation.kind in ON_HOST
    return hosted or operation.kind in TABLES.get(operation.domain, {})


def apply(call: Call, args: Sequence[Value]) -> tuple[Any, ...]:
    """The values that an operation yields.

    Raises SnnccError (SNN301) that names the operation where it has no meaning here.
    """
    operation = call.operation
    hosted = not operation.domain and all(a is None or isinstance(a, np.ndarray) for a in args)
    handler = ON_HOST.get(operation.kind) if hosted else None
    handler = handler or TABLES.get(operation.domain, {}).get(operation.kind)
    try:
        if handler is None:
            raise Unsupported("it has no meaning here")
        result = handler(call, *args)
    except Unsupported as error:
        raise unsupported(operation, str(error)) from None
    return result if isinstance(result, tuple) else (result,)


def unsupported(operation: Operation, why: str) -> SnnccError:
    kind = f"{operation.domain}::{operation.kind}" if operation.domain else operation.kind
    said = f"`{operation.name}`, a {kind}, is not supported: {why}"
    return refuse("SNN301", said, operation.place, help=HELP)


HELP = "export the network without it, or open its PyTorch module in the place of the file"

# -- whole numbers -------------------------------------------------------------------------------


def _plain(name: str, run: Callable[..., Any]) -> None:
    def handler(call: Call, *args: Host) -> Host:
        shapes = np.broadcast_shapes(*(a.shape for a in args))
        if math.prod(shapes) > WHOLE_LARGEST:
            raise Unsupported("a list of whole numbers is too long")
        return np.asarray(run(*args))

    ON_HOST[name] = handler


def _divided(x: Host, y: Host) -> Host:
    if (np.asarray(y) == 0).any():
        raise Unsupported("a size is divided by zero")
    return np.asarray(x // y)


_WHOLE: Mapping[str, Callable[..., Any]] = {
    "Add": lambda x, y: x + y,
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
    "Div": _divided,
    "Mod": lambda x, y: x - _divided(x, y) * y,
    "Neg": lambda x: -x,
    "Min": lambda *xs: np.minimum.reduce(np.broadcast_arrays(*xs)),
    "Max": lambda *xs: np.maximum.reduce(np.broadcast_arrays(*xs)),
    "Abs": np.abs,
}
for _name, _run in _WHOLE.items():
    _plain(_name, _run)


@on_host("Identity")
def _identity(call: Call, x: Host) -> Value:
    return x


@on_host("Cast")
def _host_cast(call: Call, x: Host) -> Value:
    if call.get("to") in (1, 11, 10, 16):
        cast: Value = _cast(call, call.tensor(x))
        return cast
    return x


@on_host("CastLike")
def _host_cast_like(call: Call, x: Host, like: Host) -> Value:
    return x


@on_host("Gather")
def _host_gather(call: Call, x: Host, index: Host) -> Host:
    return np.asarray(np.take(x, index.astype(np.int64), axis=call.axis(call.get("axis", 0),
                                                                        x.ndim)))  # fmt: skip


@on_host("Concat")
def _host_concat(call: Call, *xs: Host) -> Host:
    if sum(x.size for x in xs) > WHOLE_LARGEST:
        raise Unsupported("a list of whole numbers is too long")
    return np.concatenate([np.atleast_1d(x) for x in xs], axis=call.get("axis", 0))


@on_host("Unsqueeze", "Squeeze", "Reshape", "Flatten")
def _host_shape(call: Call, x: Host, how: Host | None = None) -> Host:
    if call.operation.kind == "Reshape":
        return x.reshape(call.whole(how))
    if call.operation.kind == "Flatten":
        return x.reshape(1, -1)
    kind = call.operation.kind
    axes = call.axes(how, x.ndim + (1 if kind == "Unsqueeze" else 0)) or []
    if kind == "Unsqueeze":
        return np.expand_dims(x, tuple(axes))
    return x.squeeze(tuple(axes) if axes else None)


@on_host("Slice")
def _host_slice(call: Call, x: Host, *how: Host) -> Host:
    index: list[slice] = [slice(None)] * x.ndim
    for axis, start, stop, step in _cuts(call, x.ndim, how):
        index[axis] = slice(start, stop, step)
    return x[tuple(index)]


@on_host("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
def _host_compare(call: Call, x: Host, y: Host) -> torch.Tensor:
    whole = [np.asarray(each, np.int64) for each in (x, y)]
    run = {"Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal,
           "Greater": np.greater, "GreaterOrEqual": np.greater_equal}  # fmt: skip
    return torch.as_tensor(run[call.operation.kind](*whole))


@on_host("ConstantOfShape")
def _constant_of_shape(call: Call, shape: Host) -> Value:
    value = np.asarray(call.get("value", np.zeros(1, np.float32))).reshape(-1)
    if value.size != 1:
        raise Unsupported("its value is not one number")
    whole = call.sized(call.whole(shape))
    if value.dtype.kind == "i":
        if math.prod(whole) > WHOLE_LARGEST:
            raise Unsupported("a list of whole numbers is too long")
        return np.full(whole, value[0])
    dtype = torch.bool if value.dtype.kind == "b" else call.real
    return torch.full([1] * len(whole), value[0].item(), dtype=dtype).expand(whole)


@on_host("Expand", "Tile")
def _host_repeat(call: Call, x: Host, how: Host) -> Host:
    times = call.whole(how)
    if math.prod(max(n, 1) for n in times) * x.size > WHOLE_LARGEST:
        raise Unsupported("a list of whole numbers is too long")
    if call.operation.kind == "Tile":
        return np.tile(x, times)
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(times)))


@on_host("Range")
def _range(call: Call, start: Host, stop: Host, step: Host) -> Host:
    first, last, by = (call.whole(each)[0] for each in (start, stop, step))
    if by == 0 or abs(last - first) // max(abs(by), 1) > WHOLE_LARGEST:
        raise Unsupported("its range is too long")
    return np.arange(first, last, by)


@on_host("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")
def _host_reduce(call: Call, x: Host, axes: Host | None = None) -> Host:
    run: dict[str, Any] = {"ReduceProd": np.prod, "ReduceSum": np.sum, "ReduceMax": np.max,
                           "ReduceMin": np.min}  # fmt: skip
    chosen = call.axes(axes, x.ndim)
    keep = bool(call.get("keepdims", 1))
    axis = None if chosen is None else tuple(chosen)
    return np.asarray(run[call.operation.kind](x, axis=axis, keepdims=keep))


# -- shapes --------------------------------------------------------------------------------------


@on("Shape")
def _shape(call: Call, x: torch.Tensor) -> Host:
    sizes = np.empty(x.dim(), dtype=object)
    sizes[:] = list(x.shape)
    return sizes[slice(call.get("start", 0), call.get("end"))]


@on("Size")
def _size(call: Call, x: torch.Tensor) -> Host:
    return np.array(math.prod(x.shape), dtype=object)


@on("Reshape")
def _reshape(call: Call, x: torch.Tensor, shape: Value) -> torch.Tensor:
    wanted = call.whole(shape)
    if not call.get("allowzero", 0):
        wanted = [x.shape[d] if n == 0 else n for d, n in enumerate(wanted)]
    if (known := call.samples.reshaped(x.shape)) is not None:
        wanted = known
    return x.reshape(wanted)


@on("Flatten")
def _flatten(call: Call, x: torch.Tensor) -> torch.Tensor:
    axis = call.get("axis", 1)
    axis = axis % x.dim() if axis < 0 else axis
    if axis == 1:
        return x.flatten(1)
    return x.reshape([math.prod(x.shape[:axis]), math.prod(x.shape[axis:])])


@on("Squeeze")
def _squeeze(call: Call, x: torch.Tensor, axes: Value = None) -> torch.Tensor:
    chosen = call.axes(axes, x.dim())
    if chosen is None:
        raise Unsupported("its axes are not given")
    for axis in sorted(chosen, reverse=True):
        x = x.squeeze(axis)
    return x


@on("Unsqueeze")
def _unsqueeze(call: Call, x: torch.Tensor, axes: Value = None) -> torch.Tensor:
    listed = call.get("axes") if axes is None else call.whole(axes)
    for axis in sorted(call.axis(a, x.dim() + len(listed)) for a in listed or ()):
        x = x.unsqueeze(axis)
    return x


@on("Transpose")
def _transpose(call: Call, x: torch.Tensor) -> torch.Tensor:
    order = call.get("perm") or list(range(x.dim()))[::-1]
    return x.permute([int(axis) for axis in order])


@on("Expand")
def _expand(call: Call, x: Value, shape: Value) -> torch.Tensor:
    x, wanted = call.tensor(x), call.whole(shape)
    wanted = call.samples.expanded(x.shape) or wanted
    rank = max(len(wanted), x.dim())
    before = [1] * (rank - x.dim()) + list(x.shape)
    wanted = [1] * (rank - len(wanted)) + wanted
    whole = [n if m == 1 else m for n, m in zip(before, wanted, strict=True)]
    return x.expand(call.sized(whole))


@on("Tile")
def _tile(call: Call, x: Value, repeats: Value) -> torch.Tensor:
    x, times = call.tensor(x), call.whole(repeats)
    call.sized([n * t for n, t in zip(x.shape, times, strict=False)])
    return x.repeat(times)


@on("Concat")
def _concat(call: Call, *xs: Value) -> torch.Tensor:
    tensors = [call.tensor(x) for x in xs]
    axis = call.axis(call.get("axis", 0), tensors[0].dim())
    return torch.cat(call.samples.beside(tensors, axis), axis)


@on("Split")
def _split(call: Call, x: torch.Tensor, sizes: Value = None) -> tuple[torch.Tensor, ...]:
    axis = call.axis(call.get("axis", 0), x.dim())
    given = call.get("split") if sizes is None else call.whole(sizes)
    count = len(call.operation.outputs)
    if given is None:
        size = -(-x.shape[axis] // count)
        given = size
    elif call.samples.differs(x.shape, axis):
        given = [call.samples.scaled(n) for n in given]
    if isinstance(given, list) and len(set(given)) == 1:
        given = given[0]
    return tuple(x.split(given, axis))


def _cuts(
    call: Call, rank: int, how: Sequence[Value]
) -> list[tuple[int, int | None, int | None, int]]:
    """Axis, start, stop and step of each axis that a Slice cuts."""
    if call.get("starts") is not None:
        starts, ends = call.get("starts"), call.get("ends")
        axes, steps = call.get("axes"), None
    else:
        given = [None if each is None else call.whole(each) for each in (*how, None, None)][:4]
        starts, ends, axes, steps = given
    starts, ends = starts or [], ends or []
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    far = 1 << 31
    return [
        (call.axis(int(axis), rank), None if abs(start) >= far - 1 else start,
         None if abs(stop) >= far - 1 else stop, step)
        for axis, start, stop, step in zip(axes, starts, ends, steps, strict=True)
    ]  # fmt: skip


@on("Slice")
def _slice(call: Call, x: torch.Tensor, *how: Value) -> torch.Tensor:
    index: list[Any] = [slice(None)] * x.dim()
    single = []
    for axis, start, stop, step in _cuts(call, x.dim(), how):
        if step < 1:
            raise Unsupported("it runs backwards")
        if call.samples.differs(x.shape, axis):
            start, stop = (None if n is None else call.samples.scaled(n) for n in (start, stop))
        taken = range(x.shape[axis])[start:stop:step]
        if len(taken) == 1 and x.shape[axis] > 1:
            index[axis] = taken[0]
            single.append(axis)
        elif len(taken) < x.shape[axis]:
            index[axis] = slice(start, stop, step)
    if all(each == slice(None) for each in index):
        return x
    y = x[tuple(index)]
    for axis in sorted(single):
        y = y.unsqueeze(axis)
    return y


@on("Gather")
def _gather(call: Call, x: torch.Tensor, index: Value) -> torch.Tensor:
    axis = call.axis(call.get("axis", 0), x.dim())
    if not isinstance(index, np.ndarray):
        raise Unsupported("its indices depend on data")
    places, size = call.whole(index), x.shape[axis]
    if any(not -size <= place < size for place in places):
        raise Unsupported("its indices lie outside")
    before: list[Any] = [slice(None)] * axis
    if not index.ndim:
        return x[(*before, places[0])]
    if index.ndim == 1 and len(places) == 1 and size > 1:
        return x[(*before, places[0])].unsqueeze(axis)
    steps = {b - a for a, b in pairwise(places)}
    if index.ndim == 1 and len(steps) == 1 and (step := steps.pop()) > 0 and places[0] >= 0:
        return x[(*before, slice(places[0], places[-1] + 1, step))]
    raise Unsupported("its indices are no range")


@on("Pad")
def _pad(call: Call, x: torch.Tensor, pads: Value = None, value: Value = None,
         axes: Value = None) -> torch.Tensor:  # fmt: skip
    if call.get("mode", "constant") != "constant":
        raise Unsupported("it pads with something else than a constant")
    widths = call.get("pads") if pads is None else call.whole(pads)
    chosen = call.axes(axes, x.dim()) or list(range(x.dim()))
    around = [(0, 0)] * x.dim()
    for place, axis in enumerate(chosen):
        around[axis] = (widths[place], widths[place + len(chosen)])
    call.sized([n + a + b for n, (a, b) in zip(x.shape, around, strict=True)])
    fill = call.get("value", 0.0)
    if value is not None:
        fill = float(call.tensor(value))
    while around and around[0] == (0, 0):
        around = around[1:]
    flat = [n for pair in reversed(around) for n in pair]
    return F.pad(x, flat, value=fill) if any(flat) else x


@on("Resize", "Upsample")
def _resize(call: Call, x: torch.Tensor, *how: Value) -> torch.Tensor:
    """Nearest neighbours by whole factors."""
    if call.get("mode", "nearest") != "nearest":
        raise Unsupported("it interpolates")
    after = list(x.shape)
    sizes = how[2] if len(how) > 2 else None
    if sizes is not None:
        after = call.whole(sizes)
    else:
        given = how[0] if call.operation.kind == "Upsample" and how else how[1] if len(
            how) > 1 else None  # fmt: skip
        scales = call.get("scales") or (given.tolist() if isinstance(given, torch.Tensor) else None)
        if scales is None:
            raise Unsupported("its size is not given")
        after = [int(n * s) for n, s in zip(x.shape, scales, strict=True)]
    spatial = x.dim() - 2
    whole = all(m % n == 0 for n, m in zip(x.shape[2:], after[2:], strict=True))
    if spatial < 1 or not whole:
        raise Unsupported("it does not repeat pixels by whole factors")
    factors = [m // n for n, m in zip(x.shape[2:], after[2:], strict=True)]
    plain = call.get("coordinate_transformation_mode", "half_pixel") in (
        "asymmetric", "half_pixel", "pytorch_half_pixel",
    )  # fmt: skip
    if not plain:
        raise Unsupported("its rule of coordinates is not known here")
    call.sized([*x.shape[:2], *after[2:]])
    return F.interpolate(x, scale_factor=[float(f) for f in factors], mode="nearest")


@on("Identity")
def _same(call: Call, x: Value) -> Value:
    return x


@on("Dropout")
def _dropout(call: Call, x: torch.Tensor, rate: Value = None, training: Value = None) -> Any:
    if training is not None and bool(training.any()):
        raise Unsupported("a dropout is active")
    return x


@on("Cast")
def _cast(call: Call, x: Value) -> Value:
    x, to = call.tensor(x), call.get("to")
    if to in (1, 11):
        return x.to(call.real)
    if to == 9:
        return x.to(torch.bool)
    if to in (6, 7):
        return x.to(torch.int64)
    raise Unsupported("it casts to a type that rounds or wraps around")


@on("CastLike")
def _cast_like(call: Call, x: Value, like: Value) -> Value:
    return call.tensor(x).to(call.tensor(like).dtype)


# -- linear --------------------------------------------------------------------------------------


def _padding(call: Call, x: torch.Tensor, kernel: Sequence[int], stride: Sequence[int],
             dilation: Sequence[int]) -> tuple[list[int], list[int]]:  # fmt: skip
    """What is padded before and after each axis."""
    rank = len(kernel)
    auto = call.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
            more = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            small, large = more // 2, more - more // 2
            before.append(large if auto == "SAME_LOWER" else small)
            after.append(small if auto == "SAME_LOWER" else large)
        return before, after
    pads = call.get("pads") or [0] * (2 * rank)
    if auto == "VALID":
        pads = [0] * (2 * rank)
    if len(pads) != 2 * rank or min(pads) < 0:
        raise Unsupported(f"its padding is {pads}")
    return pads[:rank], pads[rank:]


def _settings(call: Call, rank: int) -> tuple[list[int], list[int]]:
    stride, dilation = call.get("strides") or [1] * rank, call.get("dilations") or [1] * rank
    if len(stride) != rank or len(dilation) != rank or min(*stride, *dilation) < 1:
        raise Unsupported(f"its strides are {stride}, its dilations {dilation}")
    return stride, dilation


def _around(call: Call, x: torch.Tensor, before: Sequence[int], after: Sequence[int],
            value: float = 0.0) -> torch.Tensor:  # fmt: skip
    call.sized([*x.shape[:2], *(n + a + b for n, a, b in zip(x.shape[2:], before, after,
                                                             strict=True))])  # fmt: skip
    flat = [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


@on("Conv")
def _conv(call: Call, x: torch.Tensor, weight: Value, bias: Value = None) -> torch.Tensor:
    w = call.tensor(weight)
    rank = w.dim() - 2
    if not 1 <= rank <= 3 or x.dim() != w.dim():
        raise Unsupported(f"a convolution of {tuple(x.shape)} by {tuple(w.shape)}")
    stride, dilation = _settings(call, rank)
    before, after = _padding(call, x, w.shape[2:], stride, dilation)
    if before != after:
        x, before = _around(call, x, before, after), [0] * rank
    call.sized([x.shape[0], w.shape[0], *(n + 2 * p for n, p in zip(x.shape[2:], before,
                                                                    strict=True))])  # fmt: skip
    run: Callable[..., torch.Tensor] = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    return run(x, w, bias, stride, before, dilation, call.get("group", 1))


@on("ConvTranspose")
def _conv_transpose(call: Call, x: torch.Tensor, weight: Value,
                    bias: Value = None) -> torch.Tensor:  # fmt: skip
    w = call.tensor(weight)
    rank = w.dim() - 2
    if not 1 <= rank <= 3 or x.dim() != w.dim() or call.get("output_shape"):
        raise Unsupported("this way to give its shape")
    stride, dilation = _settings(call, rank)
    if call.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("it pads by a rule")
    pads = call.get("pads") or [0] * (2 * rank)
    more = call.get("output_padding") or [0] * rank
    # what is cut off less at the end is more of it
    more = [m + p - q for m, p, q in zip(more, pads[:rank], pads[rank:], strict=True)]
    if any(not 0 <= m < max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
        raise Unsupported("it pads by widths of which torch has no form")
    call.sized([x.shape[0], w.shape[1], *(n * s + k * d for n, s, k, d in zip(
        x.shape[2:], stride, w.shape[2:], dilation, strict=True))])  # fmt: skip
    runs = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
    run: Callable[..., torch.Tensor] = runs[rank - 1]
    return run(x, w, bias, stride, pads[:rank], more, call.get("group", 1), dilation)


@on("Gemm")
def _gemm(call: Call, x: Value, y: Value, z: Value = None) -> torch.Tensor:
    a, b = call.tensor(x), call.tensor(y)
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    turned = bool(call.get("transB", 0))
    plain = alpha == 1 and beta == 1 and not call.get("transA", 0)
    bias = None if z is None else call.tensor(z)
    if plain and (bias is None or bias.dim() == 1):
        return F.linear(a, b if turned else b.t(), bias)
    a = a.t() if call.get("transA", 0) else a
    product = F.linear(a, b if turned else b.t())
    product = product if alpha == 1 else product * alpha
    if bias is None:
        return product
    first, second = call.fitted(product, bias if beta == 1 else bias * beta)
    return first + second


@on("MatMul")
def _matmul(call: Call, x: Value, y: Value) -> torch.Tensor:
    return torch.matmul(call.tensor(x), call.tensor(y))


@on("BatchNormalization")
def _batch_norm(call: Call, x: torch.Tensor, scale: Value, shift: Value, mean: Value,
                variance: Value) -> torch.Tensor:  # fmt: skip
    if call.get("training_mode", 0):
        raise Unsupported("it takes its statistics from the batch")
    return F.batch_norm(
        x, call.tensor(mean), call.tensor(variance), call.tensor(scale), call.tensor(shift),
        training=False, eps=call.get("epsilon", 1e-5),
    )  # fmt: skip


def _pool_settings(call: Call, x: torch.Tensor) -> tuple[list[int], list[int], list[int],
                                                          list[int], list[int]]:  # fmt: skip
    kernel = call.get("kernel_shape") or []
    rank = len(kernel)
    if not 1 <= rank <= 3 or x.dim() != rank + 2 or min(kernel) < 1:
        raise Unsupported(f"its windows are {kernel}")
    stride, dilation = _settings(call, rank)
    before, after = _padding(call, x, kernel, stride, dilation)
    if call.get("ceil_mode", 0):
        for n, k, s, d, a, b in zip(x.shape[2:], kernel, stride, dilation, before, after,
                                    strict=True):  # fmt: skip
            if (n + a + b - d * (k - 1) - 1) % s:
                raise Unsupported("a window of it reaches beyond its input (ceil_mode)")
    return kernel, stride, dilation, before, after


@on("MaxPool")
def _max_pool(call: Call, x: torch.Tensor) -> torch.Tensor:
    kernel, stride, dilation, before, after = _pool_settings(call, x)
    rank = len(kernel)
    run: Callable[..., torch.Tensor] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    if any(2 * p > k for p, k in zip(before, kernel, strict=True)):
        raise Unsupported("it pads by more than half of a window")
    axes = list(zip(x.shape[2:], kernel, stride, before, after, dilation, strict=True))
    counts = [window_count(n, k, s, p, q, d) for n, k, s, p, q, d in axes]
    for ceil in (False, True):
        if counts == [window_count(n, k, s, p, p, d, ceil) for n, k, s, p, _, d in axes]:
            return run(x, kernel, stride, before, dilation, ceil)
    raise Unsupported("it pads by different widths before and after")


@on("AveragePool")
def _average_pool(call: Call, x: torch.Tensor) -> torch.Tensor:
    kernel, stride, dilation, before, after = _pool_settings(call, x)
    rank, counts = len(kernel), bool(call.get("count_include_pad", 0))
    if any(d != 1 for d in dilation):
        raise Unsupported("its windows have gaps")
    if before != after:
        if not counts:
            raise Unsupported("it pads by different widths and does not count them")
        x, before = _around(call, x, before, after), [0] * rank
    if any(2 * p > k for p, k in zip(before, kernel, strict=True)):
        raise Unsupported("it pads by more than half of a window")
    run: Callable[..., torch.Tensor] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    return run(x, kernel, stride, before, False, counts)


@on("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call, x: torch.Tensor) -> torch.Tensor:
    rank = x.dim() - 2
    if not 1 <= rank <= 3:
        raise Unsupported(f"an input of {x.dim()} axes")
    average = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    largest = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
    runs = average if call.operation.kind == "GlobalAveragePool" else largest
    run: Callable[..., torch.Tensor] = runs[rank - 1]
    return run(x, [1] * rank if rank > 1 else 1)


@on("ReduceMean", "ReduceSum", "ReduceMax")
def _reduce(call: Call, x: torch.Tensor, axes: Value = None) -> torch.Tensor:
    chosen = call.axes(axes, x.dim())
    if not chosen:
        if call.get("noop_with_empty_axes", 0):
            return x
        chosen = list(range(x.dim()))
    keep = bool(call.get("keepdims", 1))
    if call.operation.kind == "ReduceMax":
        return x.amax(chosen, keep)
    return x.mean(chosen, keep) if call.operation.kind == "ReduceMean" else x.sum(chosen, keep)


# -- value by value ------------------------------------------------------------------------------

_BY_VALUE: Mapping[str, Callable[..., torch.Tensor]] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "Neg": torch.neg,
    "Abs": torch.abs, "Sqrt": torch.sqrt, "Exp": torch.exp, "Log": torch.log, "Relu": F.relu,
    "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round, "Sign": torch.sign, "Erf": torch.erf, "Softsign": F.softsign,
    "Mish": F.mish, "Softplus": F.softplus, "Reciprocal": torch.reciprocal,
    "Greater": torch.gt, "GreaterOrEqual": torch.ge, "Less": torch.lt, "LessOrEqual": torch.le,
    "Equal": torch.eq, "And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor,
    "Not": torch.logical_not, "HardSwish": F.hardswish,
}  # fmt: skip


def _by_value(kind: str) -> Handler:
    run = _BY_VALUE[kind]
    return lambda call, *args: run(*call.fitted(*args))


for _kind in _BY_VALUE:
    OPERATORS[_kind] = _by_value(_kind)


@on("Div")
def _divide(call: Call, x: Value, y: Value) -> torch.Tensor:
    a, b = call.fitted(x, y)
    if not (a.is_floating_point() and b.is_floating_point()):
        raise Unsupported("it divides whole numbers of the data")
    return torch.div(a, b)


@on("Mod")
def _mod(call: Call, x: Value, y: Value) -> torch.Tensor:
    a, b = call.fitted(x, y)
    return torch.fmod(a, b) if call.get("fmod", 0) else torch.remainder(a, b)


@on("Min", "Max")
def _extreme(call: Call, *xs: Value) -> torch.Tensor:
    run = torch.minimum if call.operation.kind == "Min" else torch.maximum
    total = call.tensor(xs[0])
    for x in xs[1:]:
        total = run(*call.fitted(total, x))
    return total


@on("Sum")
def _sum(call: Call, *xs: Value) -> torch.Tensor:
    total = call.tensor(xs[0])
    for x in xs[1:]:
        total = torch.add(*call.fitted(total, x))
    return total


@on("Where")
def _where(call: Call, *xs: Value) -> torch.Tensor:
    test, one, two = call.fitted(*xs)
    return torch.where(test, one, two)


@on("Clip")
def _clip(call: Call, x: Value, low: Value = None, high: Value = None) -> torch.Tensor:
    ends = [
        float(call.tensor(end)) if end is not None else call.get(name)
        for end, name in ((low, "min"), (high, "max"))
    ]
    ends = [None if end is None or math.isinf(end) else end for end in ends]
    if ends == [None, None]:
        return call.tensor(x)
    return torch.clamp(call.tensor(x), *ends)


@on("LeakyRelu")
def _leaky_relu(call: Call, x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, call.get("alpha", 0.01))


@on("Elu")
def _elu(call: Call, x: torch.Tensor) -> torch.Tensor:
    if call.get("alpha", 1.0) != 1.0:
        raise Unsupported("its alpha is not 1")
    return F.elu(x)


@on("Gelu")
def _gelu(call: Call, x: torch.Tensor) -> torch.Tensor:
    return F.gelu(x, approximate=call.get("approximate", "none"))


@on("HardSigmoid")
def _hard_sigmoid(call: Call, x: torch.Tensor) -> torch.Tensor:
    return torch.clamp(x * call.get("alpha", 0.2) + call.get("beta", 0.5), 0.0, 1.0)


@on("Softmax", "LogSoftmax")
def _softmax(call: Call, x: torch.Tensor) -> torch.Tensor:
    axis = call.axis(call.get("axis", -1 if call.opset >= 13 else 1), x.dim())
    if call.opset < 13 and axis != x.dim() - 1:
        raise Unsupported("it runs over several axes")
    run = F.softmax if call.operation.kind == "Softmax" else F.log_softmax
    return run(x, axis)


@on("ArgMax")
def _argmax(call: Call, x: torch.Tensor) -> torch.Tensor:
    if call.get("keepdims", 1) or call.get("select_last_index", 0):
        raise Unsupported("it keeps its axis, or takes the last of equal values")
    return x.argmax(call.axis(call.get("axis", 0), x.dim()))


@on("LayerNormalization")
def _layer_norm(call: Call, x: torch.Tensor, scale: Value, shift: Value = None) -> torch.Tensor:
    axis = call.axis(call.get("axis", -1), x.dim())
    given = None if shift is None else call.tensor(shift)
    size = [int(n) for n in x.shape[axis:]]
    return F.layer_norm(x, size, call.tensor(scale), given, call.get("epsilon", 1e-5))


@on("InstanceNormalization")
def _instance_norm(call: Call, x: torch.Tensor, scale: Value, shift: Value) -> torch.Tensor:
    return F.instance_norm(x, weight=call.tensor(scale), bias=call.tensor(shift),
                           eps=call.get("epsilon", 1e-5))  # fmt: skip
