"""Trains a spiking network by an ANN that shares its weights, and by BPTT, on MNIST.

    python -m examples.snn2ann.train --out examples/snn2ann

Writes snn2ann.pt (SNN2ANN, mapping unit STSU), resu.pt (ReSU) and bptt.pt (the same network without
ANN branch, by backpropagation through time), each of the first seed, and results.json. A training
that was cut goes on from the folder `states`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from examples.training import Plan
from examples.ways import Way, main
from snncc.nn import SNN2ANNNet

NETWORK: dict[str, Any] = {"widths": [16, 32, 32], "pools": [True, True, False], "time_steps": 4}
PLAN = Plan(epochs=12, batch=50, learning_rate=5e-3)


def by_ann(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The loss of the ANN branch alone; the SNN branch has no gradient."""
    _, y_ann = network(images)
    loss = F.cross_entropy(y_ann, labels)
    loss.backward()
    return loss.item()


def by_spikes(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.item()


def way(mapping: str) -> Way:
    return Way(partial(SNN2ANNNet, **NETWORK, mapping=mapping), by_ann, ("spikes", "ANN branch"))


WAYS = {
    "snn2ann": way("stsu"),
    "resu": way("resu"),
    "bptt": Way(partial(SNN2ANNNet, **NETWORK, auxiliary=False), by_spikes),
}

if __name__ == "__main__":
    assert __doc__ is not None
    main(__doc__.split("\n")[0], WAYS, NETWORK, PLAN)
