"""Memory that one run leaves to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Workspace:
    """Arrays by name, for one run at a time; what a run returns is never one of them."""

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
            flat = self._arrays[name] = np.empty(size, dtype)
            self.bytes += flat.nbytes
        return flat[:size].reshape(shape)
