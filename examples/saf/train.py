"""Trains a spiking network by spike accumulation, by OTTT and by BPTT, on MNIST.

    python -m examples.saf.train --out examples/saf

Writes saf-e.pt, saf-f.pt, ottt.pt and bptt.pt, each of the first seed, and results.json. All four
are one network of leaky neurons; only the training differs. A training that was cut goes on from
the folder `states`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from examples.training import Plan
from examples.ways import Way, main
from snncc.nn import SAFNet

NETWORK: dict[str, Any] = {
    "widths": [16, 32, 32],
    "pools": [True, True, False],
    "time_steps": 6,
    "decay": 0.5,
}
PLAN = Plan(epochs=12, batch=50, learning_rate=5e-3)


def each_step(steps: Iterable[Tensor], count: int, labels: Tensor) -> float:
    """The mean loss of all steps, each differentiated before the next is computed."""
    total = 0.0
    for logits in steps:
        loss = F.cross_entropy(logits, labels) / count
        loss.backward()
        total += loss.item()
    return total


def saf_e(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    assert isinstance(network, SAFNet)
    return each_step(network.saf_e(images), network.time_steps, labels)


def ottt(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    assert isinstance(network, SAFNet)
    return each_step(network.ottt(images), network.time_steps, labels)


def saf_f(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    assert isinstance(network, SAFNet)
    return each_step([network.saf_f(images)], 1, labels)


def bptt(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return each_step([network(images)], 1, labels)


build = partial(SAFNet, **NETWORK)
WAYS = {
    "saf-e": Way(build, saf_e),
    "saf-f": Way(build, saf_f, readings={"last accumulation": SAFNet.saf_f}),
    "ottt": Way(build, ottt),
    "bptt": Way(build, bptt),
}

if __name__ == "__main__":
    assert __doc__ is not None
    main(__doc__.split("\n")[0], WAYS, NETWORK, PLAN)
