"""In which float arithmetic a network runs on data, and why it may."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from snncc.backends.reference.fused import Simulator, sample_axes
from snncc.ir.exactness import sums_are_exact
from snncc.ir.interpreter import Value, steps_of
from snncc.ir.network import Network

TRIED = 16
"""Samples on which float32 is held against float64, if `MEMORY` holds them."""

MEMORY = 1 << 28
"""Bytes that their spikes may take."""


@dataclass(frozen=True)
class Arithmetic:
    """The dtype of a run, and the reason for it.

    "asked": the user chose it; "exact": every sum is proved to be exact; "alike": on the first
    ``samples`` samples no spike and no class is another one than in float64; "differs": there some
    are.
    """

    dtype: torch.dtype
    because: Literal["asked", "exact", "alike", "differs"]
    samples: int = 0

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        some = "the first sample" if self.samples == 1 else f"the first {self.samples} samples"
        return {
            "asked": name,
            "exact": f"{name}, in which every sum is exact",
            "alike": f"{name}; on {some} no spike differs from float64",
            "differs": f"{name}, as float32 has other spikes on {some}",
        }[self.because]


def tried(network: Network) -> int:
    """The number of samples to show `arithmetic`."""
    neurons = sum(math.prod(place.shape) for place in network.places.values())
    return max(1, min(TRIED, MEMORY // (12 * neurons * (network.time_steps or 1))))


def arithmetic(
    network: Network,
    inputs: Mapping[str, Value],
    counts: Mapping[str, int] | None = None,
    threads: int | None = None,
) -> Arithmetic:
    """float32 where that gives the spikes of float64, as far as is proved or seen on ``inputs``.

    ``inputs`` as `snncc.ir.interpreter.run_network` takes them, of as many samples as `tried` says;
    ``counts`` are the largest counts that sources send.
    """
    if sums_are_exact(network, steps_of(network, inputs), torch.float32, counts):
        return Arithmetic(torch.float32, "exact")
    samples = next(inputs[name].shape[axis] for name, axis in sample_axes(network).items())
    exact, fast = (
        Simulator(network, dtype)(inputs, threads=threads)
        for dtype in (torch.float64, torch.float32)
    )
    alike = all(bool((fast.spikes[name] == s).all()) for name, s in exact.spikes.items()) and all(
        classes(fast.logits[name]).equal(classes(y)) for name, y in exact.logits.items()
    )
    if alike:
        return Arithmetic(torch.float32, "alike", samples)
    return Arithmetic(torch.float64, "differs", samples)


def classes(logits: Value) -> Value:
    """(N,) classes of (N, classes) logits; what a readout with argmax says is classes already."""
    return logits.argmax(-1) if logits.dim() > 1 else logits
