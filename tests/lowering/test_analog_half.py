"""Linear maps behind analog currents and spikes: by linearity the analog half is an encoder's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.nn import IF, LIF

T, N = 4, 3
IMAGE = 2 * torch.rand(N, 2, 6, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """``mix`` makes of a stem's current (T, N, 4, 6, 6) what the last neuron reads."""

    def __init__(self, mix: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.conv = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.down, self.fc = nn.Conv2d(4, 6, 1, stride=2), nn.LazyLinear(5)
        self.more, self.norm = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
        nn.init.uniform_(self.norm.weight, -1, 2)
        nn.init.normal_(self.norm.bias)
        self.sn, self.sn2, self.sn3, self.mix = LIF(), IF(), LIF(), mix
        self(IMAGE)

    def over(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = layer(x.flatten(0, 1))
        return y.unflatten(0, x.shape[:2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        current = self.stem(3 * x).unsqueeze(0).repeat(T, 1, 1, 1, 1)
        y: torch.Tensor = self.fc(self.sn3(self.mix(self, current)).flatten(2))
        return y.mean(0)


def membrane_shortcut(net: Net, current: torch.Tensor) -> torch.Tensor:
    return current + net.over(net.conv, net.sn(current))


def down(net: Net, current: torch.Tensor) -> torch.Tensor:
    """The shortcut of a residual block on membranes that halves the size."""
    y = membrane_shortcut(net, current)
    return net.over(net.down, y) + net.over(net.norm, net.over(net.more, net.sn2(y)))


def minus(net: Net, current: torch.Tensor) -> torch.Tensor:
    return net.over(net.down, 0.5 * net.over(net.conv, net.sn(current)) - 2 * current)


def joined(net: Net, current: torch.Tensor) -> torch.Tensor:
    both = torch.cat([current[:, :, :2], net.sn(current)[:, :, 2:]], 2)
    return net.over(net.conv, net.over(net.conv, both))


def pooled(net: Net, current: torch.Tensor) -> torch.Tensor:
    y = net.over(nn.AvgPool2d(2), current + net.sn(current))
    return net.over(net.down, y)


@pytest.mark.slow
@pytest.mark.parametrize("mix", [down, minus, joined, pooled])
def test_the_analog_half_is_on_the_host(mix: Any) -> None:
    net = Net(mix).eval()
    program = snncc.compile(net, IMAGE, "loihi", layout="N")
    image = 2 * torch.rand(7, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    comparison = snncc.compare(net, program, image)
    assert comparison.equal
    with torch.no_grad():
        expected = net.double()(image.double())
    assert torch.allclose(program.run(image).logits, expected, rtol=0, atol=1e-9)
    report = snncc.check(net.float(), IMAGE, "loihi", layout="N")
    notes = [f.message for f in report.findings if f.code == "SNN501"]
    assert any("half of what sn3 reads is computed on the host" in note for note in notes)


@pytest.mark.parametrize("mix", [down, minus])
def test_strictly_it_is_an_error(mix: Any) -> None:
    report = snncc.check(Net(mix).eval(), IMAGE, "loihi", layout="N", strict=True)
    assert {f.code for f in report.findings if f.is_error} >= {"SNN102"}


@pytest.mark.parametrize(
    "mix",
    [
        lambda net, current: net.over(net.down, torch.relu(membrane_shortcut(net, current))),
        lambda net, current: net.over(net.down, current * net.sn(current)),
        lambda net, current: net.over(
            net.down, nn.functional.max_pool3d(current + net.sn(current), 1, 1) ** 2
        ),
    ],
    ids=["relu of both", "a product of both", "a square of both"],
)
def test_what_is_not_linear_in_both(mix: Any) -> None:
    with pytest.raises(SnnccError, match="SNN1"):
        snncc.compile(Net(mix).eval(), IMAGE, "loihi", layout="N")
