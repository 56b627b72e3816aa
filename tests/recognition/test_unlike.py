"""Why a loop is none, in words: each reason, with what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import snncc


class Loop(nn.Module):
    """A loop over one image; ``factor`` is that of the current in each step."""

    def __init__(self, steps, factor=lambda t: 1.0, read=sum):
        super().__init__()
        self.fc, self.steps, self.factor, self.read = nn.Linear(8, 8), steps, factor, read

    def forward(self, x):
        v, out = torch.zeros(8), []
        for t in range(self.steps):
            v = 0.5 * v + self.fc(x) * self.factor(t)
            s = (v >= 0.2).to(v.dtype)
            v = v - s
            out.append(s)
        return self.read(out)


def errors(module):
    report = snncc.check(module.eval(), torch.rand(2, 8), "reference", layout="N")
    return [finding for finding in report.findings if finding.is_error]


@pytest.mark.parametrize(
    ("loop", "said", "help"),
    [
        (Loop(5, lambda t: 1 + t), "is not like step", "same number in every step"),
        (Loop(5, read=lambda out: out[-1] + out[1]), "not of its last step", "return the last"),
    ],
)
def test_the_reason_is_at_the_comparison(loop, said, help):
    (finding,) = errors(loop)
    assert finding.code == "SNN318"
    assert "is a comparison in a loop, and is not recognised as a neuron" in finding.message
    assert said in finding.message
    assert help in finding.help


def test_one_step_is_no_loop():
    (finding,) = errors(Loop(1))
    assert finding.code == "SNN113"
    assert "is a comparison" in finding.message
    assert "at least three steps" in finding.help


def test_a_loop_of_three_steps_is_read():
    assert not errors(Loop(3))
