"""The float network's own run on the calibration: what every population is to do.

Inputs and spikes are as `snncc.ir.interpreter.run_network` has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from snncc.ir.interpreter import (
    Run,
    TensorStore,
    Value,
    encoded,
    gather,
    run_network,
    steps_of,
)
from snncc.ir.network import Network, Place, Projection

MEMORY = 1 << 28
"""Bytes that the calibration's spikes may take; of large networks fewer samples are used."""


@dataclass(frozen=True)
class Teacher:
    """A float network and its run on some samples."""

    network: Network
    inputs: Mapping[str, Value]
    run: Run
    currents: Mapping[str, Value]
    store: TensorStore

    @classmethod
    def of(cls, network: Network, inputs: Mapping[str, Value]) -> Teacher:
        inputs = _some(network, inputs)
        run = run_network(network, inputs)
        steps = steps_of(network, inputs)
        currents = {each.name: encoded(each, inputs, steps) for each in network.encoders}
        return cls(network, inputs, run, currents, TensorStore(network.tensors, torch.float64))

    @property
    def samples(self) -> int:
        return int(next(iter([*self.run.spikes.values(), *self.currents.values()])).shape[1])

    def hears(self, place: Place) -> Value:
        """The currents (T, N, *shape) into a place."""
        return gather(self.network, place.name, self.run.spikes, self.currents, self.store)

    def sent(self, projection: Projection) -> Value:
        spikes = self.run.spikes.get(projection.source)
        return self.currents[projection.source] if spikes is None else spikes


def _some(network: Network, inputs: Mapping[str, Value]) -> dict[str, Value]:
    """As many samples as `MEMORY` holds."""
    neurons = sum(math.prod(place.shape) for place in network.places.values())
    most = max(1, MEMORY // (8 * neurons * steps_of(network, inputs)))
    stepwise = {source.name for source in network.sources}
    for encoder in network.encoders:
        stepwise |= {n.name for n in encoder.graph.inputs if n.signal.rate == "step"}
    return {
        name: tensor.narrow(axis, 0, min(most, tensor.shape[axis]))
        for name, tensor in inputs.items()
        for axis in [int(name in stepwise)]
    }
