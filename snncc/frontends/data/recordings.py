"""What every source of recordings gives: samples, a few at a time, and labels."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from snncc.diagnostics import Finding, SnnccError, refuse

Array = npt.NDArray[Any]


class Stored(Protocol):
    """An array that is read in parts."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def take(self, axis: int, start: int, stop: int) -> Array:
        """The elements from ``start`` to ``stop`` on ``axis``, in the byte order of this machine.

        Raises EOFError and OSError where the source has become shorter or cannot be read.
        """
        ...


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of a test set, all checked; `take` reads some of them.

    ``name`` is what the user calls the source, ``axis`` the axis of samples. ``labels`` (N,) are
    whole numbers from 0 up, or absent. ``range`` is the smallest and the largest value, of encoded
    recordings before encoding; ``encoder`` says how they are encoded. ``findings``: what the user
    should know of the values. Close it, or use it in a ``with``.
    """

    name: str
    axis: int
    samples: int
    labels: Array | None
    range: tuple[float, float]
    encoder: str
    findings: tuple[Finding, ...]
    _inputs: Stored
    _opened: contextlib.ExitStack

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self._inputs.shape
        return (*shape[: self.axis], self.samples, *shape[self.axis + 1 :])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._inputs.dtype.newbyteorder("=")

    def take(self, start: int, stop: int) -> Array:
        """The inputs of samples ``start`` to ``stop``, in the layout of the source.

        Raises SnnccError: SNN305 where a file was changed since it was opened, SNN340 where a data
        set gives other values than when it was checked, SNN314 where it fails.
        """
        start, stop, _ = slice(start, stop).indices(self.samples)
        try:
            return self._inputs.take(self.axis, start, max(start, stop))
        except (EOFError, OSError) as error:
            raise damaged(self.name, "inputs") from error

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Recordings:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def damaged(source: object, name: str) -> SnnccError:
    return refuse("SNN305", f"`{name}` in {source} is damaged or cut short")
