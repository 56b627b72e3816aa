"""What the values of recordings may be, checked block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snncc.diagnostics import Finding, refuse
from snncc.frontends.data.recordings import Array, Stored
from snncc.options import InputKind

CHECKED = 8 << 20
"""Bytes of samples whose values are checked at once."""

_FARTHER = 1.0
"""Recordings are unlike where they go out of the known range by more than so many widths of it."""

_NARROWER = 0.1
"""Recordings are unlike where they take up less than this part of the known range."""


@dataclass(frozen=True)
class Demand:
    """What no value may be, and how that is said; ``{most}`` is the largest value that is."""

    broken: Callable[[Array], npt.NDArray[np.bool_]]
    what: str
    help: str = ""


def demands(dtype: np.dtype[Any], kind: InputKind | None, largest: float) -> list[Demand]:
    """What values declared as ``kind`` must be; counts are proved up to ``largest``."""
    found = []
    if dtype.kind == "f":
        found.append(Demand(lambda x: ~np.isfinite(x), "not finite"))
    if kind == "spike" and dtype.kind != "b":
        found.append(
            Demand(
                lambda x: (x != 0) & (x != 1),
                "neither 0 nor 1",
                "declare --input count or --input analog, or binarise the data",
            )
        )
    elif kind == "count":
        found += [
            Demand(
                lambda x: (x < 0) | (x != np.floor(x)) if dtype.kind == "f" else x < 0,
                "no counts, that is whole numbers from 0 up",
                "declare --input analog, or give event counts",
            ),
            Demand(
                lambda x: x > largest,
                f"above {largest:g}, up to which counts are proved; the largest is {{most:g}}",
                f"give counts of at most {largest:g}, or compile with --input analog",
            ),
        ]
    return found


@dataclass(frozen=True)
class _Broken:
    """How many values break a demand, the ``first`` of them and its index, and the largest."""

    count: int
    index: tuple[int, ...]
    first: Any
    most: Any

    def and_of(self, other: _Broken) -> _Broken:
        early = min(self, other, key=lambda broken: broken.index)
        most = max(self.most, other.most)
        return _Broken(self.count + other.count, early.index, early.first, most)


def per_block(shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> int:
    """How many samples are checked at once."""
    each = math.prod((*shape[:axis], *shape[axis + 1 :])) * dtype.itemsize
    return max(1, CHECKED // max(1, each))


def blocks(stored: Stored, axis: int, samples: int) -> Iterator[tuple[int, Array]]:
    """The first ``samples``, some at a time, and the number of the first of each block."""
    step = per_block(stored.shape, axis, stored.dtype)
    for start in range(0, samples, step):
        yield start, stored.take(axis, start, min(start + step, samples))


def check_values(
    found: Iterable[tuple[int, Array]], axis: int, demanded: list[Demand], source: str
) -> tuple[float, float]:
    """The smallest and the largest value of all blocks.

    Raises SNN312 for the first demand that values break, with all that break it.
    """
    broken: list[_Broken | None] = [None] * len(demanded)
    size, low, high = 0, math.inf, -math.inf
    for start, values in found:
        size += values.size
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
        for place, demand in enumerate(demanded):
            if (here := _broken(values, demand, axis, start)) is not None:
                before = broken[place]
                broken[place] = here if before is None else before.and_of(here)
    for demand, each in zip(demanded, broken, strict=True):
        if each is not None:
            raise refuse(
                "SNN312",
                f"{each.count} of {size} inputs in {source} are "
                f"{demand.what.format(most=each.most)}, the first at "
                f"inputs[{', '.join(map(str, each.index))}] = {each.first}",
                help=demand.help,
            )
    return low, high


def _broken(values: Array, demand: Demand, axis: int, start: int) -> _Broken | None:
    """The values of samples from ``start`` on that break a demand."""
    wrong = demand.broken(values)
    count = int(wrong.sum())
    if not count:
        return None
    first = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    index = (*first[:axis], first[axis] + start, *first[axis + 1 :])
    return _Broken(count, index, values[first], values[wrong].max())


def unlike(
    known: tuple[float, float], found: tuple[float, float], source: str
) -> tuple[Finding, ...]:
    """SNN520 where recordings have another range than those that a program was calibrated on.

    They have where they go out of the ``known`` range by more than its width, or take up less than
    a tenth of it.
    """
    width = known[1] - known[0]
    outside = max(known[0] - found[0], found[1] - known[1])
    if outside <= _FARTHER * width and found[1] - found[0] >= _NARROWER * width:
        return ()
    said, was = (f"{low:.4g} to {high:.4g}" for low, high in (found, known))
    return (
        Finding(
            "SNN520",
            f"the inputs in {source} go from {said}, and those of the calibration from {was}",
        ),
    )
