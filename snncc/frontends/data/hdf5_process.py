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

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.hdf5 import Reading

if TYPE_CHECKING:
    import h5py

NAMES = ("inputs", "labels")


def _dataset(reading: Reading, file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset of numbers that lie in the file itself. Raises SnnccError (SNN304, SNN312)."""
    found = reading.stored(file, name)
    if found is None:
        said = f"{reading.source}: `{name}` is a group, not a dataset"
        raise refuse("SNN312", said, help="write it as a dataset")
    if found.dtype.kind not in "biuf" or found.shape is None:
        said = f"{reading.source}: `{name}` holds {found.dtype}, not numbers"
        raise refuse("SNN312", said, help="write `inputs` and `labels` as numbers")
    return found


def _listed(reading: Reading, file: h5py.File) -> dict[str, Any]:
    there = [name for name in NAMES if name in list(file)]  # `in file` would follow a link
    found = {name: _dataset(reading, file, name) for name in there}
    return {
        name: {"shape": each.shape, "dtype": _native(each.dtype).str}
        for name, each in found.items()
    }


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=")


def _answer(reading: Reading, file: h5py.File, question: list[Any]) -> bytes:
    if question[0] == "list":
        try:
            return json.dumps({"datasets": _listed(reading, file)}).encode()
        except SnnccError as error:
            (found, *_) = error.findings
            said = {"code": found.code, "said": found.message, "help": found.help}
            return json.dumps({"refused": said}).encode()
    _, name, axis, start, stop = question
    values = _dataset(reading, file, name)
    part = values[(slice(None),) * axis + (slice(start, stop),)]
    return np.ascontiguousarray(part, _native(values.dtype)).tobytes()


def main() -> None:
    import h5py

    reading = Reading(sys.argv[1], "HDF5 file", "write it with h5py")
    with open(sys.argv[1], "rb") as stream, h5py.File(stream, "r") as file:
        for line in sys.stdin:
            answer = _answer(reading, file, json.loads(line))
            sys.stdout.buffer.write(len(answer).to_bytes(8, "little") + answer)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
