"""Every linear op as one matrix, from its flattened argument to its flattened result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
from scipy import sparse
from scipy.sparse import csr_matrix

from snncc.ir.graph import Tensors
from snncc.ir.ops import (
    AdaptivePool,
    Broadcast,
    Conv,
    ConvTranspose,
    Dense,
    Identity,
    Op,
    Pad,
    Permute,
    Pool,
    Reduce,
    Reshape,
    Scale,
    Slice,
    Sparse,
    Upsample,
    is_linear,
)  # fmt: skip
from snncc.ir.shapes import Shape, adaptive_spans, output_shape, window_sizes


def matrix(op: Op, shape: Shape, tensors: Tensors) -> csr_matrix:
    """The float64 matrix M of ``op`` on features of ``shape``: op(x) = M x, both in C order.

    The bias of a Conv or Dense is left out. Zeros are not stored. Raises TypeError for an op that
    is no linear map.
    """
    rule = _RULES.get(type(op))
    if rule is None or not is_linear(op):
        raise TypeError(f"`{type(op).__name__}` is no linear map with a matrix")
    result = csr_matrix(rule(op, shape, tensors), dtype=np.float64)
    result.eliminate_zeros()
    result.sort_indices()
    return result


def compose(chain: Sequence[Op], shape: Shape, tensors: Tensors) -> csr_matrix:
    """The matrix of ``chain``, applied left to right."""
    product = sparse.identity(math.prod(shape), format="csr")
    for op in chain:
        product = matrix(op, shape, tensors) @ product
        shape = output_shape(op, (shape,), tensors)
    product.eliminate_zeros()
    product.sort_indices()
    return product


def _select(index: np.ndarray, size: int) -> csr_matrix:
    """Row i reads column index[i] of ``size``, or nothing where that is −1."""
    columns = index.ravel()
    rows = np.flatnonzero(columns >= 0)
    return csr_matrix((np.ones(len(rows)), (rows, columns[rows])), shape=(len(columns), size))


def _positions(shape: Shape) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


def _by_axis(shape: Shape, maps: dict[int, csr_matrix]) -> csr_matrix:
    """The map that acts on the axes of ``shape`` one by one, as an identity where none is given."""
    parts = [maps.get(axis, sparse.identity(size)) for axis, size in enumerate(shape)]
    return reduce(lambda a, b: sparse.kron(a, b, format="csr"), parts, sparse.identity(1))


def _tap(size: int, count: int, start: int, stride: int) -> csr_matrix:
    """Output i reads position start + i·stride, or nothing outside the axis."""
    at = start + np.arange(count) * stride
    return _select(np.where((at >= 0) & (at < size), at, -1), size)


def _conv(op: Conv, shape: Shape, tensors: Tensors) -> csr_matrix:
    return _correlation(op, shape, output_shape(op, (shape,), tensors), tensors)


def _correlation(op: Conv, shape: Shape, after: Shape, tensors: Tensors) -> csr_matrix:
    """An entry for each weight and each pair of positions it joins, all put together once."""
    weight = tensors[op.weight]
    many, each = weight.shape[:2]
    taps_last = weight.reshape(many * each, -1)
    target = np.repeat(np.arange(many), each)
    source = np.tile(np.arange(each), many) + target // (many // op.groups) * each
    rows, columns, values = [], [], []
    for i, at in enumerate(itertools.product(*map(range, weight.shape[2:]))):
        reads = [
            k * d - p + np.arange(m) * s
            for m, k, d, p, s in zip(after[1:], at, op.dilation, op.padding, op.stride, strict=True)
        ]
        inside = [(read >= 0) & (read < n) for read, n in zip(reads, shape[1:], strict=True)]
        there = np.ix_(*map(np.flatnonzero, inside))
        here = np.ix_(*(read[kept] for read, kept in zip(reads, inside, strict=True)))
        to = np.ravel_multi_index(there, after[1:]).ravel()
        by = np.ravel_multi_index(here, shape[1:]).ravel()
        rows.append((target[:, None] * math.prod(after[1:]) + to).ravel())
        columns.append((source[:, None] * math.prod(shape[1:]) + by).ravel())
        values.append(np.repeat(taps_last[:, i], len(to)))
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return csr_matrix(entries, shape=(math.prod(after), math.prod(shape)))


def _conv_transpose(op: ConvTranspose, shape: Shape, tensors: Tensors) -> csr_matrix:
    """The transpose of the Conv from the output to the input."""
    after = output_shape(op, (shape,), tensors)
    conv = Conv(op.weight, None, op.stride, op.padding, op.dilation, op.groups)
    back = _correlation(conv, after, shape, tensors)
    return back.T


def _pool(op: Pool, shape: Shape, tensors: Tensors) -> csr_matrix:
    after = output_shape(op, (shape,), tensors)
    first = len(shape) - len(op.kernel)
    maps: dict[int, csr_matrix] = {}
    settings = zip(op.kernel, op.stride, op.padding, op.dilation, strict=True)
    for axis, (kernel, stride, padding, dilation) in enumerate(settings, first):
        size, count = shape[axis], after[axis]
        windows = sum(_tap(size, count, k * dilation - padding, stride) for k in range(kernel))
        if op.kind == "average":
            sizes = window_sizes(size, count, kernel, stride, padding)
            divisors = [counted if op.count_padding else inside for inside, counted in sizes]
            windows = sparse.diags(1 / np.array(divisors)) @ windows
        maps[axis] = csr_matrix(windows)
    return _by_axis(shape, maps)


def _adaptive(op: AdaptivePool, shape: Shape, tensors: Tensors) -> csr_matrix:
    maps: dict[int, csr_matrix] = {}
    for axis, count in enumerate(op.size, len(shape) - len(op.size)):
        rows = np.zeros((count, shape[axis]))
        for row, (first, last) in zip(rows, adaptive_spans(shape[axis], count), strict=True):
            row[first:last] = 1.0 if op.kind == "sum" else 1 / (last - first)
        maps[axis] = csr_matrix(rows)
    return _by_axis(shape, maps)


def _reduce(op: Reduce, shape: Shape, tensors: Tensors) -> csr_matrix:
    weight = {axis: 1 / shape[axis] if op.kind == "mean" else 1.0 for axis in op.axes}
    return _by_axis(
        shape, {axis: csr_matrix(np.full((1, shape[axis]), w)) for axis, w in weight.items()}
    )


def _scale(op: Scale, shape: Shape, tensors: Tensors) -> csr_matrix:
    after = output_shape(op, (shape,), tensors)
    factor = np.asarray(tensors[op.factor] if isinstance(op.factor, str) else op.factor, np.float64)
    diagonal = sparse.diags(np.broadcast_to(factor, after).ravel(), format="csr")
    return diagonal @ _select(np.broadcast_to(_positions(shape), after), math.prod(shape))


def _slice(op: Slice, shape: Shape, tensors: Tensors) -> csr_matrix:
    index = [slice(None)] * op.axis + [slice(op.start, op.stop, op.step)]
    return _select(_positions(shape)[tuple(index)], math.prod(shape))


def _upsample(op: Upsample, shape: Shape, tensors: Tensors) -> csr_matrix:
    index = _positions(shape)
    for axis, factor in enumerate(op.factors, len(shape) - len(op.factors)):
        index = index.repeat(factor, axis)
    return _select(index, math.prod(shape))


def _sparse(op: Sparse, shape: Shape, tensors: Tensors) -> csr_matrix:
    size = (math.prod(op.shape), math.prod(shape))
    parts = (tensors[op.data], tensors[op.indices], tensors[op.indptr])
    return csr_matrix(parts, shape=size, copy=True)  # to drop zeros in place


_RULES: dict[type[Op], Callable[..., csr_matrix]] = {
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Dense: lambda op, shape, tensors: _by_axis(
        shape, {len(shape) - 1: csr_matrix(tensors[op.weight])}
    ),
    Sparse: _sparse,
    Pool: _pool,
    AdaptivePool: _adaptive,
    Reduce: _reduce,
    Scale: _scale,
    Slice: _slice,
    Upsample: _upsample,
    Identity: lambda op, shape, tensors: sparse.identity(math.prod(shape)),
    Reshape: lambda op, shape, tensors: sparse.identity(math.prod(shape)),
    Permute: lambda op, shape, tensors: _select(
        _positions(shape).transpose(op.axes), math.prod(shape)
    ),
    Broadcast: lambda op, shape, tensors: _select(
        np.broadcast_to(_positions(shape), op.shape), math.prod(shape)
    ),
    Pad: lambda op, shape, tensors: _select(
        np.pad(_positions(shape), op.widths, constant_values=-1), math.prod(shape)
    ),
}
