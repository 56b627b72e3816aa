"""What each operator of ATen that torch.export leaves in a graph is in torch.

An entry takes the `Call`, the arguments and those by name, and runs a function of torch, so that a
recording sees it. Operators that are not here are refused by name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from snncc.frontends.onnx.operators import TABLES, Call, Unsupported, Value

DOMAIN = "aten"

FLOATS = frozenset({7, 8})
BOOL = 12
LONG = 5

Run = Callable[[Call, list[Any], dict[str, Any]], Any]
ATEN: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True)
class Argument:
    """What stands for the n-th value that an operation reads."""

    place: int


@dataclass(frozen=True)
class Dtype:
    """A dtype by its number in the schema of torch.export."""

    number: int


def on(*kinds: str) -> Callable[[Run], Run]:
    def enter(run: Run) -> Run:
        for kind in kinds:
            ATEN[kind] = _handler(run)
        return run

    return enter


def _handler(run: Run) -> Callable[..., Any]:
    def handler(call: Call, *values: Value) -> Any:
        def filled(each: Any) -> Any:
            match each:
                case Argument(place):
                    value = values[place]
                    if isinstance(value, np.ndarray):
                        return value.reshape(-1)[0] if value.size == 1 else call.whole(value)
                    return value
                case Dtype(number):
                    return _dtype(call, number)
                case list():
                    return [filled(item) for item in each]
            return each

        args = [filled(each) for each in call.get("args")]
        named = {name: filled(each) for name, each in call.get("named").items()}
        result = run(call, args, {n: v for n, v in named.items() if n not in _WITHOUT_EFFECT})
        if isinstance(result, int) and not isinstance(result, bool):
            whole = np.empty((), dtype=object)
            whole[()] = result
            return whole
        return tuple(result) if isinstance(result, list) else result

    return handler


_WITHOUT_EFFECT = ("device", "layout", "pin_memory", "memory_format", "non_blocking", "copy")


def _dtype(call: Call, number: int) -> torch.dtype:
    if number in FLOATS:
        return call.real
    if number == BOOL:
        return torch.bool
    if number == LONG:
        return torch.int64
    raise Unsupported("it computes in a dtype that rounds or wraps around")


def _fitted(call: Call, args: Sequence[Any]) -> list[Any]:
    """Arguments that broadcast, constants with the archive's number of samples made to fit."""
    tensors = [each for each in args if isinstance(each, torch.Tensor)]
    fitted = iter(call.fitted(*tensors) if len(tensors) > 1 else tensors)
    return [next(fitted) if isinstance(each, torch.Tensor) else each for each in args]


