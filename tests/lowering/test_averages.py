"""Averages of spikes compared with a number: the floats are those that torch makes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import snncc
from snncc.diagnostics import SnnccError
from snncc.nn import IF


class Net(nn.Module):
    """conv, IF, ``read`` of its spikes, IF."""

    def __init__(self, read):
        super().__init__()
        self.read = read
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.sn, self.out = IF(threshold=0.4), IF(threshold=0.5)
        nn.init.normal_(self.conv.weight, generator=torch.Generator().manual_seed(5))
        nn.init.zeros_(self.conv.bias)

    def forward(self, x):
        spikes = self.sn(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.out(self.read(spikes.flatten(0, 1)).double().unflatten(0, x.shape[:2]))


def sheets(size):
    generator = torch.Generator().manual_seed(0)
    for rate in (0.2, 0.35, 0.5, 0.8):
        yield (torch.rand(3, 8, 2, *size, generator=generator) < rate).double()


def compiled(read, size):
    """The program, after seeing that it spikes as the module does on other inputs."""
    net = Net(read).double().eval()
    example, *others = sheets(size)
    program = snncc.compile(net, example, "loihi", input="spike", layout="TN")
    fired = []
    for x in (example, *others):
        fired.append(net(x))
        assert torch.equal(program.run(x).spikes["out"], fired[-1])
    assert {0.0, 1.0} == set(torch.cat(fired).flatten().tolist())
    return program


READS = {
    "at most a third, of 15": ((3, 10), lambda a: F.adaptive_avg_pool2d(a, (1, 2)) <= 5 / 15),
    "at most a third, by sides": ((3, 10), lambda a: F.adaptive_avg_pool2d(a, (1, 2)) <= 5 / 3 / 5),
    "just a third, by sides": ((3, 10), lambda a: F.adaptive_avg_pool2d(a, (1, 2)) == 5 / 3 / 5),
    "at most a third, of all": ((3, 5), lambda a: F.adaptive_avg_pool2d(a, 1) <= 5 / 15),
    "a sheet too large for a table": (
        (7, 22), lambda a: F.adaptive_avg_pool2d(a, (1, 2)) <= 21 / 77),
    "windows of two sizes, between their values": (
        (3, 14), lambda a: F.adaptive_avg_pool2d(a, (1, 3)) <= 0.34),
    "windows of two sizes, a bent line": (
        (3, 5), lambda a: 0.8 * F.relu(F.adaptive_avg_pool2d(a, (1, 3)) - 6 / 3 / 6)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", READS)
def test_the_program_spikes_as_the_module_does(name):
    size, read = READS[name]
    compiled(read, size)


def test_the_two_thirds_are_told_apart():
    """5 / 15 and 5 / 3 / 5 are two floats, and one sum of the sheets lies between them."""
    _, low = READS["at most a third, of 15"]
    _, high = READS["at most a third, by sides"]
    a = torch.zeros(1, 1, 3, 10, dtype=torch.float64)
    a[..., :5] = torch.tensor([1, 1, 1, 1, 1, *[0] * 10]).reshape(3, 5)
    assert not low(a)[0, 0, 0, 0]
    assert high(a)[0, 0, 0, 0]


def test_thirds_of_two_windows_that_differ_by_rounding_are_refused():
    """5 / 3 / 5 > 1 / 3 = 6 / 3 / 6: in one window a third is at most that number, not in another.

    No sum of weighted spikes says which float torch has made of it.
    """
    assert 5 / 3 / 5 > 6 / 3 / 6
    net = Net(lambda a: F.adaptive_avg_pool2d(a, (1, 3)) <= 6 / 3 / 6).double().eval()
    with pytest.raises(SnnccError) as problem:
        snncc.compile(net, next(sheets((3, 14))), "loihi", input="spike", layout="TN")
    (finding,) = problem.value.findings
    assert finding.code == "SNN111"
    assert finding.node == "le"
    assert "tells averages apart that differ by rounding alone" in finding.message
