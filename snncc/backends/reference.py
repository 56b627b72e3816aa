"""The functional simulator: a Network in float64 or float32, many samples at a time.

float64 is the reference. float32 is for speed: exact where every sum of weights is (whole or dyadic
numbers below 2²⁴ of their unit), else spikes whose membranes lie within its rounding of the
threshold may differ, and what follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch

from snncc.backends.fused import Simulator, chunks, sample_axes
from snncc.ir.interpreter import Run, Value, run_network
from snncc.ir.network import Network

MEMORY = 1 << 30
"""Bytes that the spikes and currents of one chunk of samples may take."""


def chunk_size(
    network: Network, steps: int, dtype: torch.dtype = torch.float64, memory: int = MEMORY
) -> int:
    """How many samples fit into ``memory``: three values a neuron and step, at least one sample."""
    neurons = sum(math.prod(place.shape) for place in network.places.values())
    return max(1, memory // (3 * neurons * steps * dtype.itemsize))


def simulate(
    network: Network,
    inputs: Mapping[str, Value],
    *,
    dtype: torch.dtype = torch.float64,
    size: int | None = None,
    keep: Collection[str] | None = None,
    simulator: Simulator | None = None,
) -> Iterator[tuple[dict[str, Value], Run]]:
    """Run the network on all samples, a chunk at a time; yields each chunk's inputs and its run.

    ``inputs`` as `snncc.ir.interpreter.run_network` takes them; those the network does not read are
    left out. ``size`` is the samples in a chunk, by default as many as `MEMORY` holds; ``keep``
    names the places whose spikes the runs hold, by default all. A ``simulator`` of this network,
    which has its own dtype and keep, saves making one. A fixed Network keeps all its spikes.
    """
    axes = sample_axes(network)
    length = next(
        (inputs[name].shape[0] for name, axis in axes.items() if axis == 1), network.time_steps or 1
    )
    if not network.is_fixed:
        simulator = simulator or Simulator(network, dtype, keep)
    for chunk in chunks(inputs, axes, size or chunk_size(network, length, dtype)):
        yield chunk, simulator(chunk) if simulator else run_network(network, chunk)


def joined(network: Network, runs: Sequence[Run]) -> Run:
    """The runs of all chunks as one."""
    if len(runs) == 1:
        return runs[0]
    stepwise = {readout.name for readout in network.readouts if readout.over_time == "none"}

    def join(parts: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
        return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}

    return Run(
        join([run.spikes for run in runs]),
        join([run.outputs for run in runs]),
        {
            name: torch.cat([run.logits[name] for run in runs], int(name in stepwise))
            for name in runs[0].logits
        },
        wraps=_added([run.wraps for run in runs]),
        saturations=_added([run.saturations for run in runs]),
    )


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in counts) for name in counts[0]}
