"""Neurons whose numbers no register can stand for (SNN214)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.network import Encoder, Network, Neuron, Population
from snncc.rounding.registers import LEAST, Levels, Synapses


def refusals(network: Network, thresholds: str) -> Iterator[Finding]:
    for place in network.populations:
        n = place.neuron
        assert isinstance(n, Neuron)
        levels = Levels.of(n, network.tensors)
        reasons = []
        if not n.is_memoryless and np.any(levels.threshold <= 0):
            reasons.append("a threshold that is not above 0")
        elif _scaled_by_threshold(network, place, thresholds) and np.any(
            (levels.threshold > 0) & (levels.threshold < LEAST)
        ):
            reasons.append("a threshold of 0, which gives no scale")
        for what, decay in (("decay", levels.decay), ("current decay", levels.current_decay)):
            if np.any((decay < 0) | (decay > 1)):
                reasons.append(f"a {what} outside 0 to 1")
        if n.current_decay != 0 and n.current_initial != 0:
            reasons.append("a synaptic current that does not start at 0")
        if n.keeps and not n.is_memoryless:
            reasons.append("a reset that keeps a part of the membrane")
        if thresholds == "layer" and not _divisible(network, place, levels):
            reasons.append("thresholds that differ along other axes than the weights into it can")
        for reason in reasons:
            finding = Finding("SNN214", f"population {place.name} has {reason}", node=place.name)
            yield finding.at(place.origin)


def _scaled_by_threshold(network: Network, place: Population, thresholds: str) -> bool:
    """Whether the threshold alone decides the scale, without weights or before them."""
    assert isinstance(place.neuron, Neuron)
    sources = (network.places[p.source] for p in network.incoming[place.name])
    divided = thresholds == "layer" and not place.neuron.is_memoryless
    return divided or all(isinstance(source, Encoder) for source in sources)


def _divisible(network: Network, place: Population, levels: Levels) -> bool:
    """Whether every projection's weights can take a factor for each threshold."""
    theta = levels.threshold
    theta = theta.reshape((1,) * (len(place.shape) - theta.ndim) + theta.shape)
    varies = {axis for axis, size in enumerate(theta.shape) if size > 1}
    return all(varies <= Synapses.of(p, place.shape, network.tensors).axes
               for p in network.incoming[place.name]
               if not isinstance(network.places[p.source], Encoder))  # fmt: skip
