"""Few spikes as lists of what fired, and linear maps that only add up what the lists name.

A spike is 0 or 1, so that a sum over synapses needs no multiplication: a convolution adds the rows
of its kernel that belong to what fired. The inner loops are compiled by numba.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snncc.backends.reference.vectors import BLOCKS, LANES, bits, fetch, in_rows, lowest, summing
from snncc.backends.reference.workspace import Workspace
from snncc.compiled import compiled
from snncc.ir.graph import Tensors
from snncc.ir.ops import Conv, Dense, Op, Pool, Reshape
from snncc.ir.shapes import Shape, output_shape

DENSITY = 0.35
"""The share of spikes below which adding them one by one takes less time than a dense convolution.
Measured on one AVX-512 core, with 16 to 256 channels: it is even at 0.35 to 0.6."""

NARROWEST = 16
"""Fewer channels than these take longer to list than to compute with."""

_jit = compiled(nogil=True, error_model="numpy")


@dataclass(frozen=True, eq=False)
class Events:
    """Which values of (B, H, W, C) are 1.

    Those at position p, counted through (B, H, W), are ``fired[first[p] : first[p + 1]]``, each by
    its place in its line (W, C). Numbers may repeat and then count as often.
    """

    first: NDArray[np.int32]
    fired: NDArray[np.int32]
    shape: tuple[int, int, int, int]

    @property
    def count(self) -> int:
        return int(self.first[-1])


def listed(
    values: NDArray[Any], frames: int, shape: Shape, most: int, work: Workspace, name: str
) -> Events | None:
    """The spikes ``values``, flat, in frames of ``shape`` (H, W, C); None if above ``most``."""
    height, width, channels = shape
    first = work.array(f"first of {name}", (frames * height * width + 1,), np.int32)
    fired = work.array(f"fired of {name}", (most + channels,), np.int32)
    fits = _list(values, width, channels, most, first, fired)
    return Events(first, fired, (frames, height, width, channels)) if fits else None


@dataclass(frozen=True, eq=False)
class Additions:
    """The beginning of a projection's map as additions: a kernel, maybe with a pool before it.

    ``shape`` and ``pooled`` are (H, W, C) before and after the pool; it ``yields`` features
    (D, H, W) or (D,). ``weight`` (D, C, kh, kw) has been divided by what the pool divides by;
    ``window`` are stride, padding and dilation of the kernel; ``rest`` is what is left of the map.
    """

    shape: Shape
    pool: Pool | None
    pooled: Shape
    weight: NDArray[np.floating]
    window: tuple[int, ...]
    yields: Shape
    rest: tuple[Op, ...]

    @cached_property
    def kernel(self) -> NDArray[np.float32]:
        return in_rows(self.weight)

    @cached_property
    def _inputs(self) -> int:
        return math.prod(self.pooled)

    def most(self, frames: int) -> int:
        """How many spikes in so many frames are few."""
        return int(DENSITY * frames * self._inputs)

    def __call__(self, events: Events, work: Workspace, name: str) -> NDArray[np.float32] | None:
        """The sums (B, H, W, D) in an array of the workspace; None where spikes are too many."""
        frames = events.shape[0]
        most = self.most(frames)
        if self.pool is not None and events.count <= most:
            events = self._pooled(self.pool, events, work)
        if events.count > most:
            return None
        height, width, targets = _last(self.yields)
        whole = self.kernel.shape[0] * self.kernel.shape[3]
        y = work.array(name, (frames, height, width, whole), np.float32)
        _convolve(events.first, events.fired, events.shape[1:], self.kernel, self.window, y)
        if whole == targets:
            return y
        some = work.array(f"{name}, some", (frames, height, width, targets), np.float32)
        some[...] = y[..., :targets]
        return some

    def _pooled(self, pool: Pool, events: Events, work: Workspace) -> Events:
        """The lists of all positions of a window as one."""
        height, width, channels = self.pooled
        shape = (events.shape[0], height, width, channels)
        alone = pool.dilation == (1, 1) and all(
            k <= s for k, s in zip(pool.kernel, pool.stride, strict=True)
        )
        copies = 1 if alone else math.prod(pool.kernel)
        first = work.array("first of windows", (math.prod(shape[:3]) + 1,), np.int32)
        fired = work.array("fired of windows", (events.count * copies,), np.int32)
        _join(events.first, events.fired, events.shape, shape, _window(pool), first, fired)
        return Events(first, fired, shape)


@dataclass(frozen=True, eq=False)
class Windows:
    """A pool that begins a projection's map, from (H, W, C); it ``yields`` features (C, H', W')."""

    shape: Shape
    pool: Pool
    yields: Shape

    def __call__(self, spikes: NDArray[Any], work: Workspace, name: str) -> NDArray[np.float32]:
        """The sums or averages (B, H', W', C) of spikes (B, H, W, C), in the workspace."""
        y = work.array(name, (len(spikes), *_last(self.yields)), np.float32)
        _sum_windows(spikes, _window(self.pool), np.float32(_divisor(self.pool)), y)
        return y


