"""Spike accumulation forwarding against OTTT and backpropagation through time, on one network.

    python benchmarks/saf.py [--rounds 7] [--record benchmarks/results/saf.json]

The network of examples/saf, once with its widths and once four times as wide, T = 6. OTTT_O
updates the weights after every step, OTTT_A once per minibatch; SAF-E adds up the gradients of all
steps, as OTTT_A does. The paper has, on CIFAR-10, 0.468 s and 1.184 GB for SAF-E against 0.666 s
and 1.656 GB for OTTT_O, and 0.247 s and 1.157 GB for SAF-F against 0.661 s and 1.656 GB for
OTTT_A; here it is one CPU thread and the memory of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from training_cost import Minibatch, Way, main

from snncc.nn import SAFNet


def build(widths: Sequence[int]) -> nn.Module:
    return SAFNet(widths=widths, pools=(True, True, False), time_steps=6)


def way(logits: Callable[[SAFNet, Tensor], Iterable[Tensor]], update_each: bool = False) -> Way:
    def minibatch(
        network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
    ) -> None:
        assert isinstance(network, SAFNet)
        optimizer.zero_grad()
        for each in logits(network, images):
            F.cross_entropy(each, labels).backward()
            if update_each:
                optimizer.step()
                optimizer.zero_grad()
        if not update_each:
            optimizer.step()

    checked: Minibatch = minibatch
    return Way(build, checked)


WAYS = {
    "SAF-E": way(SAFNet.saf_e),
    "SAF-F": way(lambda network, x: [network.saf_f(x)]),
    "OTTT_O": way(SAFNet.ottt, update_each=True),
    "OTTT_A": way(SAFNet.ottt),
    "BPTT": way(lambda network, x: [network(x)]),
}

if __name__ == "__main__":
    assert __doc__ is not None
    main(
        __doc__.split("\n")[0],
        WAYS,
        {"example": (16, 32, 32), "wide": (64, 128, 128)},
        [
            ("SAF-E", "OTTT_O"),
            ("SAF-E", "OTTT_A"),
            ("SAF-F", "OTTT_A"),
            ("SAF-E", "BPTT"),
            ("SAF-F", "BPTT"),
        ],
        50,
        {
            "SAF-E / OTTT_O": {"time": 0.468 / 0.666, "memory": 1.184 / 1.656},
            "SAF-F / OTTT_A": {"time": 0.247 / 0.661, "memory": 1.157 / 1.656},
        },
    )
