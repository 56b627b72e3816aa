"""The number of samples as forward sees it: a number, whose comparisons are noted."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import nn

import snncc
from snncc.frontends.torch import record
from snncc.frontends.torch.guards import MOST, Samples, other_answers, sizes


def samples(value: int = 3) -> Samples:
    (made,) = sizes((value,), ("N",), 4, [])
    assert isinstance(made, Samples)
    return made


@pytest.mark.parametrize(
    ("ask", "other"),
    [
        (lambda n: n > 16, {17}),
        (lambda n: n == 5, {5}),
        (lambda n: n != 3, {1}),
        (lambda n: n <= 3, {4}),
        (lambda n: 2 * n + 1 >= 20, {10}),
        (lambda n: 40 - n < 10, {31}),
        (lambda n: n // 4 == 2, {8}),
        (lambda n: n % 2 == 0, {2}),
        (lambda n: 12 // n == 12, {1}),
        (lambda n: n * n > 50, {8}),
        (lambda n: n > 10, {11}),
        (lambda n: n > 0, set()),
        (lambda n: bool(n), set()),
        (lambda n: n > 2 * MOST, {4 * MOST}),
        (lambda n: n / 64 > 0.2, {13}),
        (lambda n: 100 / n < 10, {11}),
        (lambda n: (n >> 3) & 1 == 1, {8}),
        (lambda n: abs(-n) ** 2 > 99, {10}),
        (lambda n: n == "three", set()),
        (lambda n: max(n, 8), {8}),
    ],
)
def test_the_least_number_that_answers_otherwise(ask, other):
    n = samples()
    ask(n)
    assert other_answers(n.guards) == other


@pytest.mark.parametrize("make", [operator.add, operator.sub, operator.mul, operator.floordiv])
def test_it_counts_as_a_number_does(make):
    for one, two in ((samples(), 2), (2, samples()), (samples(), samples(5))):
        made = make(one, two)
        assert made == make(int(one), int(two))
        assert isinstance(made, Samples)
    assert samples() / 2 == 1.5
    assert isinstance(samples() / 2, float)
    assert [0] * samples() == [0, 0, 0]
    assert {samples(): "a"}[3] == "a"
    assert f"{samples()} {samples():02d}" == "3 03"


def test_torch_takes_it_as_a_size():
    shape = sizes((4, 3, 5), ("T", "N", "F"), 4, [])
    assert [type(n) for n in shape] == [int, Samples, int]
    assert shape == torch.Size([4, 3, 5])
    assert torch.zeros(shape).view(shape[0] * shape[1], -1).shape == (12, 5)
    joined = sizes((12, 5), ("TN", "F"), 4, [])[0]
    assert (joined.of(7), joined) == (28, 12)


class Asks(nn.Module):
    def __init__(self, ask) -> None:
        super().__init__()
        self.sn, self.ask = snncc.nn.IF(), ask

    def forward(self, x):
        return self.sn(x if self.ask(x) else 1 - x)


@pytest.mark.parametrize(
    ("ask", "other"),
    [
        (lambda x: x.shape[1] < 16, {16}),
        (lambda x: x.size()[1] < 16, {16}),
        (lambda x: x.size(1) < 16, {16}),
        (lambda x: x.size(dim=1) < 16, {16}),
        (lambda x: x.flatten(0, 1).shape[0] < 64, {16}),
        (lambda x: x.numel() < 320, {16}),
        (lambda x: len(x.transpose(0, 1)) < 16, {16}),
        (lambda x: len(x.movedim(1, 0)) == 5, {5}),
        (lambda x: len(x) == 4, set()),
        (lambda x: len([*x]) == 4, set()),
        (lambda x: x.shape[0] == 4, set()),
        (lambda x: x.shape[2] == 5, set()),
        (lambda x: x.shape == x.clone().shape, set()),
    ],
)
def test_what_forward_asks_is_noted(ask, other):
    x = torch.ones(4, 2, 5)
    recording = record(Asks(ask).eval(), x, input="spike", layout="TN")
    assert recording.samples == other


class Catching(nn.Module):
    """Another value where a call raises an error, which it does by the number of samples."""

    def __init__(self, call):
        super().__init__()
        self.neuron, self.call = snncc.nn.IF(), call

    def forward(self, x):
        spikes = self.neuron(x)
        try:
            return self.call(spikes)
        except RuntimeError:
            return spikes


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a.view(-1, 20, a.shape[-1]).flatten(0, 1) * 0 + a,
        lambda a: a * torch.ones(20, 1),
        lambda a: torch.stack([a, torch.zeros(4, 20, 6)]).sum(0),
        lambda a: a.reshape(4, 20, 6) * 0,
        lambda a: a + 0 * (torch.ones(20) + torch.ones(a.shape[1])).sum(),
    ],
)
def test_an_error_that_forward_catches_may_hang_on_the_number_of_samples(call):
    with pytest.raises(snncc.SnnccError, match="SNN302.*forward goes on after"):
        snncc.trace(Catching(call).eval(), torch.ones(4, 3, 6), input="spike", layout="TN")
