"""Recorded inputs: DATA.npz with `inputs` in the model's layout and, for accuracy, `labels`.

A test set may be larger than memory: it is checked block by block when it is opened, and then any
samples of it can be read alone.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.layout import Layout, sample_axis

Array = npt.NDArray[Any]

InputKind = Literal["spike", "count", "analog"]

_File = io.FileIO | io.BytesIO

_READ = 1 << 20
"""Bytes of a file that are read at once."""

_CHECKED = 8 << 20
"""Bytes of samples whose values are checked at once."""

_IN_MEMORY = 64 << 20
"""Bytes up to which a compressed array is unpacked in memory, and not in a temporary file."""


@dataclass(frozen=True)
class _Header:
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
class _Stored:
    """An array whose elements lie in ``file``, from ``offset`` on."""

    header: _Header
    file: _File
    offset: int

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


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings on disk, all checked; `take` reads some of them.

    ``labels`` (N,) are whole numbers from 0 up, or absent. Close it, or use it in a ``with``.
    """

    path: Path
    axis: int
    samples: int
    labels: Array | None
    _inputs: _Stored
    _opened: contextlib.ExitStack

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self._inputs.header.shape
        return (*shape[: self.axis], self.samples, *shape[self.axis + 1 :])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._inputs.header.dtype.newbyteorder("=")

    def take(self, start: int, stop: int) -> Array:
        """The inputs of samples ``start`` to ``stop``, in the layout of the file.

        Raises SNN305 where the file was changed since it was opened.
        """
        start, stop, _ = slice(start, stop).indices(self.samples)
        try:
            return self._inputs.take(self.axis, start, max(start, stop))
        except (EOFError, OSError) as error:
            raise _damaged(self.path, "inputs") from error

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Recordings:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def open_recordings(
    path: str | Path,
    takes: Mapping[Layout, tuple[int, ...]],
    *,
    input: InputKind | None = None,
    classes: int | None = None,
    largest: float = math.inf,
    samples: int | None = None,
) -> Recordings:
    """Check recordings for a model, and leave them in their file.

    ``takes`` is the shape of an example, all axes included, by layout; the first that fits counts.
    The number of samples is free, every other axis must match. With ``input`` "spike" all values
    are 0 or 1, with "count" whole numbers from 0 to ``largest``. ``classes`` bounds the labels.
    With ``samples`` those behind so many are left out; their bytes are still part of the checksum.

    Raises SNN305 where the file is not there, damaged or no .npz, SNN306 where the shape does not
    fit, SNN312 where the values or the labels cannot be used.
    """
    path = Path(path)

    def counted(header: _Header, axis: int) -> int:
        return header.shape[axis] if samples is None else min(header.shape[axis], samples)

    def kept(name: str, header: _Header) -> int:
        """The bytes of an array that are going to be read again."""
        if name == "labels":
            return header.size
        if name != "inputs" or (layout := _fitting(header.shape, takes)) is None:
            return 0
        axis = sample_axis(layout, len(header.shape))
        return header.extent(axis, counted(header, axis))

    with contextlib.ExitStack() as opened:
        arrays = _arrays(path, kept, opened)
        if "inputs" not in arrays:
            held = ", ".join(f"`{name}`" for name in arrays) or "nothing"
            raise refuse("SNN312", f"{path} has no `inputs`; it holds {held}")
        inputs = arrays["inputs"]
        found = inputs.header.shape
        dtype = inputs.header.dtype
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            said = f"the inputs in {path} are {dtype}, not numbers of up to 64 bits"
            raise refuse("SNN312", said)
        layout = _fitting(found, takes)
        if layout is None:
            raise _wrong_shape(path, found, takes)
        axis = sample_axis(layout, len(found))
        if not found[axis]:
            raise refuse("SNN312", f"{path} holds no samples: its inputs have shape {found}")

        recordings = Recordings(path, axis, counted(inputs.header, axis), None, inputs, opened)
        _check_values(recordings, input, largest)
        if "labels" in arrays:
            labels = _labels(path, arrays["labels"], found[axis], recordings.samples, classes)
            recordings = replace(recordings, labels=labels)
        return replace(recordings, _opened=opened.pop_all())


