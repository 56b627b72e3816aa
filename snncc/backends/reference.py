"""The functional simulator: a Network in float64 or float32, many samples at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch

from snncc.ir.interpreter import Run, Value, run_network
from snncc.ir.network import Network

MEMORY = 1 << 30
"""Bytes that the spikes and currents of one chunk of samples may take."""


def sample_axes(network: Network) -> dict[str, int]:
    """For each input of the network, the axis of its tensor that counts the samples."""
    axes = {source.name: 1 for source in network.sources}
    for encoder in network.encoders:
        for node in encoder.graph.inputs:
            axes[node.name] = 1 if node.signal.rate == "step" else 0
    return axes


def chunks(
    inputs: Mapping[str, Value], axes: Mapping[str, int], size: int
) -> Iterator[dict[str, Value]]:
    """The inputs, ``size`` samples at a time."""
    samples = next(inputs[name].shape[axis] for name, axis in axes.items())
    for start in range(0, samples, size):
        count = min(size, samples - start)
        yield {name: inputs[name].narrow(axis, start, count) for name, axis in axes.items()}


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
) -> Iterator[tuple[dict[str, Value], Run]]:
    """Run the network on all samples, a chunk at a time; yields each chunk's inputs and its run.

    ``inputs`` as `snncc.ir.interpreter.run_network` takes them; those the network does not read are
    left out. ``size`` is the samples in a chunk, by default as many as `MEMORY` holds.
    """
    axes = sample_axes(network)
    length = next(
        (inputs[name].shape[0] for name, axis in axes.items() if axis == 1), network.time_steps or 1
    )
    for chunk in chunks(inputs, axes, size or chunk_size(network, length, dtype)):
        yield chunk, run_network(network, chunk, dtype=dtype)


def joined(network: Network, runs: Sequence[Run]) -> Run:
    """The runs of all chunks as one."""
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
