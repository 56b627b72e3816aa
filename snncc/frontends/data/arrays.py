"""Arrays whose elements lie in a file one after the other, as NumPy writes them."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from snncc.frontends.data.recordings import Array

File = io.FileIO | io.BytesIO


@dataclass(frozen=True)
class Header:
    """What an array in a file says of itself; with ``fortran`` its first axis changes fastest."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def runs(self, axis: int) -> tuple[int, int]:
        """In how many runs the elements of an index of ``axis`` lie, and the bytes of each."""
        before, after = math.prod(self.shape[:axis]), math.prod(self.shape[axis + 1 :])
        if self.fortran:
            before, after = after, before
        return before, after * self.dtype.itemsize

    def extent(self, axis: int, stop: int) -> int:
        """The bytes up to the end of the last element before ``stop`` on ``axis``."""
        count, size = self.runs(axis)
        return ((count - 1) * self.shape[axis] + stop) * size


@dataclass(frozen=True, eq=False)
class FileArray:
    """An array whose elements lie in ``file``, from ``offset`` on."""

    header: Header
    file: File
    offset: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.header.dtype

    def take(self, axis: int, start: int, stop: int) -> Array:
        """The elements from ``start`` to ``stop`` on ``axis``, in the byte order of this machine.

        Raises EOFError and OSError where the file has become shorter or cannot be read.
        """
        shape, dtype = self.header.shape, self.header.dtype
        count, size = self.header.runs(axis)
        runs = np.empty((count, (stop - start) * size), np.uint8)
        raw = runs.reshape(-1)
        if stop - start == shape[axis]:  # the runs follow one another
            _read(self.file, self.offset, raw)
        else:
            for index, run in enumerate(runs):
                _read(self.file, self.offset + (index * shape[axis] + start) * size, run)
        # A byte that is neither 0 nor 1 would be a truth value of its own.
        values = raw != 0 if dtype.kind == "b" else raw.view(dtype)
        values = values.astype(dtype.newbyteorder("="), copy=False)
        taken = (*shape[:axis], stop - start, *shape[axis + 1 :])
        return values.reshape(taken, order="F" if self.header.fortran else "C")


def read_header(member: IO[bytes]) -> Header | None:
    """Read what an array says of itself; None where it is no array."""
    prefix = np.lib.format.MAGIC_PREFIX
    if member.read(len(prefix)) != prefix:
        return None
    major, minor = member.read(2)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
        (3, 0): np.lib.format.read_array_header_2_0,  # but for the encoding of names of fields
    }[major, minor]
    shape, fortran, dtype = read(member)
    if min(shape, default=0) < 0:
        raise ValueError(shape)
    return Header(shape, fortran, dtype)


def _read(file: File, offset: int, into: npt.NDArray[np.uint8]) -> None:
    """Fill ``into``. Raises EOFError where the file ends before."""
    file.seek(offset)
    missing = into.data
    while missing:
        count = file.readinto(missing)
        if not count:
            raise EOFError
        missing = missing[count:]
