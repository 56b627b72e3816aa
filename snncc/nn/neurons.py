"""Multi-step spiking neurons: (T, N, …) currents in, spikes of the same shape out.

The membrane lives inside one call: it starts at `v_reset` and is forgotten at the end, so a
neuron module has no state between calls and may be used at several places. In each step

1. the membrane is charged (`charge`, what tells the neurons apart),
2. it spikes where `v >= threshold` (on equality too, as SpikingJelly does),
3. and is reset where it spiked: hard, v ← v_reset; soft, v ← v − threshold.

No gradient flows through the reset.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from snncc.nn.surrogate import ATan, Surrogate

Reset = Literal["hard", "soft"]


class Neuron(nn.Module):
    """What all neurons here share: threshold, reset and surrogate. Raises ValueError on a
    threshold that is not positive, on `v_reset >= threshold`, on an unknown reset, and on a
    soft reset with a `v_reset`, which it would never use."""

    def __init__(
        self,
        threshold: float = 1.0,
        v_reset: float = 0.0,
        reset: Reset = "hard",
        surrogate: Surrogate = ATan(),  # noqa: B008 - frozen, so safe to share
    ) -> None:
        super().__init__()
        if not threshold > 0:
            raise ValueError(f"threshold must be positive, not {threshold}")
        if not v_reset < threshold:
            raise ValueError(f"v_reset must lie below the threshold {threshold}, not at {v_reset}")
        if reset not in ("hard", "soft"):
            raise ValueError(f"reset must be 'hard' or 'soft', not {reset!r}")
        if reset == "soft" and v_reset != 0:
            raise ValueError(f"a soft reset subtracts the threshold; v_reset={v_reset} has no use")
        self.threshold = threshold
        self.v_reset = v_reset
        self.reset: Reset = reset
        self.surrogate = surrogate

    @abstractmethod
    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """The membrane after one step of input x, before it may spike (shapes (N, …))."""

    def forward(self, x: Tensor) -> Tensor:
        """Currents (T, N, …) to spikes {0, 1} of the same shape and dtype."""
        v = torch.full_like(x[0], self.v_reset)
        spikes = []
        for current in x.unbind(0):
            v = self.charge(v, current)
            spike = self.surrogate(v - self.threshold)
            spikes.append(spike)
            fired = spike.detach()
            if self.reset == "hard":
                v = torch.where(fired > 0, self.v_reset, v)
            else:
                v = v - self.threshold * fired
        return torch.stack(spikes)

    def extra_repr(self) -> str:
        return (
            f"threshold={self.threshold}, v_reset={self.v_reset}, reset={self.reset!r}, "
            f"surrogate={self.surrogate}"
        )


class IF(Neuron):
    """Integrate and fire: v ← v + x."""

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        return v + x


class LIF(Neuron):
    """Leaky integrate and fire with time constant `tau` (in steps, at least 1).

    With `decay_input`, v ← v + (x − (v − v_reset)) / tau; without, v ← v − (v − v_reset)/tau + x.
    """

    def __init__(
        self,
        tau: float = 2.0,
        decay_input: bool = True,
        threshold: float = 1.0,
        v_reset: float = 0.0,
        reset: Reset = "hard",
        surrogate: Surrogate = ATan(),  # noqa: B008
    ) -> None:
        super().__init__(threshold, v_reset, reset, surrogate)
        if not tau >= 1:
            raise ValueError(f"tau must be at least 1 step, not {tau}")
        self.tau = tau
        self.decay_input = decay_input

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        if self.decay_input:
            return v + (x - (v - self.v_reset)) / self.tau
        return v - (v - self.v_reset) / self.tau + x

    def extra_repr(self) -> str:
        return f"tau={self.tau}, decay_input={self.decay_input}, {super().extra_repr()}"


class PLIF(Neuron):
    """LIF whose time constant is learnt: 1/tau = sigmoid(w), one scalar w per module.

    Fang et al. 2021; `w` has SpikingJelly's name and meaning. `init_tau` > 1.
    """

    def __init__(
        self,
        init_tau: float = 2.0,
        decay_input: bool = True,
        threshold: float = 1.0,
        v_reset: float = 0.0,
        reset: Reset = "hard",
        surrogate: Surrogate = ATan(),  # noqa: B008
    ) -> None:
        super().__init__(threshold, v_reset, reset, surrogate)
        if not init_tau > 1:
            raise ValueError(f"init_tau must be greater than 1 step, not {init_tau}")
        self.decay_input = decay_input
        self.w = nn.Parameter(torch.tensor(-math.log(init_tau - 1)))

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        decay = self.w.sigmoid()
        if self.decay_input:
            return v + (x - (v - self.v_reset)) * decay
        return v - (v - self.v_reset) * decay + x

    def extra_repr(self) -> str:
        return f"decay_input={self.decay_input}, {super().extra_repr()}"
