"""The feature shape each op yields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from snncc.ir.graph import Tensors
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
    Elementwise,
    Identity,
    MatMul,
    Membrane,
    Norm,
    Normalise,
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
    Spiking,
    Upsample,
    WholeSpiking,
)  # fmt: skip

Shape = tuple[int, ...]


def window_count(size: int, kernel: int, stride: int, before: int, after: int, dilation: int,
                 ceil: bool = False) -> int:  # fmt: skip
    """How many windows fit along one axis, torch's rule (a last window starts inside)."""
    room = size + before + after - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + before:
        count -= 1
    return count


def adaptive_spans(size: int, count: int) -> list[tuple[int, int]]:
    """First and last + 1 of each window of an adaptive pool along one axis, torch's rule."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def window_sizes(
    size: int, count: int, kernel: int, stride: int, padding: int, dilation: int = 1
) -> list[tuple[int, int]]:
    """For each window along one axis, how many of its taps lie inside, and how many torch counts.

    It counts padding, but not what a last window of a ceil pool has beyond it.
    """
    windows = []
    for start in range(-padding, count * stride - padding, stride):
        taps = range(start, start + dilation * kernel, dilation)
        counted = sum(tap < size + padding for tap in taps)
        windows.append((sum(0 <= tap < size for tap in taps), counted))
    return windows


def _windows(shape: Shape, kernel: Sequence[int], op: Conv | Pool, ceil: bool) -> Shape:
    axes = zip(shape, kernel, op.stride, op.padding, op.dilation, strict=True)
    return tuple(window_count(n, k, s, p, p, d, ceil) for n, k, s, p, d in axes)


def _conv(op: Conv, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    (shape,) = shapes
    weight = tensors[op.weight].shape
    if len(shape) != len(weight) - 1 or shape[0] != weight[1] * op.groups:
        raise ValueError(f"conv of weight {tuple(weight)}, groups {op.groups} cannot read {shape}")
    return (weight[0], *_windows(shape[1:], weight[2:], op, False))


def _conv_transpose(op: ConvTranspose, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    (shape,) = shapes
    weight = tensors[op.weight].shape
    if len(shape) != len(weight) - 1 or shape[0] != weight[0]:
        raise ValueError(f"transposed conv of weight {tuple(weight)} cannot read {shape}")
    axes = zip(
        shape[1:], weight[2:], op.stride, op.padding, op.output_padding, op.dilation, strict=True
    )
    sizes = ((n - 1) * s - 2 * p + d * (k - 1) + more + 1 for n, k, s, p, more, d in axes)
    return (weight[1] * op.groups, *sizes)


def _dense(op: Dense, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    (shape,) = shapes
    rows, columns = tensors[op.weight].shape
    if not shape or shape[-1] != columns:
        raise ValueError(f"dense of weight {(rows, columns)} cannot read {shape}")
    return (*shape[:-1], rows)


def _pool(op: Pool, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    (shape,) = shapes
    lead = len(shape) - len(op.kernel)
    return (*shape[:lead], *_windows(shape[lead:], op.kernel, op, op.ceil))


def pool_windows(op: Pool, shape: Shape) -> list[list[tuple[int, int]]]:
    """The windows of each axis that is pooled, as ``window_sizes`` gives them."""
    after = _pool(op, (shape,), {})
    settings = (shape, after, op.kernel, op.stride, op.padding, op.dilation)
    rank = len(op.kernel)
    return [window_sizes(*axis) for axis in zip(*(s[-rank:] for s in settings), strict=True)]


def has_empty_window(op: Pool, shape: Shape) -> bool:
    """Whether a window holds nothing but padding; the maximum of none is −∞ in torch."""
    return any(inside == 0 for axis in pool_windows(op, shape) for inside, _ in axis)


def _reshape(op: Reshape, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    (shape,) = shapes
    if math.prod(shape) != math.prod(op.shape):
        raise ValueError(f"{shape} cannot become {op.shape}")
    return op.shape


def _slice(op: Slice, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    shape = list(shapes[0])
    shape[op.axis] = len(range(op.start, op.stop, op.step))
    return tuple(shape)


def _concat(op: Concat, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    shape = list(shapes[0])
    shape[op.axis] = sum(s[op.axis] for s in shapes)
    return tuple(shape)


def _reduce(op: Reduce, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    return tuple(
        1 if axis in op.axes else size
        for axis, size in enumerate(shapes[0])
        if op.keep or axis not in op.axes
    )


def _upsample(op: Upsample, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    (shape,) = shapes
    lead = len(shape) - len(op.factors)
    return (*shape[:lead], *(n * f for n, f in zip(shape[lead:], op.factors, strict=True)))


def _constant(op: Constant, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    return tuple(tensors[op.value].shape) if isinstance(op.value, Ref) else ()


def _scale(op: Scale, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    factor = tensors[op.factor].shape if isinstance(op.factor, Ref) else ()
    return np.broadcast_shapes(shapes[0], factor)


def _same(op: Op, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    return shapes[0]


_RULES: dict[type[Op], Callable[..., Shape]] = {
    Identity: _same,
    Norm: _same,
    Normalise: _same,
    Softmax: _same,
    Repeat: _same,
    OverTime: _same,
    Delay: _same,
    Spiking: _same,
    WholeSpiking: _same,
    Membrane: _same,
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Dense: _dense,
    Pool: _pool,
    Reshape: _reshape,
    Slice: _slice,
    Concat: _concat,
    Reduce: _reduce,
    Upsample: _upsample,
    Constant: _constant,
    Scale: _scale,
    Sparse: lambda op, shapes, tensors: op.shape,
    Broadcast: lambda op, shapes, tensors: op.shape,
    AdaptivePool: lambda op, shapes, tensors: (*shapes[0][: -len(op.size)], *op.size),
    Permute: lambda op, shapes, tensors: tuple(shapes[0][axis] for axis in op.axes),
    Pad: lambda op, shapes, tensors: tuple(
        n + before + after for n, (before, after) in zip(shapes[0], op.widths, strict=True)
    ),
    Elementwise: lambda op, shapes, tensors: np.broadcast_shapes(*shapes),
    MatMul: lambda op, shapes, tensors: (
        *np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]), shapes[0][-2], shapes[1][-1],
    ),
    Argmax: lambda op, shapes, tensors: tuple(
        n for axis, n in enumerate(shapes[0]) if axis != op.axis
    ),
}  # fmt: skip


def output_shape(op: Op, shapes: Sequence[Shape], tensors: Tensors) -> Shape:
    """The feature shape ``op`` yields from arguments of ``shapes``.

    Raises ValueError when the arguments do not fit, and TypeError for an op that has no rule; an
    Input has none, because its shape is what it is declared to be.
    """
    rule = _RULES.get(type(op))
    if rule is None:
        raise TypeError(f"no rule gives the shape of `{type(op).__name__}`")
    return tuple(int(n) for n in rule(op, shapes, tensors))
