"""Scaled weight standardisation against numpy, weight by weight."""

import numpy as np
import torch
from torch import nn

from snncc.nn import ScaledWSConv2d, ScaledWSLinear


def by_hand(weight: np.ndarray, gain: np.ndarray, eps: float) -> np.ndarray:
    result = np.empty_like(weight)
    for output, each in enumerate(weight):
        variance = ((each - each.mean()) ** 2).sum() / (each.size - 1)
        result[output] = (
            gain[output].item() * (each - each.mean()) / (variance * each.size + eps) ** 0.5
        )
    return result


def test_conv() -> None:
    torch.manual_seed(0)
    conv = ScaledWSConv2d(3, 4, 3, padding=1, eps=0.1).double()
    nn.init.normal_(conv.gain)
    weight = torch.from_numpy(
        by_hand(conv.weight.detach().numpy(), conv.gain.detach().numpy(), 0.1)
    )
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    expected = nn.functional.conv2d(x, weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(x), expected)
    scaled = nn.functional.conv2d(x, weight, 1.75 * conv.bias, padding=1)
    torch.testing.assert_close(conv(x, 1.75), scaled)


def test_linear() -> None:
    torch.manual_seed(0)
    linear = ScaledWSLinear(6, 4, eps=1e-4).double()
    nn.init.normal_(linear.gain)
    weight = torch.from_numpy(
        by_hand(linear.weight.detach().numpy(), linear.gain.detach().numpy(), 1e-4)
    )
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(linear(x), nn.functional.linear(x, weight, linear.bias))


def test_without_bias() -> None:
    conv = ScaledWSConv2d(1, 2, 3, bias=False)
    assert not conv(torch.zeros(1, 1, 4, 4)).any()
