"""assert_spike_only in a test suite."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snncc.nn import IF
from snncc.testing import assert_spike_only


class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.fc, self.sn, self.last = nn.Linear(8, 8), nn.ModuleList([IF(), IF()]), activation

    def forward(self, x):
        return self.sn[1](self.last(self.fc(self.sn[0](x))))


EXAMPLE = torch.ones(4, 2, 8)


def test_a_spike_only_module_passes_and_gives_its_report():
    assert assert_spike_only(Net(nn.Identity()).eval(), EXAMPLE, input="spike").ok


def test_another_fails_with_every_finding():
    with pytest.raises(AssertionError) as failure:
        assert_spike_only(
            Net(nn.Sequential(nn.ReLU(), nn.Linear(8, 8), nn.GELU())).eval(), EXAMPLE, input="spike"
        )
    said = str(failure.value)
    assert said.startswith("Net is not spike-only")
    assert said.count("SNN105 error") == 2
    assert "  = help: " in said


def test_options_are_those_of_check():
    net = Net(nn.Identity()).eval()
    assert_spike_only(net, EXAMPLE)
    with pytest.raises(AssertionError, match="SNN101"):
        assert_spike_only(nn.Sequential(nn.Linear(8, 8), net).eval(), EXAMPLE, strict=True)
