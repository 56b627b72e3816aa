"""The largest value over time as a readout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.ir.ops import OverTime

T, N = 4, 3
EVENTS = (torch.rand(T, N, 8) < 0.5).float()


class Net(nn.Module):
    def __init__(self, read: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(16, 4), nn.Linear(4, 4)
        self.sn, self.sn2, self.read = snncc.nn.LIF(), snncc.nn.LIF(), read

    def forward(self, x: torch.Tensor) -> Any:
        return self.read(self, self.b(self.sn(4 * self.a(x))))


READ = {
    "max": lambda net, y: y.max(0)[0],
    "torch.max": lambda net, y: torch.max(y, 0).values,
    "by name": lambda net, y: torch.max(y, dim=0)[0],
    "amax": lambda net, y: y.amax(0),
    "torch.amax": lambda net, y: torch.amax(y, dim=(0,)),
    "a tuple": lambda net, y: next(iter(torch.max(y, 0))),
    "time second": lambda net, y: y.transpose(0, 1).max(1)[0],
    "a loop": lambda net, y: torch.stack([net.c(step) for step in y]).max(0)[0],
    "softmax of it": lambda net, y: y.max(0)[0].softmax(-1),
    "of spikes": lambda net, y: net.sn2(20 * y).amax(0),
}


@pytest.mark.parametrize("name", READ)
def test_the_largest_output(agree: Any, name: str) -> None:
    graph, network = agree(Net(READ[name]).eval(), EVENTS, input="spike", layout="TN")
    assert graph.of_type(OverTime)[0].op == OverTime("max")
    assert network.readouts[0].over_time == "max"


def test_compiled_for_whole_numbers_and_saved(tmp_path: Any) -> None:
    net = Net(READ["max"]).eval()
    options = {"calibration": EVENTS, "weight_bits": 8}
    program = snncc.compile(net, EVENTS, "loihi", input="spike", layout="TN", **options)
    program.save(tmp_path / "p")
    again = snncc.load(tmp_path / "p")
    outputs = again.run(EVENTS).outputs
    assert torch.equal(again.run(EVENTS).logits, torch.as_tensor(outputs).amax(0))


REFUSED = {
    "a layer behind": lambda net, y: net.c(y.max(0)[0]),
    "a factor": lambda net, y: -y.max(0)[0],
    "and the mean": lambda net, y: y.max(0)[0] + y.mean(0),
    "a neuron behind": lambda net, y: net.sn2(y.max(0, keepdim=True)[0].repeat(T, 1, 1)),
    "the step": lambda net, y: y.max(0)[1].float(),
    "the smallest": lambda net, y: y.min(0)[0],
    "over samples": lambda net, y: y.max(1)[0],
    "over features": lambda net, y: y.mean(0).max(-1)[0],
    "over time and features": lambda net, y: y.amax((0, 2)),
    "of everything": lambda net, y: y.max(),
    "so far": lambda net, y: torch.cummax(y, 0).values[-1],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_largest_output(name: str) -> None:
    with pytest.raises(SnnccError, match="SNN[13]"):
        snncc.compile(Net(REFUSED[name]).eval(), EVENTS, "loihi", input="spike", layout="TN")
