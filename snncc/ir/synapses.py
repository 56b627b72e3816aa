"""Which source neuron reaches which target through a chain of linear maps, by structure alone.

A weight that happens to be zero is a synapse like any other; a window that hangs over the border
has no synapse there. Nearly every map acts on each axis by itself, so the connections of a whole
chain are a Kronecker product of one small matrix an axis, and no matrix of all synapses is built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from scipy import sparse

from snncc.ir.graph import Tensors
from snncc.ir.ops import (
    LINEAR,
    AdaptivePool,
    Broadcast,
    Conv,
    ConvTranspose,
    Dense,
    Identity,
    Norm,
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
)  # fmt: skip
from snncc.ir.shapes import Shape, adaptive_spans, output_shape

Matrix = Any
"""A sparse 0-1 matrix in CSR form (scipy has no types)."""

_csr = sparse.csr_array


def fan_out(chain: Sequence[Op], shape: Shape, tensors: Tensors) -> np.ndarray:
    """How many targets each source neuron reaches; an int64 array of ``shape``.

    ``chain`` is applied left to right to a source of ``shape``. A path through two maps counts
    once for each target it reaches, however many ways lead there.
    """
    first, *more = segments = _segments(chain, shape, tensors)
    if isinstance(first, _Segment) and not more:
        return first.fan_out()
    whole = reduce(lambda path, then: _some(then @ path), (s.matrix() for s in segments))
    return np.asarray(whole.sum(0), dtype=np.int64).reshape(shape)


def synapses(chain: Sequence[Op], shape: Shape, tensors: Tensors) -> int:
    """The number of connections of a chain."""
    return int(fan_out(chain, shape, tensors).sum())


@dataclass(frozen=True)
class Reach:
    """Who reaches whom, by classes of neurons with the same connections.

    The channels of a convolution's input are one class a position, those of its output another,
    so that ``between`` (target classes, source classes), sparse 0-1, stays small. ``sources`` and
    ``targets`` give the class of each neuron, int32, in the order of the flat place. ``axes`` says
    for each axis of the target how its positions (rows) hang on the source, sparse 0-1; it is None
    where the axes cannot be told apart.
    """

    sources: np.ndarray
    targets: np.ndarray
    between: Matrix
    axes: tuple[Matrix, ...] | None = None

    def arrivals(self, spikes: np.ndarray) -> np.ndarray:
        """What arrives at each flat target if each flat source sends so many ``spikes``; floats."""
        sent = np.bincount(self.sources, spikes, self.between.shape[1])
        received: np.ndarray = (self.between @ sent)[self.targets]
        return received

    def per_part(self, parts: np.ndarray, count: int) -> Matrix:
        """Synapses (source classes, ``count``) by the part, 0 … count − 1, each target is in."""
        targets = self.targets
        ones = np.ones(len(targets), np.int64)
        members = _csr((ones, (targets, parts.ravel())), shape=(self.between.shape[0], count))
        return _csr(self.between.T @ members)


def reach(chain: Sequence[Op], shape: Shape, tensors: Tensors) -> Reach:
    """The connections of ``chain`` from a source of ``shape``."""
    first, *more = segments = _segments(chain, shape, tensors)
    if isinstance(first, _Segment) and not more:
        return first.classes()
    whole = _csr(reduce(lambda path, then: _some(then @ path), (s.matrix() for s in segments)))
    rows, columns = (np.arange(n, dtype=np.int32) for n in whole.shape)
    return Reach(columns, rows, whole)


@dataclass(frozen=True)
class _Block:
    """Connections (rows, columns) from the product of some axes of the source."""

    reach: Matrix
    sources: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.reach.shape[0])

    def then(self, reach: Matrix) -> _Block:
        return _Block(_some(reach @ self.reach), self.sources)


@dataclass
class _Segment:
    """A part of a chain as a Kronecker product, built up op by op.

    Each axis of the output is a product of blocks. A block of one row belongs to no axis.
    """

    shape: Shape
    axes: list[list[_Block]] = field(default_factory=list)
    loose: list[_Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.axes = [[_Block(_eye(n), (axis,))] for axis, n in enumerate(self.shape)]

    def pass_through(self, axis: int, reach: Matrix) -> None:
        """Connect one axis anew."""
        self.axes[axis] = [_joined(self.axes[axis]).then(reach)]

    def connect_all(self, axis: int, rows: int) -> None:
        """Every position of an axis reaches each of ``rows`` new ones."""
        self.loose += [block.then(_ones(1, block.rows)) for block in self.axes[axis]]
        self.axes[axis] = [_Block(_ones(rows, 1))]

    def reshape(self, shape: Shape) -> bool:
        """Deal the blocks out anew; False where an axis would have to be cut inside a block."""
        blocks = [block for axis in self.axes for block in axis if block.rows != 1]
        axes: list[list[_Block]] = []
        for size in shape:
            taken: list[_Block] = []
            while blocks and math.prod(block.rows for block in taken) < size:
                taken.append(blocks.pop(0))
            if math.prod(block.rows for block in taken) != size:
                return False
            axes.append(taken)
        self.loose += [block for axis in self.axes for block in axis if block.rows == 1]
        self.axes = axes
        return True

    @property
    def blocks(self) -> list[_Block]:
        return [*(block for axis in self.axes for block in axis), *self.loose]

    def fan_out(self) -> np.ndarray:
        counts, order = np.ones((), np.int64), list[int]()
        for block in self.blocks:
            per_column = np.asarray(block.reach.sum(0), dtype=np.int64)
            sizes = [self.shape[axis] for axis in block.sources]
            counts = np.multiply.outer(counts, per_column.reshape(sizes))
            order += block.sources
        return np.ascontiguousarray(counts.transpose(np.argsort(order)))

    def classes(self) -> Reach:
        """All connections, equal rows and equal columns of each block taken together."""
        between, order = _ones(1, 1), list[int]()
        sources: np.ndarray = np.zeros((), np.int32)
        targets: np.ndarray = np.zeros(1, np.int32)
        for block in self.blocks:
            rows, row = _alike(block.reach)
            columns, column = _alike(_csr(block.reach[rows].T))
            between = _kron(between, _csr(block.reach[rows][:, columns]))
            targets = np.add.outer(targets * len(rows), row).ravel()
            sizes = [self.shape[axis] for axis in block.sources]
            sources = np.add.outer(sources * len(columns), column.reshape(sizes))
            order += block.sources
        sources = sources.transpose(np.argsort(order)).ravel()
        axes = tuple(_joined(axis).reach for axis in self.axes)
        return Reach(sources.astype(np.int32), targets.astype(np.int32), between, axes)

    def matrix(self) -> Matrix:
        """All connections, from the flat source to the flat output."""
        whole = _joined(self.blocks)
        order = whole.sources
        columns = np.arange(math.prod(self.shape)).reshape([self.shape[axis] for axis in order])
        return whole.reach[:, columns.transpose(np.argsort(order)).ravel()]


def _segments(chain: Sequence[Op], shape: Shape, tensors: Tensors) -> list[_Segment | _Explicit]:
    segments: list[_Segment | _Explicit] = []
    now = _Segment(shape)
    for op in chain:
        if not isinstance(op, LINEAR):
            raise _unknown(op)
        after = output_shape(op, (shape,), tensors)
        if isinstance(op, Sparse):
            segments += [now, _Explicit(op, math.prod(shape), tensors)]
            now = _Segment(after)
        elif not _extend(now, op, shape, after, tensors):
            segments.append(now)
            now = _Segment(after)
        shape = after
    return [*segments, now]


@dataclass(frozen=True)
class _Explicit:
    """A sparse map, which lists its synapses."""

    op: Sparse
    columns: int
    tensors: Tensors

    def matrix(self) -> Matrix:
        indices, indptr = self.tensors[self.op.indices], self.tensors[self.op.indptr]
        stored = np.ones(len(indices), np.int64)
        return _some(_csr((stored, indices, indptr), (math.prod(self.op.shape), self.columns)))


def _extend(now: _Segment, op: Op, shape: Shape, after: Shape, tensors: Tensors) -> bool:
    """Put ``op`` behind a segment; False where that takes a new one.

    Raises TypeError for an op that is no linear map.
    """
    match op:
        case Conv():
            _convolve(now, op, tensors[op.weight].shape, shape, after)
        case ConvTranspose():
            _convolve_back(now, op, tensors[op.weight].shape, shape, after)
        case Dense():
            now.connect_all(len(shape) - 1, after[-1])
        case Pool():
            lead = len(shape) - len(op.kernel)
            settings = zip(op.kernel, op.stride, op.padding, op.dilation, strict=True)
            for axis, window in enumerate(settings, lead):
                now.pass_through(axis, _windows(shape[axis], after[axis], *window))
        case AdaptivePool():
            for axis in range(len(shape) - len(op.size), len(shape)):
                now.pass_through(axis, _adaptive_windows(shape[axis], after[axis]))
        case Reduce():
            for axis in op.axes:
                now.connect_all(axis, 1)
            if not op.keep:
                now.loose += [block for axis in op.axes for block in now.axes[axis]]
                now.axes = [a for axis, a in enumerate(now.axes) if axis not in op.axes]
        case Permute():
            now.axes = [now.axes[axis] for axis in op.axes]
        case Pad():
            for axis, (before, _) in enumerate(op.widths):
                now.pass_through(axis, _select(np.arange(after[axis]) - before, shape[axis]))
        case Slice():
            now.pass_through(
                op.axis, _select(np.arange(op.start, op.stop, op.step), shape[op.axis])
            )
        case Upsample():
            for axis, factor in enumerate(op.factors, len(shape) - len(op.factors)):
                now.pass_through(axis, _select(np.arange(after[axis]) // factor, shape[axis]))
        case Broadcast() | Scale():
            now.axes = [[] for _ in after[len(shape) :]] + now.axes
            for axis, size in enumerate(after):
                if size != math.prod(block.rows for block in now.axes[axis]):
                    now.connect_all(axis, size)
        case Reshape():
            return now.reshape(after)
        case Identity() | Norm():
            pass
        case _:
            raise _unknown(op)
    return True


def _unknown(op: Op) -> TypeError:
    return TypeError(f"`{type(op).__name__}` is no linear map whose synapses are known")


def _convolve(now: _Segment, op: Conv, weight: Shape, shape: Shape, after: Shape) -> None:
    if op.groups == 1:
        now.connect_all(0, weight[0])
    else:
        group = _ones(weight[0] // op.groups, weight[1])
        now.pass_through(0, _kron(_eye(op.groups), group))
    settings = zip(weight[2:], op.stride, op.padding, op.dilation, strict=True)
    for axis, window in enumerate(settings, 1):
        now.pass_through(axis, _windows(shape[axis], after[axis], *window))


def _convolve_back(
    now: _Segment, op: ConvTranspose, weight: Shape, shape: Shape, after: Shape
) -> None:
    if op.groups == 1:
        now.connect_all(0, weight[1])
    else:
        group = _ones(weight[1], weight[0] // op.groups)
        now.pass_through(0, _kron(_eye(op.groups), group))
    settings = zip(weight[2:], op.stride, op.padding, op.dilation, strict=True)
    for axis, window in enumerate(settings, 1):
        now.pass_through(axis, _csr(_windows(after[axis], shape[axis], *window).T))


def _windows(size: int, count: int, kernel: int, stride: int, pad: int, dilation: int) -> Matrix:
    """Windows (rows) over an axis; what lies outside it connects to nothing."""
    starts = np.arange(count)[:, None] * stride - pad
    positions = starts + np.arange(kernel)[None, :] * dilation
    rows = np.broadcast_to(np.arange(count)[:, None], positions.shape)
    inside = (positions >= 0) & (positions < size)
    return _at(rows[inside], positions[inside], (count, size))


def _adaptive_windows(size: int, count: int) -> Matrix:
    spans = [range(*span) for span in adaptive_spans(size, count)]
    rows = np.repeat(np.arange(count), [len(span) for span in spans])
    return _at(rows, np.concatenate([np.asarray(span) for span in spans]), (count, size))


def _select(positions: np.ndarray, size: int) -> Matrix:
    """Row i reads position i of the list, or nothing where that is outside."""
    inside = (positions >= 0) & (positions < size)
    return _at(np.nonzero(inside)[0], positions[inside], (len(positions), size))


def _at(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> Matrix:
    return _csr((np.ones(len(rows), np.int64), (rows, columns)), shape=shape)


def _eye(size: int) -> Matrix:
    return _csr(sparse.eye_array(size, dtype=np.int64, format="csr"))


def _ones(rows: int, columns: int) -> Matrix:
    return _csr(np.ones((rows, columns), np.int64))


def _some(matrix: Matrix) -> Matrix:
    """Connected or not, however often."""
    matrix.sum_duplicates()
    matrix.data = (matrix.data != 0).astype(np.int64)
    return matrix


def _kron(first: Matrix, second: Matrix) -> Matrix:
    return _csr(sparse.kron(first, second, format="csr"))


def _alike(matrix: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """One row of each kind, and the kind of every row."""
    matrix.sort_indices()
    known: dict[bytes, int] = {}
    ends = zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)
    kinds = [known.setdefault(matrix.indices[a:b].tobytes(), len(known)) for a, b in ends]
    kind = np.asarray(kinds, np.int32)
    return np.unique(kind, return_index=True)[1], kind


def _joined(blocks: Sequence[_Block]) -> _Block:
    if not blocks:
        return _Block(_ones(1, 1))
    sources = tuple(axis for block in blocks for axis in block.sources)
    return _Block(reduce(_kron, (block.reach for block in blocks)), sources)
