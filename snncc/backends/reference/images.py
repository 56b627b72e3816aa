"""The convolution of an image: few channels, and a norm after it, in one compiled pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snncc.backends.reference.vectors import BLOCKS, in_rows, summing
from snncc.backends.reference.workspace import Workspace
from snncc.compiled import compiled
from snncc.ir.graph import Tensors
from snncc.ir.ops import Conv, Norm, Op
from snncc.ir.shapes import Shape, output_shape

TAPS = 160
"""Weights of a target beyond which a convolution made for many channels takes less time."""


@dataclass(frozen=True, eq=False)
class Filter:
    """A convolution in rows, and ``numbers`` (2, D): what its sums are multiplied by and added to.

    ``shape`` (H, W, C) is what it reads, ``yields`` (H', W', D); ``window`` are stride and padding.
    """

    kernel: NDArray[np.float32]
    numbers: NDArray[np.float32]
    shape: Shape
    yields: Shape
    window: tuple[int, int, int, int]

    def __call__(
        self, images: NDArray[np.floating], work: Workspace, name: str
    ) -> NDArray[np.float32]:
        """The currents (N, H', W', D) of images (N, C, H, W), in an array of the workspace."""
        height, width, channels = self.shape
        _, _, top, left = self.window
        count = len(images)
        shape = (count, height + 2 * top, width + 2 * left, channels)
        padded = work.array("padded images", shape, np.float32)
        padded[...] = 0
        padded[:, top : top + height, left : left + width] = images.transpose(0, 2, 3, 1)
        y = work.array(name, (count, *self.yields), np.float32)
        _filter(padded, self.kernel, self.window[:2], self.numbers, y)
        return y


def filter_of(ops: Sequence[Op], shape: Shape, tensors: Tensors) -> Filter | None:
    """A convolution of images (C, H, W), maybe with norms, that takes less time so; else None."""
    match ops:
        case [Conv() as conv, *rest] if all(isinstance(op, Norm) for op in rest):
            norms = [op for op in rest if isinstance(op, Norm)]
        case _:
            return None
    weight = np.asarray(tensors[conv.weight], np.float64)
    fits = weight.ndim == 4 and conv.groups == 1 and set(conv.dilation) == {1}
    if not fits or math.prod(weight.shape[1:]) > TAPS or len(weight) % BLOCKS[-1]:
        return None
    scale, shift = np.ones(len(weight)), np.zeros(len(weight))
    if conv.bias is not None:
        shift += tensors[conv.bias]
    for norm in norms:
        variance = np.asarray(tensors[norm.variance], np.float64)
        root = (
            np.sqrt(variance) + norm.epsilon if norm.outside else np.sqrt(variance + norm.epsilon)
        )
        factor = (1 if norm.scale is None else tensors[norm.scale]) / root
        scale, shift = scale * factor, (shift - tensors[norm.mean]) * factor
        if norm.shift is not None:
            shift = shift + tensors[norm.shift]
    targets, height, width = output_shape(conv, (shape,), tensors)
    numbers = np.stack([scale, shift]).astype(np.float32)
    (down, right), (top, left) = conv.stride, conv.padding
    return Filter(
        in_rows(weight), numbers, (*shape[1:], shape[0]), (height, width, targets),
        (down, right, top, left),
    )  # fmt: skip


_add_four, _add_two, _add_one = (summing(block, chosen=False) for block in BLOCKS)


@compiled(nogil=True, error_model="numpy", fastmath={"contract"})
def _filter(images, kernel, stride, numbers, y):
    """Fill ``y`` (N, H', W', D) from padded ``images`` (N, H, W, C)."""
    count, height, width, channels = images.shape
    _, out_height, out_width, targets = y.shape
    blocks, kernel_height, span, block = kernel.shape
    values, rows, total = images.reshape(-1), kernel.reshape(-1), y.reshape(-1)
    scale, shift = numbers[0], numbers[1]
    for n in range(count):
        for i in range(out_height):
            line = (n * out_height + i) * out_width * targets
            total[line : line + out_width * targets] = 0
            for j in range(out_width):
                here = line + j * targets
                for at in range(blocks):
                    into = here + at * block
                    for di in range(kernel_height):
                        base = (at * kernel_height + di) * span * block
                        start = (
                            (n * height + i * stride[0] + di) * width + j * stride[1]
                        ) * channels
                        stop = start + span
                        if block == 64:
                            _add_four(rows, base, values, start, stop, total, into)
                        elif block == 32:
                            _add_two(rows, base, values, start, stop, total, into)
                        else:
                            _add_one(rows, base, values, start, stop, total, into)
                for d in range(targets):
                    total[here + d] = total[here + d] * scale[d] + shift[d]
