"""Spikes of a run on disk: a raster of every place, written while the run goes on."""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from snncc.ir.files import refusing_to_write

Add = Callable[[Mapping[str, Any]], None]
"""Is given the spikes of more samples: (T, N, *shape) by place, as tensors or arrays."""

_SPIKE, _COUNT = np.dtype(np.uint8), np.dtype(np.uint32)

_LEVEL = 1
"""Of deflate. The usual one takes four times as long for two thirds of the size."""


@contextlib.contextmanager
def writing(path: str | Path, counts: Collection[str] = ()) -> Iterator[Add]:
    """Write spikes into an .npz, however many, in the memory that one call of `Add` takes.

    Every place becomes an array (T, N, *shape) of its own name: uint8 of 0 and 1, or uint32 for the
    places in ``counts``. The file appears when the ``with`` ends, with all samples that were added
    by then; an exception out of it leaves what was there before.

    Raises SNN305 where it cannot be written, at once for a folder that is not there; ValueError for
    values that are no spikes or counts, and where places, steps or shapes change between calls.
    """
    goal = Path(os.path.realpath(path))  # a link stays a link
    part = goal.with_name(f".{goal.name}.{os.getpid()}")
    with contextlib.ExitStack() as opened:
        with refusing_to_write(path):
            if goal.exists() and not goal.is_file():
                raise OSError("it is not a file")
            # Beside the file, since where there is room for that there is room for this.
            spool = opened.enter_context(tempfile.TemporaryFile(buffering=0, dir=goal.parent))
        chunks: list[_Chunk] = []

        def add(spikes: Mapping[str, Any]) -> None:
            with refusing_to_write(path):
                chunk = _spooled(spool, spikes, counts)
            if chunks and chunk.like != chunks[0].like:
                raise ValueError(f"{chunk.like} after {chunks[0].like}")
            chunks.append(chunk)  # whole or, when interrupted before, not at all

        yield add
        with refusing_to_write(path):
            try:
                _write(part, spool, chunks)
                part.replace(goal)
            finally:
                with contextlib.suppress(OSError):
                    part.unlink()


@dataclass(frozen=True)
class _Raster:
    """Some samples of a place: for each step a row of ``row`` bytes, from ``offset`` on."""

    offset: int
    row: int
    steps: int
    samples: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Chunk:
    """What was added at once."""

    rasters: Mapping[str, _Raster]

    @property
    def like(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Steps and shape of every place, which are the same in every chunk."""
        return {name: (raster.steps, raster.shape) for name, raster in self.rasters.items()}


def _spooled(spool: io.FileIO, spikes: Mapping[str, Any], counts: Collection[str]) -> _Chunk:
    """Append the spikes to a file, a bit each, and counts as they are."""
    rasters = {}
    for name, given in spikes.items():
        values = np.asarray(given)
        dtype = _COUNT if name in counts else _SPIKE
        with np.errstate(invalid="ignore"):
            whole = values.astype(dtype, order="C")
        if not np.array_equal(whole, values) or (dtype == _SPIKE and whole.max(initial=0) > 1):
            what = "counts" if name in counts else "spikes"
            raise ValueError(f"what {name} sent is no {what}")
        steps, samples, *shape = values.shape
        rows: npt.NDArray[Any] = whole.reshape(steps, math.prod((samples, *shape)))
        rows = np.packbits(rows, axis=1) if dtype == _SPIKE else rows.view(np.uint8)
        offset = spool.seek(0, os.SEEK_END)
        rasters[name] = _Raster(offset, rows.shape[1], steps, samples, tuple(shape), dtype)
        left = rows.reshape(-1).data
        while left:
            left = left[spool.write(left) :]
    return _Chunk(rasters)


def _write(part: Path, spool: io.FileIO, chunks: list[_Chunk]) -> None:
    """All chunks as one .npz, one step of one chunk at a time."""
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in chunks[0].rasters if chunks else ():
            rasters = [chunk.rasters[name] for chunk in chunks]
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_place(member, spool, rasters)


def _write_place(member: IO[bytes], spool: io.FileIO, rasters: list[_Raster]) -> None:
    first = rasters[0]
    header = {
        "descr": np.lib.format.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (first.steps, sum(raster.samples for raster in rasters), *first.shape),
    }
    np.lib.format.write_array_header_1_0(member, header)
    for step in range(first.steps):
        for raster in rasters:
            spool.seek(raster.offset + step * raster.row)
            row = np.frombuffer(spool.read(raster.row), np.uint8)
            if raster.dtype == _SPIKE:
                row = np.unpackbits(row, count=raster.samples * math.prod(raster.shape))
            member.write(row.data)
