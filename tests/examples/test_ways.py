"""Every gate and both kinds of blocks of dual-stream training compile to their stripped network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import snncc
from snncc.nn import DualStreamResNet

GATES = ("and", "iand", "or", "xor", "add", "sum")


@pytest.mark.slow
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("gate", GATES)
def test_the_auxiliary_pathway_is_stripped_and_no_spike_differs(gate, block):
    torch.manual_seed(0)
    network = DualStreamResNet(
        widths=(2, 3), blocks=(1, 1), gate=gate, block=block, zero_init=False
    ).eval()
    inputs = (torch.rand(3, 4, 2, 6, 6) < 0.3).float()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 2)
            torch.nn.init.uniform_(layer.bias, -0.2, 0.6)
    program = snncc.compile(network, inputs[:, :2], input="spike", strict=True)
    comparison = snncc.compare(network, program, inputs)
    assert comparison.equal
    assert not comparison.ties
    assert comparison.compared > 0
    kept = replace(program, keep_aap=True)
    spike, auxiliary = (each.detach().double() for each in network.double()(inputs.double()))
    result = kept.run(inputs)
    torch.testing.assert_close(result.logits, spike)
    torch.testing.assert_close(result.heads["aap"], auxiliary)
    torch.testing.assert_close(result.heads["average"], (spike + auxiliary) / 2)
