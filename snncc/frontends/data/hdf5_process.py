"""Reads an HDF5 file for `snncc.frontends.data.hdf5`, in a process of its own.

    python -m snncc.frontends.data.hdf5_process FILE

Each line of standard input is a question: ``["list"]`` or ``["take", name, axis, start, stop]``.
Each answer on standard output is its length in 8 bytes, the least first, and the answer: JSON, or
the elements in C order. On anything that it cannot read the process ends.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.frontends.hdf5 import PLAIN

if TYPE_CHECKING:
    import h5py

NAMES = ("inputs", "labels")


class _Refused(Exception):
    """Why a file is not read: a code, what is said, what to do."""


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose elements lie in the file itself. Raises _Refused."""
    import h5py

    inside = "write all values into the file itself"
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise _Refused("SNN304", f"`{name}` lies in another file or under another name", inside)
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise _Refused("SNN312", f"`{name}` is a group, not a dataset", "write it as a dataset")
    if found.is_virtual or found.external:
        raise _Refused("SNN304", f"`{name}` lies in another file", inside)
    if found.compression not in PLAIN or found.scaleoffset is not None:
        help = "pack it with gzip or not at all"
        raise _Refused("SNN304", f"`{name}` is packed in a way that is not read", help)
    if found.dtype.kind not in "biuf" or found.shape is None:
        help = "write `inputs` and `labels` as numbers"
        raise _Refused("SNN312", f"`{name}` holds {found.dtype}, not numbers", help)
    return found


def _listed(file: h5py.File) -> dict[str, Any]:
    there = [name for name in NAMES if name in list(file)]  # `in file` would follow a link
    found = {name: _dataset(file, name) for name in there}
    return {
        name: {"shape": each.shape, "dtype": _native(each.dtype).str}
        for name, each in found.items()
    }


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=")


def _answer(file: h5py.File, question: list[Any]) -> bytes:
    if question[0] == "list":
        try:
            return json.dumps({"datasets": _listed(file)}).encode()
        except _Refused as refused:
            code, said, help = refused.args
            return json.dumps({"refused": {"code": code, "said": said, "help": help}}).encode()
    _, name, axis, start, stop = question
    found = _dataset(file, name)
    part = found[(slice(None),) * axis + (slice(start, stop),)]
    return np.ascontiguousarray(part, _native(found.dtype)).tobytes()


def main() -> None:
    import h5py

    with open(sys.argv[1], "rb") as stream, h5py.File(stream, "r") as file:
        for line in sys.stdin:
            answer = _answer(file, json.loads(line))
            sys.stdout.buffer.write(len(answer).to_bytes(8, "little") + answer)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
