"""A compiled network as SANA-FE can compute it: whole numbers, and the clock of the chip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snncc.ir.network import Network, Place, Population
from snncc.ir.ops import Conv, Dense, Number, Ref
from snncc.ir.stages import Scheduled


def in_whole_numbers(network: Network, largest: int = 127) -> Network:
    """Weights of each population up to ``largest``, thresholds from 1 and biases in their scale.

    Another network than before: SANA-FE cuts membranes to 1/64.
    """
    tensors = dict(network.tensors)
    places: list[Place] = []
    for place in network.places.values():
        incoming = network.incoming[place.name]
        weights = [op.weight for p in incoming for op in p.map if isinstance(op, Conv | Dense)]
        scale = largest / max((abs(network.tensors[w]).max() for w in weights), default=largest)

        def rounded(number: Number, least: float, scale: float = scale) -> Number:
            if not isinstance(number, Ref):
                return max(float(np.rint(number * scale)), least)
            tensors[number] = np.maximum(np.rint(network.tensors[number] * scale), least)
            return number

        for weight in weights:
            rounded(weight, -np.inf)
        if isinstance(place, Population):
            neuron = place.neuron
            threshold, bias = rounded(neuron.threshold, 1.0), rounded(neuron.bias, -np.inf)
            place = replace(place, neuron=replace(neuron, threshold=threshold, bias=bias))
        places.append(place)
    return network.with_changes(places, tensors=tensors)


def in_chip_time(network: Scheduled) -> Scheduled:
    """Step t of every place is step t of the chip: every projection takes what it spans.

    SANA-FE knows no samples: its biases act from the first step on, whatever the level.
    """
    projections = [replace(p, delay=network.span(p)) for p in network.projections]
    same = network.with_changes(projections=projections)
    return replace(same, levels=dict.fromkeys(network.places, 0))
