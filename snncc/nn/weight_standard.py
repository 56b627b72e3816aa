"""Layers with scaled weight standardisation (Brock et al. 2021, 2101.08692), as OTTT uses them.

Ŵ = gain·(W − μ) / √(σ²·fan_in + eps), with the mean μ and the variance σ² of all weights that lead
to one output, and one learnt ``gain`` per output. Nothing of it depends on the data: a compiler
takes Ŵ as a constant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def standardised(weight: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Ŵ of a weight (out, …) with gains (out, 1, …); the variance is the unbiased one."""
    axes = tuple(range(1, weight.dim()))
    variance, mean = torch.var_mean(weight, axes, keepdim=True)
    scale: Tensor = gain / torch.sqrt(variance * weight[0].numel() + eps)
    return scale * (weight - mean)


class ScaledWSConv2d(nn.Conv2d):
    """`nn.Conv2d` with standardised weights; the arguments are those of `nn.Conv2d`."""

    def __init__(self, *arguments: Any, eps: float = 1e-4, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))
        self.eps = eps

    def forward(self, x: Tensor, bias_scale: float = 1.0) -> Tensor:
        """(N, C, H, W) to (N, C', H', W'); the bias counts ``bias_scale`` times."""
        bias = None if self.bias is None else self.bias * bias_scale
        y: Tensor = self._conv_forward(x, standardised(self.weight, self.gain, self.eps), bias)
        return y


class ScaledWSLinear(nn.Linear):
    """`nn.Linear` with standardised weights; the arguments are those of `nn.Linear`."""

    def __init__(self, *arguments: Any, eps: float = 1e-4, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gain = nn.Parameter(torch.ones(self.out_features, 1))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        return F.linear(x, standardised(self.weight, self.gain, self.eps), self.bias)
