"""Files of Lava-DL with the spikes that Lava-DL stored beside them (``files/LICENCES.txt``).

`spikes` are (T, C, H, W) or (T, n) by layer. In ``tiny`` the step 0 of every layer is empty, and
its sample begins at step 1. ``pilotnet_lif`` is a run of Lava with a sample of 17 steps: each layer
is one step behind the one before it and is reset as often as its sample begins.
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch

FILES = Path(__file__).parents[1] / "frontends" / "lava_dl" / "files"
PERIOD = 17
"""Steps of a sample of ``pilotnet_lif``."""


def unpacked(name: str, folder: Path) -> str:
    """The path of a .net file of ``files``, unpacked into ``folder``."""
    path = folder / f"{name}.net"
    path.write_bytes(lzma.decompress((FILES / f"{name}.net.xz").read_bytes()))
    return str(path)


@cache
def _arrays(name: str) -> Mapping[str, np.ndarray]:
    data = lzma.decompress((FILES / f"{name}.npz.xz").read_bytes())
    with np.load(io.BytesIO(data)) as arrays:
        return {key: arrays[key] for key in arrays.files}


def spikes(name: str) -> dict[str, torch.Tensor]:
    arrays = _arrays(name)
    found = {}
    for key in (each for each in arrays if f"{each}.shape" in arrays):
        shape = tuple(arrays[f"{key}.shape"])
        bits = np.unpackbits(arrays[key], count=int(np.prod(shape)))
        found[key] = torch.from_numpy(bits.reshape(shape)).double()
    return found


def pixels(name: str, weight: float, bias: float) -> torch.Tensor:
    """The image (C, H, W) whose currents weight·pixel + bias the stored run had."""
    return (torch.from_numpy(_arrays(name)["image"].astype(np.float64)) - bias) / weight
