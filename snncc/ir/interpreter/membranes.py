"""The membranes of single populations, of a run whose spikes are known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch

from snncc.ir.interpreter import fixed, floating
from snncc.ir.interpreter.fixed_cell import WholeStore
from snncc.ir.interpreter.operations import TensorStore, Value
from snncc.ir.interpreter.runs import encoded
from snncc.ir.network import Network, Neuron
from snncc.ir.registers import ONE


@dataclass(frozen=True)
class Traces:
    """Of a population: membranes before reset and spikes (T, N, *shape), and thresholds (*shape).

    In units of the layer's weights.
    """

    membranes: Value
    spikes: Value
    thresholds: Value


def traces(
    network: Network, inputs: Mapping[str, Value], spikes: Mapping[str, Value],
    names: Collection[str],
) -> Iterator[tuple[str, Traces]]:  # fmt: skip
    """The membranes of the populations ``names`` in a run on ``inputs``.

    ``spikes`` (T, N, *shape) are those of every source and population in that run. Loops need no
    care: what a population hears is known.
    """
    whole = network.is_fixed
    store = WholeStore.of(network) if whole else TensorStore(network.tensors, torch.float64)
    steps = len(next(iter(spikes.values())))
    said = {name: value.double() for name, value in spikes.items()}
    currents = {each.name: encoded(each, inputs, steps) for each in network.encoders}
    for place in network.populations:
        if place.name not in names:
            continue
        if isinstance(place.neuron, Neuron):
            heard = floating.gather(network, place.name, said, currents, store)
            fired, h = floating.fire(place.neuron, heard, store)
            threshold = store.number(place.neuron.threshold)
        else:
            assert isinstance(store, WholeStore)
            sums, _ = fixed.gather(network, place.name, said, currents, store)
            found = fixed.fire(place.neuron, sums, store)
            fired, h = found.spikes, found.membranes.double() / ONE
            threshold = store.whole(place.neuron.vth).double()
        yield place.name, Traces(h, fired.double(), threshold.expand(place.shape))
