"""What one op means, on a batch of values (B, *features)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
from torch.nn import functional as F

from snncc.ir.elementwise import function
from snncc.ir.graph import Tensors
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Elementwise,
    Identity,
    MatMul,
    Norm,
    Normalise,
    Number,
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
from snncc.ir.shapes import adaptive_spans, window_count

Value = torch.Tensor


class TensorStore:
    """The tensors of a Graph or Network as torch tensors of one dtype, converted when asked."""

    def __init__(self, tensors: Tensors, dtype: torch.dtype) -> None:
        self.tensors, self._dtype = tensors, dtype
        self._ready: dict[str, Value] = {}

    def __getitem__(self, ref: str) -> Value:
        if ref not in self._ready:
            tensor = torch.from_numpy(np.ascontiguousarray(self.tensors[ref]))
            whole = not tensor.is_floating_point() and tensor.dtype != torch.bool
            self._ready[ref] = tensor if whole else tensor.to(self._dtype)
        return self._ready[ref]

    def optional(self, ref: Ref | None) -> Value | None:
        return None if ref is None else self[ref]

    def number(self, number: Number) -> Value:
        if isinstance(number, Ref):
            return self[number]
        return torch.tensor(float(number), dtype=self._dtype)


def _conv(op: Conv, args: list[Value], store: TensorStore) -> Value:
    weight, bias = store[op.weight], store.optional(op.bias)
    run: Callable[..., Value] = (F.conv1d, F.conv2d, F.conv3d)[weight.dim() - 3]
    return run(args[0], weight, bias, op.stride, op.padding, op.dilation, op.groups)


def _conv_transpose(op: ConvTranspose, args: list[Value], store: TensorStore) -> Value:
    weight, bias = store[op.weight], store.optional(op.bias)
    runs = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
    run: Callable[..., Value] = runs[weight.dim() - 3]
    return run(
        args[0], weight, bias, op.stride, op.padding, op.output_padding, op.groups, op.dilation
    )


def _pool(op: Pool, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    lead = x.shape[1 : x.dim() - len(op.kernel)]
    single = len(lead) == 1
    flat = x if single else x.reshape(-1, 1, *x.shape[x.dim() - len(op.kernel) :])
    index = len(op.kernel) - 1
    if op.kind == "max":
        pool: Callable[..., Value] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[index]
        y = pool(flat, op.kernel, op.stride, op.padding, op.dilation, op.ceil)
    elif op.kind == "sum":
        y = _window_sums(op, flat)
    else:
        average: Callable[..., Value] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[index]
        y = average(flat, op.kernel, op.stride, op.padding, op.ceil, op.count_padding)
    return y.reshape(x.shape[0], *lead, *y.shape[2:])


def _window_sums(op: Pool, x: Value) -> Value:
    """A convolution with ones, what a window has outside counting nothing."""
    settings = zip(x.shape[2:], op.kernel, op.stride, op.padding, op.dilation, strict=True)
    widths: list[int] = []
    for size, kernel, stride, before, dilation in settings:
        count = window_count(size, kernel, stride, before, before, dilation, op.ceil)
        reach = (count - 1) * stride + dilation * (kernel - 1) + 1
        widths = [before, max(reach - size - before, 0), *widths]
    if len(op.kernel) == 2 and set(op.dilation) == {1}:
        return F.avg_pool2d(F.pad(x, widths), op.kernel, op.stride, divisor_override=1)
    run: Callable[..., Value] = (F.conv1d, F.conv2d, F.conv3d)[len(op.kernel) - 1]
    channels = x.shape[1]
    ones = torch.ones(channels, 1, *op.kernel, dtype=x.dtype)
    return run(F.pad(x, widths), ones, None, op.stride, 0, op.dilation, channels)


def _adaptive(op: AdaptivePool, args: list[Value], store: TensorStore) -> Value:
    (x,), rank = args, len(op.size)
    if op.kind == "sum":
        for axis, count in enumerate(op.size, x.dim() - rank):
            spans = torch.zeros(count, x.shape[axis], dtype=x.dtype)
            for i, (first, last) in enumerate(adaptive_spans(x.shape[axis], count)):
                spans[i, first:last] = 1
            x = (x.transpose(axis, -1) @ spans.T).transpose(axis, -1)
        return x
    flat = x.reshape(-1, 1, *x.shape[x.dim() - rank :])
    most = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
    mean = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    run: Callable[..., Value] = (most if op.kind == "max" else mean)[rank - 1]
    return run(flat, op.size).reshape(*x.shape[: x.dim() - rank], *op.size)


def channelwise(tensor: Value, rank: int) -> Value:
    """A (C,) tensor so that it broadcasts over features of ``rank`` axes, channel first."""
    return tensor.reshape(-1, *[1] * (rank - 1))


def _norm(op: Norm, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    if not op.outside:
        return F.batch_norm(
            x, store[op.mean], store[op.variance], store.optional(op.scale),
            store.optional(op.shift), False, 0.0, op.epsilon,
        )  # fmt: skip
    rank = x.dim() - 1
    deviation = torch.sqrt(store[op.variance]) + op.epsilon
    y = (x - channelwise(store[op.mean], rank)) / channelwise(deviation, rank)
    if op.scale is not None:
        y = y * channelwise(store[op.scale], rank)
    return y if op.shift is None else y + channelwise(store[op.shift], rank)


def _normalise(op: Normalise, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    scale, shift = store.optional(op.scale), store.optional(op.shift)
    if op.kind == "layer":
        return F.layer_norm(x, [x.shape[axis + 1] for axis in op.axes], scale, shift, op.epsilon)
    return F.group_norm(x, op.groups, scale, shift, op.epsilon)


def _sparse(op: Sparse, args: list[Value], store: TensorStore) -> Value:
    flat = args[0].reshape(args[0].shape[0], -1)
    parts = (store[op.data].numpy(), store[op.indices].numpy(), store[op.indptr].numpy())
    matrix = scipy.sparse.csr_matrix(parts, (math.prod(op.shape), flat.shape[1]))
    return torch.from_numpy((matrix @ flat.numpy().T).T).reshape(-1, *op.shape)


def _upsample(op: Upsample, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    for axis, factor in enumerate(op.factors, x.dim() - len(op.factors)):
        x = x.repeat_interleave(factor, axis)
    return x


def _reduce(op: Reduce, args: list[Value], store: TensorStore) -> Value:
    axes = [axis + 1 for axis in op.axes]
    return args[0].mean(axes, op.keep) if op.kind == "mean" else args[0].sum(axes, op.keep)


def _slice(op: Slice, args: list[Value], store: TensorStore) -> Value:
    index = [slice(None)] * (op.axis + 1) + [slice(op.start, op.stop, op.step)]
    return args[0][tuple(index)]


def _concat(op: Concat, args: list[Value], store: TensorStore) -> Value:
    rank = max(x.dim() for x in args)
    (lead,) = {x.shape[0] for x in args if x.dim() == rank}
    return torch.cat(
        [x if x.dim() == rank else x.expand(lead, *x.shape) for x in args], op.axis + 1
    )


def _softmax(op: Softmax, args: list[Value], store: TensorStore) -> Value:
    return (F.log_softmax if op.log else F.softmax)(args[0], op.axis + 1)


_APPLY: dict[type[Op], Callable[..., Value]] = {
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Dense: lambda op, args, store: F.linear(args[0], store[op.weight], store.optional(op.bias)),
    Sparse: _sparse,
    Pool: _pool,
    AdaptivePool: _adaptive,
    Norm: _norm,
    Normalise: _normalise,
    Scale: lambda op, args, store: args[0] * store.number(op.factor),
    Reshape: lambda op, args, store: args[0].reshape(args[0].shape[0], *op.shape),
    Permute: lambda op, args, store: args[0].permute(0, *(axis + 1 for axis in op.axes)),
    Broadcast: lambda op, args, store: args[0].expand(args[0].shape[0], *op.shape),
    Pad: lambda op, args, store: F.pad(args[0], [n for pair in reversed(op.widths) for n in pair]),
    Slice: _slice,
    Concat: _concat,
    Reduce: _reduce,
    Upsample: _upsample,
    Elementwise: lambda op, args, store: function(op.function)(*args),
    Identity: lambda op, args, store: args[0],
    Softmax: _softmax,
    MatMul: lambda op, args, store: args[0] @ args[1],
    Argmax: lambda op, args, store: args[0].argmax(op.axis + 1),
}


def apply(op: Op, args: list[Value], store: TensorStore) -> Value:
    """``op`` on arguments (B, *features), or constants that broadcast over the features.

    Raises TypeError for an op that has no meaning of its own on one time step.
    """
    if type(op) not in _APPLY:
        raise TypeError(f"the interpreter does not know `{type(op).__name__}` on one time step")
    return _APPLY[type(op)](op, args, store)
