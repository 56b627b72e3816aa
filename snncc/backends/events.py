"""Convolutions of few spikes: only what fired is added up, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from snncc.ir.ops import Conv

DENSITY = {64: 0.12, 128: 0.16}
"""For kernels of so many channels or more: the share of spikes below which adding them one by one
takes less time than a dense convolution. Measured with 3 × 3 kernels on one AVX-512 core."""


def few(op: Conv, channels: int, targets: int, values: int) -> int:
    """Of how many spikes among ``values`` ``convolve`` is faster than a dense convolution."""
    shares = [share for least, share in DENSITY.items() if targets >= least]
    if op.groups > 1 or channels % 2 or not shares:
        return 0
    return int(shares[-1] * values)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def convolve(x, pairs, weight, stride, padding, dilation, most, y):
    """Fill ``y`` (B, H', W', D) with the convolution of ``x`` (B, H, W, C), and return True.

    With more than ``most`` spikes return False. ``pairs`` are the bits of two values each, which
    are mostly 0 and faster to compare; ``weight`` is (kh, kw, C, D). Each neuron adds the rows of
    what fired, eight at a time.
    """
    samples, height, width, half = pairs.shape
    channels = 2 * half
    _, out_height, out_width, targets = y.shape
    kernel_height, kernel_width = weight.shape[:2]
    places = height * width
    first = np.empty(samples * places + 1, np.int64)
    fired = np.empty(most + channels + 1, np.int32)
    count = 0
    two, values = pairs.reshape(-1, half), x.reshape(-1, channels)
    for place in range(samples * places):
        first[place] = count
        for k in range(half):
            if two[place, k] != 0:
                fired[count] = 2 * k
                count += values[place, 2 * k] != 0
                fired[count] = 2 * k + 1
                count += values[place, 2 * k + 1] != 0
        if count > most:
            return False
    first[samples * places] = count
    rows = weight.reshape(-1, targets)
    span = kernel_height * kernel_width * channels
    row = np.zeros(span + 8, np.int64)
    value = np.zeros(span + 8, x.dtype)
    for b in range(samples):
        for i in range(out_height):
            for j in range(out_width):
                n = 0
                for di in range(kernel_height):
                    at_i = i * stride[0] - padding[0] + di * dilation[0]
                    if at_i < 0 or at_i >= height:
                        continue
                    for dj in range(kernel_width):
                        at_j = j * stride[1] - padding[1] + dj * dilation[1]
                        if at_j < 0 or at_j >= width:
                            continue
                        place = b * places + at_i * width + at_j
                        base = (di * kernel_width + dj) * channels
                        for k in range(first[place], first[place + 1]):
                            row[n] = base + fired[k]
                            value[n] = values[place, fired[k]]
                            n += 1
                while n % 8:
                    row[n] = 0
                    value[n] = 0
                    n += 1
                total = y[b, i, j]
                total[:] = 0
                for k in range(0, n, 8):
                    a0, a1, a2, a3 = value[k], value[k + 1], value[k + 2], value[k + 3]
                    a4, a5, a6, a7 = value[k + 4], value[k + 5], value[k + 6], value[k + 7]
                    w0, w1 = rows[row[k]], rows[row[k + 1]]
                    w2, w3 = rows[row[k + 2]], rows[row[k + 3]]
                    w4, w5 = rows[row[k + 4]], rows[row[k + 5]]
                    w6, w7 = rows[row[k + 6]], rows[row[k + 7]]
                    for d in range(targets):
                        total[d] += (a0 * w0[d] + a1 * w1[d] + a2 * w2[d] + a3 * w3[d]) + (
                            a4 * w4[d] + a5 * w5[d] + a6 * w6[d] + a7 * w7[d]
                        )
    return True
