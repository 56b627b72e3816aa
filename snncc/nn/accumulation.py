"""Spike accumulation forwarding (Saiin et al. 2023, 2310.02772): one network, two forms.

The network that is deployed is made of leaky neurons with a soft reset. With the factor λ, the
threshold V_th, the spikes s and a layer W, b,

    u[t] = λ·(u[t−1] − V_th·s[t−1]) + W·s_in[t] + b;    s[t] = H(u[t] − V_th)

Training can carry accumulated spikes â[t] = λ·â[t−1] + s[t] through the same layers instead:

    Û[t] = W·â_in[t] + b·(1 + λ + … + λ^(t−1));    s[t] = H(Û[t] − V_th·(λ·â[t−1] + 1))

The spikes are the same (eqs. 107 to 125): u[t] = Û[t] − V_th·λ·â[t−1]. No membrane is carried from
step to step, and Û[t] has the gradient that online training through time (OTTT, Xiao et al. 2022,
2210.04195) computes from its traces, so that one layer call serves for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from snncc.nn.neurons import LIF
from snncc.nn.over_time import OverTime
from snncc.nn.surrogate import Sigmoid, Surrogate
from snncc.nn.weight_standard import ScaledWSConv2d, ScaledWSLinear


class SpikeScale(nn.Module):
    """Spikes times a constant, then, with ``pool``, the average over 2×2."""

    def __init__(self, scale: float, pool: bool) -> None:
        super().__init__()
        self.scale = scale
        self.pool: nn.Module = nn.AvgPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same, or to half the height and width."""
        y: Tensor = self.pool(x) * self.scale
        return y

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class SAFNet(nn.Module):
    """Standardised 3×3 convs, each with its LIF, scale and pool; then a standardised `fc`.

    in_channels, size, classes: of images (N, in_channels, size, size) and of the logits.
    full_scale: pixels are divided by it.
    widths, pools: per conv, its channels and whether a 2×2 average pool follows.
    time_steps: T; every step sees the same image.
    decay, threshold, surrogate: λ, V_th and the gradient of all neurons.
    scale: of the spikes, 2.74 as in OTTT's VGG.

    `forward` is the network that is deployed; training through it is backpropagation through
    time. `saf_e`, `saf_f` and `ottt` are the other ways to train the same weights. Logits are the
    mean of `fc` over the steps, but in `saf_f`. Raises ValueError on widths and pools of different
    lengths, on fewer than one step, and on a decay outside of [0, 1).
    """

    def __init__(
        self,
        in_channels: int = 1,
        size: int = 28,
        classes: int = 10,
        widths: Sequence[int] = (16, 32, 32),
        pools: Sequence[bool] = (True, True, False),
        time_steps: int = 6,
        decay: float = 0.5,
        threshold: float = 1.0,
        scale: float = 2.74,
        full_scale: float = 255.0,
        surrogate: Surrogate = Sigmoid(),  # noqa: B008 - frozen, so safe to share
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(pools):
            raise ValueError(f"one pool per width: {len(widths)} widths, {len(pools)} pools")
        if time_steps < 1:
            raise ValueError(f"time_steps must be at least 1, not {time_steps}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, not {decay}")
        self.time_steps, self.decay, self.full_scale = time_steps, decay, full_scale
        self.threshold, self.surrogate = threshold, surrogate
        self.convs, self.neurons, self.scales = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = in_channels
        for width, pool in zip(widths, pools, strict=True):
            self.convs.append(ScaledWSConv2d(channels, width, 3, padding=1))
            self.neurons.append(
                LIF(1 / (1 - decay), False, threshold, reset="soft", surrogate=surrogate)
            )
            self.scales.append(SpikeScale(scale, pool))
            channels, size = width, size // 2 if pool else size
        self.fc = ScaledWSLinear(channels * size * size, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes), by leaky neurons."""
        x = self.convs[0](x / self.full_scale).unsqueeze(0).repeat(self.time_steps, 1, 1, 1, 1)
        for number, (neuron, scale) in enumerate(zip(self.neurons, self.scales, strict=True)):
            if number:
                x = OverTime(self.convs[number])(x)
            x = OverTime(scale)(neuron(x))
        logits: Tensor = self.fc(x.flatten(2)).mean(0)
        return logits

    def saf_e(self, x: Tensor) -> Iterator[Tensor]:
        """The logits of each step, by accumulation; nothing of an earlier step has a gradient.

        The losses of the steps are to be differentiated one by one, before the next is asked for.
        The gradient is that of OTTT (theorem 1). Between two steps the weights must not change.
        """
        for spikes, _ in self.accumulate(x):
            yield self._logits(spikes[-1])

    def saf_f(self, x: Tensor) -> Tensor:
        """The logits of the last step's accumulation, â[T] / (1 + λ + … + λ^(T−1)) through `fc`.

        The steps before have no gradient and keep nothing for one. The gradient is that of Spike
        Representation times V_th for each layer of neurons that it passes (theorem 2).
        """
        for _, accumulated in self.accumulate(x, gradient_from=self.time_steps):
            last = accumulated[-1]
        return self._logits(last / self._steps(self.time_steps))

    def ottt(self, x: Tensor) -> Iterator[Tensor]:
        """The logits of each step by online training through time: leaky neurons, and traces.

        Each layer is called on the spikes, for the membranes, and on the traces â, for the
        gradient. As in `saf_e`, the losses of the steps are to be differentiated one by one.
        """
        membranes: list[Tensor | None] = [None] * len(self.convs)
        traces: list[Tensor | float] = [0.0] * len(self.convs)
        for step in range(1, self.time_steps + 1):
            signal = x / self.full_scale
            trace = signal * self._steps(step)
            for number, conv in enumerate(self.convs):
                with torch.no_grad():
                    current = conv(signal)
                through = conv(trace, self._steps(step))
                current = current + (through - through.detach())
                left = membranes[number]
                u = current if left is None else left + current
                s = self.surrogate(u - self.threshold)
                fired = s.detach()
                membranes[number] = self.decay * (u.detach() - self.threshold * fired)
                accumulated = self.decay * traces[number] + s
                traces[number] = accumulated.detach()
                scale = self.scales[number]
                signal, trace = scale(fired), scale(accumulated)
            yield self._logits(s)

    def accumulate(
        self, x: Tensor, gradient_from: int = 1
    ) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """The spikes s[t] and the accumulations â[t] of each layer, step by step.

        Gradients flow within a step only, and only in steps from ``gradient_from`` on, counted
        from 1.
        """
        accumulations: list[Tensor | float] = [0.0] * len(self.convs)
        for step in range(1, self.time_steps + 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and step >= gradient_from):
                spikes, accumulated = [], []
                signal = x / self.full_scale * self._steps(step)
                for conv, scale, before in zip(self.convs, self.scales, accumulations, strict=True):
                    potential = conv(signal, self._steps(step))
                    past = self.decay * before
                    s = self.surrogate(potential - self.threshold * (past + 1))
                    spikes.append(s)
                    accumulated.append(past + s)
                    signal = scale(accumulated[-1])
            accumulations = [each.detach() for each in accumulated]
            yield spikes, accumulated

    def _steps(self, count: int) -> float:
        """1 + λ + … + λ^(count − 1): what a constant input adds up to."""
        return sum(self.decay**k for k in range(count))

    def _logits(self, signal: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.scales[-1](signal).flatten(1))
        return logits