def _arrays(
    path: Path, kept: Callable[[str, _Header], int], opened: contextlib.ExitStack
) -> dict[str, _Stored]:
    """The arrays of a file, every byte of which is compared with its checksum.

    Of each so many bytes as ``kept`` says can be taken from it, as long as ``opened`` is open.
    """
    if not path.exists():
        raise refuse("SNN305", f"{path} does not exist")
    if not path.is_file():
        raise refuse("SNN305", f"{path} is not a file")
    try:
        file = opened.enter_context(path.open("rb", buffering=0))
        if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise _not_npz(path)
        archive = opened.enter_context(zipfile.ZipFile(file))
    except SnnccError:
        raise
    except Exception as error:
        raise _not_npz(path) from error
    arrays = {}
    for full in archive.namelist():
        name = full.removesuffix(".npy")
        try:
            array = _stored(file, archive.getinfo(full), archive, partial(kept, name), opened)
        except _NoRoom as error:
            raise refuse(
                "SNN305",
                f"`{name}` in {path} cannot be unpacked: {error}",
                help=f"make room in {tempfile.gettempdir()}, or write it with numpy.savez",
            ) from error
        except Exception as error:
            raise _damaged(path, name) from error
        if array is None:
            continue
        if array.header.dtype.hasobject:
            reason = f"`{name}` in {path} holds Python objects, which are never unpickled"
            raise refuse("SNN312", reason)
        arrays[name] = array
    return arrays


class _NoRoom(Exception):
    """A temporary file cannot be written."""


def _stored(
    file: _File,
    info: zipfile.ZipInfo,
    archive: zipfile.ZipFile,
    kept: Callable[[_Header], int],
    opened: contextlib.ExitStack,
) -> _Stored | None:
    """A member of an archive, read to its end; None where it is no array.

    Where it is not compressed it can be taken from ``file`` itself.
    """
    with archive.open(info) as member:
        header = _header(member)
        if header is not None and header.dtype.hasobject:
            return _Stored(header, file, 0)
        length = 0 if header is None else kept(header)
        begin = member.tell()
        packed = info.compress_type != zipfile.ZIP_STORED
        room = _room(length) if packed and length else None
        if room is not None:
            opened.callback(room.close)
        read = 0
        while block := member.read(_READ):
            if room is not None:
                _write(room, block[: max(0, length - read)])
            read += len(block)
    if header is None:
        return None
    if read < header.size:
        raise EOFError
    return _Stored(header, room or file, 0 if packed else _data(file, info) + begin)


def _header(member: IO[bytes]) -> _Header | None:
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
    return _Header(shape, fortran, dtype)


