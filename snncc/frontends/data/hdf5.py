"""DATA.h5: the datasets `inputs` and, for accuracy, `labels` of an HDF5 file.

HDF5's own library may run for ever on a damaged file, or end the process. So another process reads
the file (`snncc.frontends.data.hdf5_process`), with a limit of memory, and hands over the parts
that are asked for; where nothing comes for a minute, the file is damaged.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.data.recordings import Array, damaged
from snncc.frontends.hdf5 import limited

SECONDS = 60.0
"""So long the process may be silent."""

MEMORY = 16 << 30
"""So many bytes of memory the process may have."""

DENSEST = 1100
"""So many times its size a file may hold at most; gzip packs zeros to a thousandth."""


@dataclass(frozen=True, eq=False)
class _Reader:
    """The process, and what it is asked."""

    process: subprocess.Popen[bytes]

    def ask(self, *words: Any) -> bytearray:
        """One answer. Raises EOFError where there is none."""
        asked, answers = self.process.stdin, self.process.stdout
        assert asked is not None
        assert answers is not None
        try:
            asked.write(json.dumps(words).encode() + b"\n")
            asked.flush()
        except OSError as error:
            raise EOFError from error
        length = int.from_bytes(_receive(answers, 8), "little")
        return _receive(answers, length)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True, eq=False)
class _Dataset:
    """One dataset, read by the process."""

    reader: _Reader
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def take(self, axis: int, start: int, stop: int) -> Array:
        shape = (*self.shape[:axis], stop - start, *self.shape[axis + 1 :])
        answer = self.reader.ask("take", self.name, axis, start, stop)
        if len(answer) != math.prod(shape) * self.dtype.itemsize:
            raise EOFError
        return np.frombuffer(answer, self.dtype).reshape(shape)


def open_hdf5(path: Path, opened: contextlib.ExitStack) -> dict[str, _Dataset]:
    """`inputs` and `labels` of a file, as far as it has them.

    Raises SNN317 where h5py is not installed, SNN304 for a file that asks for other files, SNN305
    for a damaged one, SNN312 for datasets that hold no numbers.
    """
    if importlib.util.find_spec("h5py") is None:
        message = f"the package h5py, which reads {path}, is not installed"
        raise refuse("SNN317", message, help='pip install "snncc[nir]"')
    command = [sys.executable, "-m", "snncc.frontends.data.hdf5_process", str(path)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        preexec_fn=partial(limited, MEMORY),
        start_new_session=True,  # Ctrl-C is for the run, which then closes this
    )
    reader = _Reader(process)
    opened.callback(reader.close)
    try:
        listed = json.loads(reader.ask("list"))
    except EOFError:
        raise _no_hdf5(path) from None
    if why := listed.get("refused"):
        raise refuse(why["code"], why["said"], help=why["help"])
    found = {}
    for name, about in listed["datasets"].items():
        dtype, shape = np.dtype(about["dtype"]), tuple(about["shape"])
        if math.prod(shape) * dtype.itemsize > DENSEST * path.stat().st_size:
            raise damaged(path, name)
        found[name] = _Dataset(reader, name, shape, dtype)
    return found


def _receive(stream: IO[bytes], length: int) -> bytearray:
    """So many bytes. Raises EOFError where they do not come."""
    whole = bytearray(length)
    missing, number = memoryview(whole), stream.fileno()
    while missing:
        ready, _, _ = select.select([number], [], [], SECONDS)
        read = os.read(number, min(len(missing), 1 << 20)) if ready else b""
        if not read:
            raise EOFError
        missing[: len(read)] = read
        missing = missing[len(read) :]
    return whole


def _no_hdf5(path: Path) -> SnnccError:
    return refuse(
        "SNN305",
        f"{path} is not an HDF5 file, or is damaged",
        help="write it with h5py, the datasets `inputs` and `labels` at its root",
    )