def windows(map: Sequence[Op], shape: Shape, tensors: Tensors) -> Windows | None:
    """The pool that begins the map of a projection from spikes (C, H, W), where it counts."""
    if not map or len(shape) != 3 or not isinstance(map[0], Pool) or not _counts(map[0]):
        return None
    return Windows(_last(shape), map[0], output_shape(map[0], (shape,), tensors))


def additions(map: Sequence[Op], shape: Shape, tensors: Tensors) -> Additions | None:
    """What begins the map of a projection from spikes (C, H, W) or (C,), where it can be added up.

    That is a two-dimensional convolution without groups or a dense map of all there is, maybe with
    a pool before it.
    """
    if len(shape) not in (1, 3) or shape[0] < NARROWEST:
        return None
    before, ops, pool = shape, list(map), None
    if (first := windows(map, shape, tensors)) is not None:
        shape, pool = first.yields, first.pool
        ops.pop(0)
    window: tuple[int, ...] = (1, 1, 0, 0, 1, 1)
    match ops:
        case [Conv(weight=ref, groups=1) as conv, *rest] if tensors[ref].ndim == 4:
            weight = tensors[ref]
            window = (*conv.stride, *conv.padding, *conv.dilation)
            yields = output_shape(conv, (shape,), tensors)
        case [Reshape() as flat, Dense(weight=ref), *rest] if len(flat.shape) == 1:
            weight = tensors[ref].reshape(-1, *shape[:1], *(shape[1:] or (1, 1)))
            yields = (len(weight),)
        case [Dense(weight=ref), *rest] if len(shape) == 1:
            weight = tensors[ref][..., None, None]
            yields = (len(weight),)
        case _:
            return None
    if pool is not None:
        weight = weight / _divisor(pool)
    return Additions(_last(before), pool, _last(shape), weight, window, yields, tuple(rest))


def _counts(pool: Pool) -> bool:
    """Whether windows of spikes are counted, and all divided by the same number."""
    alike = not pool.ceil and (pool.count_padding or not any(pool.padding))
    flat = len(pool.kernel) == 2
    return flat and (pool.kind == "sum" or (pool.kind == "average" and alike))


def _divisor(pool: Pool) -> int:
    return math.prod(pool.kernel) if pool.kind == "average" else 1


def _window(pool: Pool) -> tuple[int, ...]:
    return (*pool.kernel, *pool.stride, *pool.padding, *pool.dilation)