def _data(file: _File, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin: behind its header, its name and an extra field."""
    file.seek(info.header_offset)
    fixed = struct.Struct("<26x2H")
    name, extra = fixed.unpack(file.read(fixed.size))
    return info.header_offset + fixed.size + int(name) + int(extra)


def _room(size: int) -> _File:
    if size <= _IN_MEMORY:
        return io.BytesIO()
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _NoRoom(error.strerror) from error


def _write(room: _File, block: bytes) -> None:
    try:
        while block:
            block = block[room.write(block) :]
    except OSError as error:
        raise _NoRoom(error.strerror) from error


def _read(file: _File, offset: int, into: npt.NDArray[np.uint8]) -> None:
    """Fill ``into``. Raises EOFError where the file ends before."""
    file.seek(offset)
    missing = into.data
    while missing:
        count = file.readinto(missing)
        if not count:
            raise EOFError
        missing = missing[count:]


def _labels(path: Path, stored: _Stored, total: int, samples: int, classes: int | None) -> Array:
    """The labels of the first ``samples`` of ``total``, checked."""
    shape, dtype = stored.header.shape, stored.header.dtype
    if shape != (total,):
        raise refuse("SNN312", f"the labels in {path} have shape {shape} for {total} samples")
    if dtype.kind not in "iu":
        raise refuse("SNN312", f"the labels in {path} are {dtype}, not whole numbers")
    labels = stored.take(0, 0, samples)
    wrong = labels < 0 if classes is None else (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        known = "0 up" if classes is None else f"0 to {classes - 1}"
        raise refuse(
            "SNN312", f"labels[{first}] in {path} is {labels[first]}; they go from {known}"
        )
    return labels


def _fitting(found: tuple[int, ...], takes: Mapping[Layout, tuple[int, ...]]) -> Layout | None:
    """The first layout whose shape is ``found``, but for the number of samples."""
    for layout, shape in takes.items():
        axis = sample_axis(layout, len(shape))
        if len(found) == len(shape) and found == (*shape[:axis], found[axis], *shape[axis + 1 :]):
            return layout
    return None


def _not_npz(path: Path) -> SnnccError:
    return refuse(
        "SNN305",
        f"{path} is not an .npz file, or is damaged",
        help="write it with numpy.savez(path, inputs=..., labels=...)",
    )


def _damaged(path: Path, name: str) -> SnnccError:
    return refuse("SNN305", f"`{name}` in {path} is damaged or cut short")


def _wrong_shape(
    path: Path, found: tuple[int, ...], takes: Mapping[Layout, tuple[int, ...]]
) -> SnnccError:
    layout, shape = list(takes.items())[-1]
    axis = sample_axis(layout, len(shape))
    wanted = ", ".join("N" if i == axis else str(size) for i, size in enumerate(shape))
    return refuse(
        "SNN306", f"the inputs in {path} have shape {found} and the model takes ({wanted})"
    )


@dataclass(frozen=True)
class _Demand:
    """What no value may be, and how that is said; ``{most}`` is the largest value that is."""

    broken: Callable[[Array], npt.NDArray[np.bool_]]
    what: str
    help: str = ""


def _demands(dtype: np.dtype[Any], kind: InputKind | None, largest: float) -> list[_Demand]:
    demands = []
    if dtype.kind == "f":
        demands.append(_Demand(lambda x: ~np.isfinite(x), "not finite"))
    if kind == "spike" and dtype.kind != "b":
        demands.append(
            _Demand(
                lambda x: (x != 0) & (x != 1),
                "neither 0 nor 1",
                "declare --input count or --input analog, or binarise the data",
            )
        )
    elif kind == "count":
        demands += [
            _Demand(
                lambda x: (x < 0) | (x != np.floor(x)) if dtype.kind == "f" else x < 0,
                "no counts, that is whole numbers from 0 up",
                "declare --input analog, or give event counts",
            ),
            _Demand(
                lambda x: x > largest,
                f"above {largest:g}, up to which counts are proved; the largest is {{most:g}}",
                f"give counts of at most {largest:g}, or compile with --input analog",
            ),
        ]
    return demands


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


def _check_values(recordings: Recordings, kind: InputKind | None, largest: float) -> None:
    """Raises SNN312 for the first demand that values break, with all that break it."""
    demands = _demands(recordings.dtype, kind, largest)
    found: list[_Broken | None] = [None] * len(demands)
    size = math.prod(recordings.shape)
    each = math.prod(recordings._inputs.header.runs(recordings.axis))
    step = max(1, _CHECKED // max(1, each))
    for start in range(0, recordings.samples if demands else 0, step):
        values = recordings.take(start, start + step)
        for place, demand in enumerate(demands):
            if (here := _broken(values, demand, recordings.axis, start)) is not None:
                before = found[place]
                found[place] = here if before is None else before.and_of(here)
    for demand, broken in zip(demands, found, strict=True):
        if broken is not None:
            raise refuse(
                "SNN312",
                f"{broken.count} of {size} inputs in {recordings.path} are "
                f"{demand.what.format(most=broken.most)}, the first at "
                f"inputs[{', '.join(map(str, broken.index))}] = {broken.first}",
                help=demand.help,
            )


def _broken(values: Array, demand: _Demand, axis: int, start: int) -> _Broken | None:
    """The values of samples from ``start`` on that break a demand."""
    wrong = demand.broken(values)
    count = int(wrong.sum())
    if not count:
        return None
    first = tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    index = (*first[:axis], first[axis] + start, *first[axis + 1 :])
    return _Broken(count, index, values[first], values[wrong].max())
