"""DATA.npy: the inputs alone, without labels.

The parts are read from the file and not mapped into memory: a mapped file that becomes shorter ends
the process.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from snncc.diagnostics import refuse
from snncc.frontends.data.arrays import FileArray, read_header
from snncc.frontends.data.recordings import damaged


def open_npy(path: Path, opened: contextlib.ExitStack) -> FileArray:
    """The array, to be taken from the file as long as ``opened`` is open.

    Raises SNN305 for a damaged file, SNN312 for one that holds Python objects.
    """
    try:
        file = opened.enter_context(path.open("rb", buffering=0))
        header = read_header(file)
        if header is None:
            raise EOFError
    except Exception as error:  # what NumPy raises on damaged headers is of many types
        raise damaged(path, "inputs") from error
    if header.dtype.hasobject:
        raise refuse("SNN312", f"{path} holds Python objects, which are never unpickled")
    if path.stat().st_size < file.tell() + header.size:
        raise damaged(path, "inputs")
    return FileArray(header, file, file.tell())
