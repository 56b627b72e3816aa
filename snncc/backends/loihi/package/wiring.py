"""The words of network.py: how processes are joined and how numbers are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.proc.io import sink
from lava.proc.io.source import RingBuffer
from lava.utils.weightutils import SignMode
from scipy import sparse

Shape = tuple[int, ...]
Arrays = Mapping[str, np.ndarray]

PULSE = 2.0**100
MIXED = SignMode.MIXED
"""Weights above and below 0; without it Lava looks at each matrix and may hold others."""


def play(stream: np.ndarray, level: int, steps: int) -> RingBuffer:
    """A source that sends stream[k], (time, *shape), at step k + ``level`` of ``steps``."""
    data = np.zeros((*stream.shape[1:], steps))
    data[..., level : level + len(stream)] = np.moveaxis(stream, 0, -1)
    return RingBuffer(data=data)


def hush(shape: Shape, level: int, steps: int, period: int) -> Any:
    """Currents that no membrane overcomes, in the last ``steps`` steps before each sample reaches
    ``level``; the port they leave by."""
    data = np.zeros((*shape, period))
    for k in range(1, steps + 1):
        data[..., (level - k) % period] = -PULSE
    return RingBuffer(data=data).s_out


def connect(source: Any, synapses: Any, target: Any) -> None:
    """From the spikes of ``source`` through ``synapses`` to an input port; takes one step."""
    join(source.s_out, synapses.s_in)
    join(synapses.a_out, target)


def join(out: Any, target: Any) -> None:
    """Port to port, at once; a Dense or a Sparse has flat ports."""
    (out if out.shape == target.shape else out.reshape(target.shape)).connect(target)


def just_below(threshold: Any) -> Any:
    """The ``vth`` of v ≥ threshold: Lava fires where v > vth."""
    below = np.nextafter(threshold, -np.inf)
    return below if isinstance(threshold, np.ndarray) else float(below)


def half_below(threshold: Any) -> Any:
    """The ``vth`` of v ≥ threshold where both are whole numbers, half a unit from either."""
    return threshold - 0.5


def per_neuron(numbers: np.ndarray, shape: Shape) -> np.ndarray:
    """Numbers per channel or axis as one for each neuron."""
    return np.array(np.broadcast_to(numbers, shape))


def identity(size: int) -> sparse.csr_matrix:
    """One synapse of weight 1 from each neuron to its image."""
    return sparse.identity(size, format="csr")


def diagonal(weights: np.ndarray) -> sparse.csr_matrix:
    """One synapse from each neuron to its image."""
    return sparse.diags(weights.ravel(), format="csr")


def matrix(a: Arrays, name: str, shape: Shape) -> sparse.csr_matrix:
    """The stored sparse matrix (targets, sources)."""
    parts = (a[f"{name}:data"], a[f"{name}:indices"], a[f"{name}:indptr"])
    return sparse.csr_matrix(parts, shape=shape)


class Sinks:
    """Lava's own sinks in the place of the recorder; reading them takes some 20 µs a number."""

    def __init__(self, steps: int, **shapes: Shape) -> None:
        self.sinks = {
            port: sink.RingBuffer(shape=shape, buffer=steps) for port, shape in shapes.items()
        }
        vars(self).update({port: each.a_in for port, each in self.sinks.items()})

    def write(self, files: Mapping[str, np.ndarray]) -> None:
        """What each port heard, (steps, *shape), into its file."""
        for port, file in files.items():
            file[:] = np.moveaxis(self.sinks[port].data.get(), -1, 0)
