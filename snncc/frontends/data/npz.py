"""DATA.npz: several arrays in a zip archive, each with a checksum, that NumPy writes."""

from __future__ import annotations

import contextlib
import io
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.data.arrays import File, FileArray, Header, read_header
from snncc.frontends.data.recordings import damaged

Kept = Callable[[str, Header], int]
"""How many bytes of a named array are going to be read again."""

_READ = 1 << 20
"""Bytes of a file that are read at once."""

_IN_MEMORY = 64 << 20
"""Bytes up to which a compressed array is unpacked in memory, and not in a temporary file."""


def open_npz(path: Path, kept: Kept, opened: contextlib.ExitStack) -> dict[str, FileArray]:
    """The arrays of a file, every byte of which is compared with its checksum.

    Of each so many bytes as ``kept`` says can be taken from it, as long as ``opened`` is open.
    """
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
            raise damaged(path, name) from error
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
    file: File,
    info: zipfile.ZipInfo,
    archive: zipfile.ZipFile,
    kept: Callable[[Header], int],
    opened: contextlib.ExitStack,
) -> FileArray | None:
    """A member of an archive, read to its end; None where it is no array.

    Where it is not compressed it can be taken from ``file`` itself.
    """
    with archive.open(info) as member:
        header = read_header(member)
        if header is not None and header.dtype.hasobject:
            return FileArray(header, file, 0)
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
    return FileArray(header, room or file, 0 if packed else _data(file, info) + begin)


def _data(file: File, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin: behind its header, its name and an extra field."""
    file.seek(info.header_offset)
    fixed = struct.Struct("<26x2H")
    name, extra = fixed.unpack(file.read(fixed.size))
    return info.header_offset + fixed.size + int(name) + int(extra)


def _room(size: int) -> File:
    if size <= _IN_MEMORY:
        return io.BytesIO()
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _NoRoom(error.strerror) from error


def _write(room: File, block: bytes) -> None:
    try:
        while block:
            block = block[room.write(block) :]
    except OSError as error:
        raise _NoRoom(error.strerror) from error


def _not_npz(path: Path) -> SnnccError:
    return refuse(
        "SNN305",
        f"{path} is not an .npz file, or is damaged",
        help="write it with numpy.savez(path, inputs=..., labels=...)",
    )
