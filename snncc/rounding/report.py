"""What rounding did, in plain numbers: ranges, signal-to-noise ratios, flipped spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from snncc.ir.interpreter import Run, run_network
from snncc.ir.network import Network
from snncc.ir.registers import WEIGHTS
from snncc.rounding.calibration import Teacher
from snncc.rounding.registers import Array, Synapses


def span(numbers: Array) -> list[float]:
    return [float(numbers.min()), float(numbers.max())]


def noise(
    synapses: Sequence[Synapses], weights: Sequence[Array], scale: Array
) -> dict[str, object]:
    """The part of the range that weights use, and their signal over rounding noise in dB."""
    signal = noise = most = 0.0
    for each, rounded in zip(synapses, weights, strict=True):
        exact = each.values * each.spread(scale)
        signal += float(np.square(exact).sum())
        noise += float(np.square(exact - rounded).sum())
        most = max(most, float(np.abs(rounded).max(initial=0)))
    ratio = 10 * math.log10(signal / noise) if signal and noise else None
    return {
        "weight range": round(most / -WEIGHTS[0], 4),
        "weight SNR dB": None if ratio is None else round(ratio, 2),
    }


def totals(
    network: Network, teacher: Teacher, rows: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """Flips of all neurons: each population hearing the float network, and hearing each other."""
    neurons = [place.name for place in network.populations if place.role == "neuron"]
    taught = {name: teacher.run.spikes[name] for name in neurons}
    steps = max(1, sum(spikes.numel() for spikes in taught.values()))
    forced = sum(int(str(row["flipped"])) for row in rows if row["population"] in taught)
    run = run_network(network, teacher.inputs)
    free = run.spikes
    propagated = sum(int((free[name] != spikes).sum()) for name, spikes in taught.items())
    return {
        **_classified(run, teacher.run, network),
        "neuron-steps": steps,
        "teacher-forced": {"flipped": forced, "part": forced / steps},
        "propagated": {"flipped": propagated, "part": propagated / steps},
    }


def _classified(run: Run, taught: Run, network: Network) -> dict[str, object]:
    """How many samples fall into the class they fell into, where there are classes."""
    for readout in network.readouts:
        mine, theirs = run.logits[readout.name], taught.logits[readout.name]
        if mine.dim() == 2 and mine.shape[1] > 1:
            same = int((mine.argmax(1) == theirs.argmax(1)).sum())
            return {"same class": {"samples": same, "of": len(mine)}}
    return {}
