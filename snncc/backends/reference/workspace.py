"""Memory that one run leaves to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE = 64
"""Bytes of a line of the cache; a vector that lies across two takes twice as long to read."""


def aligned(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """An array with anything in it that begins where a line of the cache does."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)


class Workspace:
    """Arrays by name, for one run at a time; what a run returns is never one of them.

    All begin where a line of the cache does: a product of matrices may round otherwise elsewhere.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}
        self.bytes = 0

    def array(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """An array with anything in it. A name has one dtype and, until it is asked for again,
        one content."""
        size = math.prod(shape)
        flat = self._arrays.get(name)
        if flat is None or len(flat) < size:
            self.bytes -= 0 if flat is None else flat.nbytes
            flat = self._arrays[name] = aligned((size,), dtype)
            self.bytes += flat.nbytes
        return flat[:size].reshape(shape)
