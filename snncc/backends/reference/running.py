"""The functional simulator: a Network in float64 or float32, many samples at a time.

float64 is the reference. float32 is for speed: exact where every sum of weights is (whole or dyadic
numbers below 2²⁴ of their unit, `snncc.ir.exactness`), else spikes whose membranes lie within its
rounding of the threshold may differ, and what follows from them. A fixed Network runs in whole
numbers whatever the dtype. A run is the same, bit for bit, for every size of chunks and any number
of threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch

from snncc.backends.reference.fused import Simulator, added, chunks, sample_axes
from snncc.ir.interpreter import Run, Value
from snncc.ir.network import Network

MEMORY = 1 << 30
"""Bytes that one chunk of samples may take."""


def chunk_size(
    simulator: Simulator, steps: int, memory: int = MEMORY, threads: int | None = None
) -> int:
    """How many samples fit into ``memory``: a whole number of tiles, at least one.

    A sample takes its inputs, the spikes that are kept and its outputs; beside them there is what
    so many ``threads`` work with.
    """
    sample, work = simulator.bytes(steps, threads)
    tile = simulator.tile(steps)
    return max(1, (memory - work) // (sample * tile)) * tile


def simulate(
    network: Network,
    inputs: Mapping[str, Value],
    *,
    dtype: torch.dtype = torch.float64,
    size: int | None = None,
    keep: Collection[str] | None = None,
    simulator: Simulator | None = None,
    threads: int | None = None,
    memory: int = MEMORY,
) -> Iterator[tuple[dict[str, Value], Run]]:
    """Run the network on all samples, a chunk at a time; yields each chunk's inputs and its run.

    ``inputs`` as `snncc.ir.interpreter.run_network` takes them; those the network does not read are
    left out. ``size`` is the samples in a chunk, made up to a whole number of tiles, by default as
    many as ``memory`` holds; ``keep`` names the places whose spikes the runs hold, by default all.
    A ``simulator`` of this network, which has its own dtype and keep, saves making one. ``threads``
    as `Simulator` takes them.
    """
    axes = sample_axes(network)
    steps = next(
        (inputs[name].shape[0] for name, axis in axes.items() if axis == 1), network.time_steps or 1
    )
    simulator = simulator or Simulator(network, dtype, keep)
    tile = simulator.tile(steps)
    size = -(-size // tile) * tile if size else chunk_size(simulator, steps, memory, threads)
    for chunk in chunks(inputs, axes, size):
        yield chunk, simulator(chunk, threads=threads)


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
        wraps=added([run.wraps for run in runs]),
        saturations=added([run.saturations for run in runs]),
        sent={name: torch.stack([run.sent[name] for run in runs]).sum(0) for name in runs[0].sent},
    )