def _by_value(function: Callable[..., Any], *kinds: str) -> None:
    def run(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
        return function(*_fitted(call, args), **named)

    on(*kinds)(run)


def _plain(function: Callable[..., Any], *kinds: str) -> None:
    def run(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
        return function(*args, **named)

    on(*kinds)(run)


_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "ge": torch.ge,
    "gt": torch.gt, "le": torch.le, "lt": torch.lt, "eq": torch.eq, "ne": torch.ne,
    "bitwise_and": torch.bitwise_and, "bitwise_or": torch.bitwise_or,
    "bitwise_xor": torch.bitwise_xor, "remainder": torch.remainder, "fmod": torch.fmod,
}  # fmt: skip
for _name, _function in _ARITHMETIC.items():
    _by_value(_function, f"{_name}.Tensor", f"{_name}.Scalar")
_UNARY = (
    "neg abs sqrt exp log sigmoid tanh relu floor ceil round sign erf reciprocal logical_not "
    "square trunc"
)
for _name in _UNARY.split():
    _plain(getattr(torch, _name), f"{_name}.default")
for _name in ("logical_and", "logical_or", "logical_xor", "maximum", "minimum", "heaviside"):
    _by_value(getattr(torch, _name), f"{_name}.default")
for _name in ("add_", "sub_", "mul_", "div_"):
    _plain(getattr(torch.Tensor, _name), f"{_name}.Tensor", f"{_name}.Scalar")
_by_value(torch.rsub, "rsub.Scalar", "rsub.Tensor")
_by_value(torch.pow, "pow.Tensor_Scalar", "pow.Tensor_Tensor")
_by_value(torch.where, "where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
_by_value(torch.masked_fill, "masked_fill.Scalar", "masked_fill.Tensor")
_plain(torch.clamp, "clamp.default")
_plain(torch.bitwise_not, "bitwise_not.default")
_plain(torch.clone, "clone.default", "lift_fresh_copy.default")
_plain(torch.detach, "detach.default", "detach_.default", "alias.default")
_plain(torch.Tensor.contiguous, "contiguous.default")
_plain(torch.unsqueeze, "unsqueeze.default")
_plain(torch.squeeze, "squeeze.dim", "squeeze.dims")
_plain(torch.permute, "permute.default")
_plain(torch.transpose, "transpose.int")
_plain(torch.t, "t.default", "numpy_T.default")
_plain(torch.flatten, "flatten.using_ints")
_plain(torch.unbind, "unbind.int")
_plain(torch.mean, "mean.dim")
_plain(torch.sum, "sum.dim_IntList")
_plain(torch.amax, "amax.default")
_plain(torch.argmax, "argmax.default")
_plain(torch.matmul, "matmul.default", "mm.default", "bmm.default")
_plain(F.softmax, "softmax.int")
_plain(F.log_softmax, "log_softmax.int")
_plain(F.gelu, "gelu.default")
_plain(F.hardtanh, "hardtanh.default")
_plain(F.linear, "linear.default")
_plain(F.conv1d, "conv1d.default")
_plain(F.conv2d, "conv2d.default", "conv2d.padding")
_plain(F.conv3d, "conv3d.default")
_plain(F.max_pool1d, "max_pool1d.default")
_plain(F.max_pool2d, "max_pool2d.default")
_plain(F.max_pool3d, "max_pool3d.default")
_plain(torch.avg_pool1d, "avg_pool1d.default")
_plain(F.avg_pool2d, "avg_pool2d.default")
_plain(F.avg_pool3d, "avg_pool3d.default")
_plain(F.adaptive_avg_pool1d, "adaptive_avg_pool1d.default")
_plain(F.adaptive_avg_pool2d, "adaptive_avg_pool2d.default")
_plain(F.adaptive_avg_pool3d, "adaptive_avg_pool3d.default")
_plain(F.pad, "pad.default", "constant_pad_nd.default")
_plain(F.dropout, "dropout.default", "feature_dropout.default")
_plain(operator.getitem, "getitem")
for _name in ("add", "sub", "mul", "floordiv", "mod", "neg"):
    _plain(getattr(operator, _name), _name)


@on("_to_copy.default", "to.dtype", "to.dtype_layout", "_assert_tensor_metadata.default")
def _cast(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    if call.operation.kind.startswith("_assert"):
        return args[0]
    kinds = [each for each in (*args[1:], *named.values()) if isinstance(each, torch.dtype)]
    return args[0].to(kinds[0]) if kinds else args[0].clone()


@on("type_as.default")
def _type_as(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    return args[0].to(args[1].dtype)


@on("zeros.default", "ones.default", "full.default", "empty.memory_format")
def _filled(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    name = call.operation.kind.partition(".")[0]
    if name == "empty":
        raise Unsupported("its numbers are whatever memory holds")
    shape = call.sized(args[0])
    value = args[1] if name == "full" else float(name == "ones")
    return torch.full(shape, value, dtype=named.get("dtype", call.real))


@on("zeros_like.default", "ones_like.default", "full_like.default", "new_zeros.default",
    "new_ones.default", "new_full.default")  # fmt: skip
def _filled_like(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, name = args[0], call.operation.kind.partition(".")[0]
    shape = call.sized(args[1] if name.startswith("new") else x.shape)
    value = args[-1] if "full" in name else float("ones" in name)
    return torch.full(shape, value, dtype=named.get("dtype", x.dtype))


@on("select.int")
def _select(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, axis, place = args
    before: list[Any] = [slice(None)] * call.axis(axis, x.dim())
    return x[(*before, place)]


@on("slice.Tensor")
def _slice(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    rest: list[Any] = [0, None, None, 1][len(args) - 1 :]
    x, axis, start, stop, step = [*args, *rest]
    axis = call.axis(axis, x.dim())
    stop = None if stop is None or stop >= 1 << 31 else stop
    if call.samples.differs(x.shape, axis):
        start, stop = (None if n is None else call.samples.scaled(n) for n in (start, stop))
    before: list[Any] = [slice(None)] * axis
    return x[(*before, slice(start, stop, step))]


@on("view.default", "reshape.default", "_unsafe_view.default")
def _reshape(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, shape = args
    return x.reshape(call.samples.reshaped(x.shape) or shape)


@on("unflatten.int")
def _unflatten(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, axis, sizes = args
    axis = call.axis(axis, x.dim())
    known = call.samples.reshaped(x.shape)
    return x.reshape(known or [*x.shape[:axis], *sizes, *x.shape[axis + 1 :]])


@on("expand.default")
def _expand(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, shape = args[:2]
    return x.expand(call.sized(call.samples.expanded(x.shape) or [
        x.shape[place - len(shape)] if n == -1 else n for place, n in enumerate(shape)
    ]))  # fmt: skip


@on("repeat.default")
def _repeat(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, times = args
    missing = [1] * (len(times) - x.dim())
    call.sized([int(n) * int(t) for n, t in zip([*missing, *x.shape], times, strict=True)])
    return x.repeat(times)


@on("cat.default", "stack.default")
def _join(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    tensors, axis = args[0], (*args[1:], 0)[0]
    if call.operation.kind.startswith("stack"):
        return torch.stack(call.samples.beside(tensors, -1), axis)
    axis = call.axis(axis, tensors[0].dim())
    return torch.cat(call.samples.beside(tensors, axis), axis)


@on("split.Tensor", "split_with_sizes.default", "chunk.default")
def _split(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, size, axis = [*args, 0][:3]
    axis = call.axis(axis, x.dim())
    if call.operation.kind.startswith("chunk"):
        return x.chunk(size, axis)
    if call.samples.differs(x.shape, axis):
        scaled = call.samples.scaled
        size = [scaled(n) for n in size] if isinstance(size, list) else scaled(size)
    return x.split(size, axis)


@on("addmm.default")
def _addmm(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    bias, x, weight = args
    if named or bias.dim() != 1:
        raise Unsupported("its factors are not 1, or its first argument is no bias")
    return F.linear(x, weight.t(), bias)


@on("batch_norm.default", "_native_batch_norm_legit_no_training.default",
    "_batch_norm_no_update.default")  # fmt: skip
def _batch_norm(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, weight, bias, mean, variance, *rest = args
    training = rest[0] if call.operation.kind.startswith("batch_norm") else False
    epsilon = rest[2] if call.operation.kind.startswith("batch_norm") else rest[1]
    if training:
        raise Unsupported("it takes its statistics from the batch")
    y = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon)
    return y if call.operation.kind.startswith("batch_norm") else (y, y[..., :0], y[..., :0])


@on("convolution.default")
def _convolution(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    x, weight, bias, stride, padding, dilation, transposed, more, groups = args
    rank = weight.dim() - 2
    if transposed:
        transposed_runs: Any = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
        turned: Callable[..., Any] = transposed_runs[rank - 1]
        return turned(x, weight, bias, stride, padding, more, groups, dilation)
    run: Callable[..., Any] = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    return run(x, weight, bias, stride, padding, dilation, groups)


@on("layer_norm.default")
def _layer_norm(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    return F.layer_norm(*args[:5])


@on("group_norm.default")
def _group_norm(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    return F.group_norm(*args[:5])


@on("sym_size.int")
def _size(call: Call, args: list[Any], named: dict[str, Any]) -> Any:
    return args[0].shape[args[1]]


TABLES[DOMAIN] = ATEN
