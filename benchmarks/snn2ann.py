"""Training with SNN2ANN against backpropagation through time, on the same network.

    python benchmarks/snn2ann.py [--rounds 7] [--record benchmarks/results/snn2ann.json]

One network of spiking neurons on digits, once the example's widths and once four times as wide;
SNN2ANN at 5 steps, BPTT with surrogate gradients at 5 and at 8 steps. The paper reports 0.625 of
the steps, 0.377 of the time and 0.27 of the GPU memory; here it is one CPU thread and the memory
of the process.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from training_cost import Way, main

from snncc.nn import SNN2ANNNet


def way(steps: int, auxiliary: bool) -> Way:
    def build(widths: Sequence[int]) -> nn.Module:
        return SNN2ANNNet(
            widths=widths, pools=(True, True, False), time_steps=steps, auxiliary=auxiliary
        )

    return Way(build, minibatch)


def minibatch(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> None:
    optimizer.zero_grad()
    found = network(images)
    F.cross_entropy(found if isinstance(found, Tensor) else found[1], labels).backward()
    optimizer.step()


WAYS = {
    "SNN2ANN, T = 5": way(5, auxiliary=True),
    "BPTT, T = 5": way(5, auxiliary=False),
    "BPTT, T = 8": way(8, auxiliary=False),
}

if __name__ == "__main__":
    assert __doc__ is not None
    main(
        __doc__.split("\n")[0],
        WAYS,
        {"example": (16, 32, 32), "wide": (64, 128, 128)},
        [("SNN2ANN, T = 5", "BPTT, T = 5"), ("SNN2ANN, T = 5", "BPTT, T = 8")],
        50,
        {"steps": 0.625, "time": 0.377, "memory": 0.27},
    )