def _last(shape: Shape) -> Shape:
    """(C, H, W) or (C,) with the channels last."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else (1, 1, *shape)


# -- inner loops -------------------------------------------------------------------------------


@_jit
def _list(values, width, channels, most, first, fired):
    """Fill the lists of ``values``, flat (…, width, channels); False where they are too long."""
    size, count = values.size, 0
    for position in range(size // channels):
        first[position] = count
        here = position % width * channels
        for c in range(0, channels, 64):
            at, left = position * channels + c, channels - c
            word = np.uint64(0)
            if at + 64 <= size:
                word = bits(values, at)
                if left < 64:
                    word &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
            else:
                for k in range(left):
                    word |= np.uint64(values[at + k] != 0) << np.uint64(k)
            while word:
                fired[count] = here + c + lowest(word)
                count += 1
                word &= word - np.uint64(1)
        if count > most:
            return False
    first[size // channels] = count
    return True


@_jit
def _join(first, fired, before, after, window, first_after, fired_after):
    """Join the lists of all positions of a window; shapes are (B, H, W, C)."""
    frames, height, width, channels = before
    _, out_height, out_width, _ = after
    kernel_height, kernel_width, down, right, top, left, step_down, step_right = window
    position = count = 0
    for b in range(frames):
        for i in range(out_height):
            for j in range(out_width):
                first_after[position] = count
                position += 1
                for di in range(kernel_height):
                    at_i = i * down - top + di * step_down
                    if at_i < 0 or at_i >= height:
                        continue
                    for dj in range(kernel_width):
                        at_j = j * right - left + dj * step_right
                        if at_j < 0 or at_j >= width:
                            continue
                        here = (b * height + at_i) * width + at_j
                        shift = (j - at_j) * channels
                        for k in range(first[here], first[here + 1]):
                            fired_after[count] = fired[k] + shift
                            count += 1
    first_after[position] = count


@_jit
def _sum_windows(x, window, divisor, y):
    """Fill ``y`` (B, H', W', C) with sums over windows of ``x`` (B, H, W, C)."""
    frames, height, width, channels = x.shape
    _, out_height, out_width, _ = y.shape
    kernel_height, kernel_width, down, right, top, left, step_down, step_right = window
    for b in range(frames):
        for i in range(out_height):
            for j in range(out_width):
                total = y[b, i, j]
                total[:] = 0
                for di in range(kernel_height):
                    at_i = i * down - top + di * step_down
                    if at_i < 0 or at_i >= height:
                        continue
                    for dj in range(kernel_width):
                        at_j = j * right - left + dj * step_right
                        if at_j >= 0 and at_j < width:
                            here = x[b, at_i, at_j]
                            for c in range(channels):
                                total[c] += here[c]
                if divisor != 1:
                    for c in range(channels):
                        total[c] /= divisor


_add_four, _add_two, _add_one = (summing(block, chosen=True) for block in BLOCKS)


@_jit
def _convolve(first, fired, shape, kernel, window, y):
    """Fill ``y`` (B, H', W', D) with the convolution of lists in frames of ``shape`` (H, W, C).

    A block of targets and a row of the kernel at a time, which are fetched in order and stay near:
    what the positions under a row of the kernel have fired lies in one piece.
    """
    height, width, channels = shape
    frames, out_height, out_width, targets = y.shape
    blocks, kernel_height, span, block = kernel.shape
    down, right, top, left, step_down, step_right = window
    kernel_width = span // channels
    joined = kernel_width if step_right == 1 else 1
    rows, total = kernel.reshape(-1), y.reshape(-1)
    total[:] = 0
    for part in range(blocks):
        for di in range(kernel_height):
            slab = (part * kernel_height + di) * span
            if out_height * out_width > 1:
                for k in range(slab * block, (slab + span) * block, LANES):
                    fetch(rows, k)
            at = part * block
            for b in range(frames):
                for i in range(out_height):
                    at_i = i * down - top + di * step_down
                    if at_i < 0 or at_i >= height:
                        at += out_width * targets
                        continue
                    line = (b * height + at_i) * width
                    for j in range(out_width):
                        for dj in range(0, kernel_width, joined):
                            at_j = j * right - left + dj * step_right
                            begin, end = max(at_j, 0), min(at_j + joined, width)
                            if begin < end:
                                base = (slab + (dj - at_j) * channels) * block
                                start, stop = first[line + begin], first[line + end]
                                if block == 64:
                                    _add_four(rows, base, fired, start, stop, total, at)
                                elif block == 32:
                                    _add_two(rows, base, fired, start, stop, total, at)
                                else:
                                    _add_one(rows, base, fired, start, stop, total, at)
                        at += targets
