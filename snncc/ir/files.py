"""Graphs and Networks on disk: their text and one .npz of tensors, never a pickle."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from snncc.diagnostics import refuse
from snncc.ir.graph import Graph, Tensors
from snncc.ir.network import Network
from snncc.ir.text import INLINE, TextError, parse_graph, parse_network, print_graph, print_network

TENSORS = "tensors.npz"


def _large(form: Graph | Network) -> dict[str, np.ndarray]:
    tensors = {name: t for name, t in form.tensors.items() if t.size > INLINE}
    if isinstance(form, Network):
        for encoder in form.encoders:
            for name, tensor in _large(encoder.graph).items():
                if not np.array_equal(tensors.setdefault(name, tensor), tensor):
                    raise ValueError(f"two tensors of the network are named {name}")
    return tensors


def packed(tensor: np.ndarray) -> np.ndarray:
    """In float32 where that loses nothing (weights trained in float32 come back as they were)."""
    if tensor.dtype == np.float64:
        short = tensor.astype(np.float32)
        if np.array_equal(short.astype(np.float64), tensor):
            return short
    return tensor


def save(form: Graph | Network, folder: Path) -> None:
    """Write ``graph.txt`` or ``network.txt`` and ``tensors.npz`` into an existing folder."""
    if isinstance(form, Graph):
        (folder / "graph.txt").write_text(print_graph(form))
    else:
        (folder / "network.txt").write_text(print_network(form))
    arrays = {name: packed(tensor) for name, tensor in _large(form).items()}
    with (folder / TENSORS).open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load(folder: Path) -> Graph | Network:
    """Read what ``save`` wrote. Raises SnnccError (SNN305) when the folder holds no such thing."""
    try:
        with np.load(folder / TENSORS, allow_pickle=False) as file:
            stored: Tensors = {
                name: array.astype(np.float64) if array.dtype == np.float32 else array
                for name, array in file.items()
            }
        if (folder / "graph.txt").exists():
            return parse_graph((folder / "graph.txt").read_text(), stored)
        return parse_network((folder / "network.txt").read_text(), stored)
    except (OSError, TextError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise refuse("SNN305", f"{folder} holds no readable network ({reason})") from None


def write_whole(path: Path, data: bytes) -> None:
    """Write all of a file or nothing of it; to a device or a pipe as it is.

    Raises SnnccError (SNN305) where it cannot be written.
    """
    goal = Path(os.path.realpath(path))  # a link stays a link
    part = goal.with_name(f".{goal.name}.{os.getpid()}")
    try:
        with refusing_to_write(path):
            if goal.exists() and not goal.is_file():
                goal.write_bytes(data)
                return
            part.write_bytes(data)
            part.replace(goal)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def refusing_to_write(path: str | Path) -> Iterator[None]:
    """Raises SnnccError (SNN305) where what is done in here cannot write ``path``."""
    try:
        yield
    except OSError as error:
        raise refuse(
            "SNN305",
            f"{path} cannot be written: {error.strerror or error}",
            help="name a file in a folder that exists and can be written to",
        ) from error
