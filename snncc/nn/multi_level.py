"""Multi-level firing and the dormant-suppressed residual block (Feng et al. 2022, 2210.06386)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snncc.nn.over_time import OverTime
from snncc.nn.surrogate import Rectangular, Surrogate

THRESHOLDS = (0.6, 1.6, 2.6)
"""V_k of the paper's three levels."""


class MLF(nn.Module):
    """K neurons on one input, each with a threshold and a membrane of its own, added up.

    In each step, for level k with threshold V_k: u_k ← tau·u_k·(1 − s_k) + x; s_k = [u_k > V_k],
    strictly. What leaves is the number of levels that fired, 0 to K. ``tau`` is a factor, not a
    time constant. The state lives inside one call. Raises ValueError without a threshold or with
    one that is not positive, and on a ``tau`` outside of [0, 1].
    """

    def __init__(
        self,
        tau: float = 0.25,
        thresholds: Sequence[float] = THRESHOLDS,
        surrogate: Surrogate = Rectangular(),  # noqa: B008 - frozen, so safe to share
    ) -> None:
        super().__init__()
        if not thresholds or not min(thresholds) > 0:
            raise ValueError(f"thresholds must be positive, not {tuple(thresholds)}")
        if not 0 <= tau <= 1:
            raise ValueError(f"tau must be from 0 to 1, not {tau}")
        self.tau = tau
        self.thresholds = tuple(map(float, thresholds))
        self.surrogate = surrogate

    def forward(self, x: Tensor) -> Tensor:
        """Currents (T, N, …) to counts {0, …, K} of the same shape."""
        return self.levels(x)[1].sum(1)

    def levels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Currents (T, N, …) to the membranes u before their reset and the spikes s of each level,
        (T, K, N, …) both."""
        threshold = x.new_tensor(self.thresholds).reshape(-1, *(1,) * (x.dim() - 1))
        u = s = torch.zeros_like(x[0]).expand(len(self.thresholds), *x.shape[1:])
        membranes, spikes = [], []
        for current in x.unbind(0):
            u = self.tau * u * (1 - s.detach()) + current
            s = 1 - self.surrogate(threshold - u)  # the surrogate fires at 0, this does not
            membranes.append(u)
            spikes.append(s)
        return torch.stack(membranes), torch.stack(spikes)

    def extra_repr(self) -> str:
        return f"tau={self.tau}, thresholds={self.thresholds}, surrogate={self.surrogate}"


class TDBatchNorm(nn.Module):
    """Threshold-dependent batch norm as the MLF authors write it.

    alpha·threshold·(x − μ) / (√σ² + eps)·weight + bias over (T, N, C, H, W), the statistics of a
    channel taken over everything else. ``eps`` is outside of the root, other than in torch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels: int,
        threshold: float = 0.6,
        alpha: float = 1.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.gain, self.eps, self.momentum = alpha * threshold, eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        """(T, N, C, H, W) to the same shape."""
        mean, variance = self.running_mean, self.running_var
        if self.training:
            axes = (0, 1, 3, 4)
            mean, variance = x.mean(axes), x.var(axes, unbiased=False)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        mean, variance, weight, bias = (
            each[:, None, None] for each in (mean, variance, self.weight, self.bias)
        )
        return self.gain * (x - mean) / (torch.sqrt(variance) + self.eps) * weight + bias

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, gain={self.gain}, eps={self.eps}"


class DSBlock(nn.Module):
    """The dormant-suppressed residual block: the sum comes after firing.

    out = MLF(tdBN(conv2(MLF(tdBN(conv1 x))))) + shortcut(x), with 3×3 convs; the shortcut is the
    identity or, where the shape changes, MLF(tdBN(conv1×1)).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        thresholds: Sequence[float] = THRESHOLDS,
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_conv_norm(in_channels, channels, 3, stride),
            MLF(thresholds=thresholds),
            *_conv_norm(channels, channels, 3, 1),
            MLF(thresholds=thresholds),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                *_conv_norm(in_channels, channels, 1, stride), MLF(thresholds=thresholds)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Counts (T, N, in_channels, H, W) to counts (T, N, channels, H', W')."""
        out: Tensor = self.residual(x) + self.shortcut(x)
        return out


class PlainBlock(nn.Module):
    """The residual block of a plain spiking ResNet, to compare with: the sum comes before firing.

    out = MLF(tdBN(conv2(MLF(tdBN(conv1 x)))) + shortcut(x)), with 3×3 convs; the shortcut is the
    identity or, where the shape changes, tdBN(conv1×1). Input and output as for `DSBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        thresholds: Sequence[float] = THRESHOLDS,
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *_conv_norm(in_channels, channels, 3, stride),
            MLF(thresholds=thresholds),
            *_conv_norm(channels, channels, 3, 1),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(*_conv_norm(in_channels, channels, 1, stride))
        self.mlf = MLF(thresholds=thresholds)

    def forward(self, x: Tensor) -> Tensor:
        """Counts (T, N, in_channels, H, W) to counts (T, N, channels, H', W')."""
        out: Tensor = self.mlf(self.residual(x) + self.shortcut(x))
        return out


def _conv_norm(in_channels: int, channels: int, kernel: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
    return [OverTime(conv), TDBatchNorm(channels)]
