"""Small .net files as Lava-DL's ``export_hdf5`` writes them, and what they do in plain integers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Layer = dict[str, Any]


def neuron(i: int = 4096, v: int = 1024, theta: int = 25, **more: Any) -> Layer:
    return {"type": "CUBA", "iDecay": i, "vDecay": v, "vThMant": theta, "refDelay": 1, **more}


def write(path: Path, layers: list[Layer]) -> str:
    with h5py.File(path, "w") as file:
        for number, layer in enumerate(layers):
            _fill(file.create_group(f"layer/{number}"), layer)
    return str(path)


def _fill(group: h5py.Group, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict):
            _fill(group.create_group(name), value)
        elif isinstance(value, str):
            group.create_dataset(name, (1,), "S10", [value.encode()])
        else:
            group[name] = value


def even(seed: int, *shape: int, most: int = 20) -> np.ndarray:
    """Even weights as float32, as they are stored."""
    chosen = np.random.default_rng(seed).integers(-most // 2, most // 2 + 1, shape)
    return (2 * chosen).astype(np.float32)


def truncated(x: int, decay: int) -> int:
    """x·(4096 − decay) / 4096 towards 0."""
    size = abs(x) * (4096 - decay) // 4096
    return size if x >= 0 else -size


def fires(
    currents: np.ndarray, of: Mapping[str, Any], bias: np.ndarray, back: np.ndarray | None = None
) -> np.ndarray:
    """The spikes (T, n) of neurons on currents (T, n), one integer at a time."""
    steps, count = currents.shape
    u, v = [0] * count, [0] * count
    spikes = np.zeros((steps + 1, count), int)  # the last row is that of the step before the first
    for t in range(steps):
        for k in range(count):
            x = int(currents[t, k])
            if back is not None:
                x += int(back[k] @ spikes[t - 1])
            u[k] = truncated(u[k], of["iDecay"]) + 64 * x
            v[k] = truncated(v[k], of["vDecay"]) + u[k] + 64 * int(bias[k])
            if v[k] > 64 * of["vThMant"]:
                v[k] = 0
                spikes[t, k] = 1
    return spikes[:steps]


def late(spikes: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Spikes (T, n), each neuron's so many steps later."""
    found = np.zeros_like(spikes)
    for k, d in enumerate(delays):
        found[d:, k] = spikes[: len(spikes) - d, k]
    return found
