"""SNN2ANN (Tang et al. 2022, 2206.09449): an ANN trains the weights of a spiking network.

A layer has two branches. With the weights W of a conv, γ, β, μ, σ² of its batch norm, and T steps:

    SNN, each step    I[t] = W'·s_in[t] + b';  W' = W·γ/√(σ²+ε),  b' = (β − μ·γ/√(σ²+ε))/T
                      h = m + I[t];  s[t] = [h > V_th], strictly;  m = h·(1 − s[t])
    ANN, once         x = ReLU(BN(W·N_in));  N = Σ_t s[t];  out = mapping unit(x, N)

The mapping unit puts the spike counts N in the place of x and lets the gradient through to x. So
the SNN branch needs no gradient at all, and the ANN branch learns what the spikes are. V_th is one
number per neuron, which no gradient reaches: `AdaptiveIF.adapt` moves it.

The equations are those of the authors' code. Inferred, not read: μ and σ² of the SNN branch are the
running statistics, in training too; adaptation averages over the samples of a batch, for each
neuron; the ANN branch hears an image T times; a pool is a layer without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.nn.surrogate import ATan, Surrogate

Mapping = Literal["stsu", "resu"]


class AdaptiveIF(nn.Module):
    """Integrate and fire with a threshold per neuron: strictly above it, hard reset to 0.

    ``shape``: of the neurons, without time and samples. The thresholds are drawn from U(0, 1).
    The state lives inside one call.
    """

    threshold: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        surrogate: Surrogate = ATan(),  # noqa: B008 - frozen, so safe to share
    ) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.rand(tuple(shape)))
        self.surrogate = surrogate

    def forward(self, x: Tensor) -> Tensor:
        """Currents (T, N, *shape) to spikes {0, 1}. No gradient flows through the reset."""
        m = torch.zeros_like(x[0])
        spikes = []
        for current in x.unbind(0):
            h = m + current
            s = 1 - self.surrogate(self.threshold - h)  # the surrogate fires at 0, this does not
            m = h * (1 - s.detach())
            spikes.append(s)
        return torch.stack(spikes)

    @torch.no_grad()
    def adapt(self, x: Tensor, counts: Tensor) -> None:
        """Adaptive threshold adjustment: V ← 0.9·V + 0.1·(V + 0.1·e), from one batch (N, *shape).

        e is 1 for a neuron that fires although its ANN branch says 0 in more than a tenth of the
        samples: e = [mean([x = 0]·[counts > 0]) > 0.1].
        """
        noisy = ((x == 0) & (counts > 0)).to(x.dtype).mean(0)
        e = (noisy > 0.1).to(x.dtype)
        self.threshold.copy_(0.9 * self.threshold + 0.1 * (self.threshold + 0.1 * e))

    def extra_repr(self) -> str:
        return f"{tuple(self.threshold.shape)}, surrogate={self.surrogate}"


class MappingUnit(nn.Module):
    """Puts the counts N in the place of the activation x; the gradient is that of x.

    "stsu", the straight-through spiking unit, yields N. "resu", the rectified spiking unit, yields
    N·[x > 0]: a spike that the ANN branch knows nothing of is dropped.
    """

    def __init__(self, kind: Mapping = "stsu") -> None:
        super().__init__()
        if kind not in ("stsu", "resu"):
            raise ValueError(f"mapping must be 'stsu' or 'resu', not {kind!r}")
        self.kind: Mapping = kind

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """x ≥ 0 and counts, both (N, …), to the same shape."""
        if self.kind == "resu":
            counts = counts * (x > 0)
        return counts + (x - x.detach())

    def extra_repr(self) -> str:
        return self.kind


class SharedConv(nn.Module):
    """A 3×3 conv and its batch norm, with both branches.

    shape: (C', H, W) of the output; time_steps: T, over which the bias is spread.
    """

    def __init__(
        self, in_channels: int, shape: Sequence[int], time_steps: int, mapping: Mapping
    ) -> None:
        super().__init__()
        self.time_steps = time_steps
        self.conv = nn.Conv2d(in_channels, shape[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(shape[0])
        self.neuron = AdaptiveIF(shape)
        self.mapping = MappingUnit(mapping)

    def current(self, x: Tensor) -> Tensor:
        """What the SNN branch's neurons hear in one step, W'·x + b', (N, C, H, W)."""
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        bias = (norm.bias - gain * norm.running_mean) / self.time_steps
        return F.conv2d(x, self.conv.weight * gain[:, None, None, None], bias, padding=1)

    def current_of_step(self, x: Tensor) -> Tensor:
        """The current where no ANN branch takes statistics: BN(W·x), its batch being that of x."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def activation(self, n: Tensor) -> Tensor:
        """The ANN branch before its mapping unit, ReLU(BN(W·n))."""
        return F.relu(self.norm(self.conv(n)))


class SharedPool(nn.Module):
    """A 2×2 average pool with neurons behind it, so that what leaves is spikes; both branches.

    shape: (C, H, W) of the output.
    """

    def __init__(self, shape: Sequence[int], mapping: Mapping) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.neuron = AdaptiveIF(shape)
        self.mapping = MappingUnit(mapping)

    def current(self, x: Tensor) -> Tensor:
        """The average over 2×2, (N, C, H, W) to half the height and width."""
        y: Tensor = self.pool(x)
        return y

    def current_of_step(self, x: Tensor) -> Tensor:
        return self.current(x)

    def activation(self, n: Tensor) -> Tensor:
        """ReLU(average of n)."""
        return F.relu(self.pool(n))


class SNN2ANNNet(nn.Module):
    """3×3 convs and average pools with spiking neurons behind each, then `fc`.

    in_channels, size, classes: of images (N, in_channels, size, size) and of the logits.
    full_scale: pixels are divided by it.
    widths, pools: per conv, its channels and whether a pool follows.
    time_steps: T; every step sees the same image, and the ANN branch T times the image.
    mapping: of all mapping units, "stsu" or "resu".
    auxiliary: with the ANN branch the network returns (y_snn, y_ann), and is trained by the loss of
        y_ann; y_snn has no gradient but that of `fc`. Without, it returns y_snn, and gradients
        flow through all steps of the spiking neurons: backpropagation through time. Then each
        step's current is normed as it is, and thresholds stay as they were drawn.
    pool: only "avg". The paper also has "max", which takes the largest of the analog currents
        before the neurons: no network of spikes alone can do that.

    Readout: `fc` of the mean over the steps. Raises ValueError on "max" and other unknown names,
    on widths and pools of different lengths, and on fewer than one step.
    """

    def __init__(
        self,
        in_channels: int = 1,
        size: int = 28,
        classes: int = 10,
        widths: Sequence[int] = (16, 32, 32),
        pools: Sequence[bool] = (True, True, False),
        time_steps: int = 4,
        mapping: Mapping = "stsu",
        auxiliary: bool = True,
        pool: str = "avg",
        full_scale: float = 255.0,
    ) -> None:
        super().__init__()
        if pool != "avg":
            raise ValueError(
                f"pool must be 'avg', not {pool!r}: 'max' compares analog currents, not spikes"
            )
        if not widths or len(widths) != len(pools):
            raise ValueError(f"one pool per width: {len(widths)} widths, {len(pools)} pools")
        if time_steps < 1:
            raise ValueError(f"time_steps must be at least 1, not {time_steps}")
        self.time_steps, self.auxiliary, self.full_scale = time_steps, auxiliary, full_scale
        self.layers = nn.ModuleList()
        channels = in_channels
        for width, pooled in zip(widths, pools, strict=True):
            self.layers.append(SharedConv(channels, (width, size, size), time_steps, mapping))
            channels = width
            if pooled:
                size //= 2
                self.layers.append(SharedPool((channels, size, size), mapping))
        self.fc = nn.Linear(channels * size * size, classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images (N, C, H, W) to logits (N, classes), or to a pair of them."""
        image = x / self.full_scale
        s, n = image, image * self.time_steps
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, SharedConv | SharedPool)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.auxiliary):
                s = layer.neuron(self._current(layer, s, first=number == 0))
            if self.auxiliary:
                counts, activation = s.sum(0), layer.activation(n)
                if self.training:
                    layer.neuron.adapt(activation, counts)
                n = layer.mapping(activation, counts)
        y_snn: Tensor = self.fc(s.mean(0).flatten(1))
        return (y_snn, self.fc(n.flatten(1) / self.time_steps)) if self.auxiliary else y_snn

    def _current(self, layer: SharedConv | SharedPool, s: Tensor, first: bool) -> Tensor:
        """(T, N, …); the image is the same in every step, so that one call serves for all."""
        of_step: Callable[[Tensor], Tensor] = (
            layer.current if self.auxiliary else layer.current_of_step
        )
        if first:
            return of_step(s).unsqueeze(0).repeat(self.time_steps, 1, 1, 1, 1)
        over_time: Tensor = of_step(s.flatten(0, 1)).unflatten(0, (s.shape[0], s.shape[1]))
        return over_time
