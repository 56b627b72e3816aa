"""The neuron of Lava-DL (types LOIHI and CUBA): Loihi's whole numbers in float64, which holds them.

    u ← tz(u·(4096 − iDecay) / 4096) + 64·x
    v ← tz(v·(4096 − vDecay) / 4096) + u + 64·bias,   held within ±(2²³ − 1)
    s = [v > 64·vThMant], and v ← 0 where s

tz truncates towards zero. Lava-DL: ``lava.lib.dl.netx.hdf5.Network.get_neuron_params`` and the
fixed-point model of ``lava.proc.lif``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.diagnostics import Finding
from snncc.frontends.lava_dl.file import Layer
from snncc.frontends.neurons import NeuronModule
from snncc.ir.ops import Dense, Op, Ref, WholeSpiking

TYPES = ("LOIHI", "CUBA")

UNITY = 4096
"""What decays are parts of."""

ONE = 64
"""A weight, a threshold or a bias of 1, in units of the membrane."""

_LIMITS = {"iDecay": (1, UNITY), "vDecay": (0, UNITY), "vThMant": (0, (1 << 17) - 1)}
"""The smallest and the largest value of each parameter."""

_FIXED = {"refDelay": 1, "wgtExp": 0, "weight_exp": 0, "gradedSpike": 0}
"""Parameters that have to have one value where they are there."""

PARAMETERS = frozenset({*_LIMITS, *_FIXED, "theta", "scaleRho", "tauRho"})
"""All that are known; the last ones are of training, and ``theta`` is 64·vThMant."""

BIAS = (-4096, 4095)
"""The mantissa of a bias, whose exponent is 6."""


@dataclass(frozen=True)
class Registers:
    """The parameters of a layer's neurons, whole numbers under Lava-DL's names."""

    i_decay: int
    v_decay: int
    v_th_mant: int

    @classmethod
    def of(cls, layer: Layer) -> Registers | Finding:
        """Those of a layer, or why they have no form here."""
        if layer.neuron_type not in TYPES:
            said = f"has neurons of type {layer.neuron_type[:20]!r}" if layer.neuron_type else (
                "has no neurons")  # fmt: skip
            return layer.unread(said, f"read are neurons of the types {' and '.join(TYPES)}")
        found = {}
        for name, (low, high) in _LIMITS.items():
            value = layer.neuron.get(name)
            if value is None or value.size != 1 or value.item() % 1:
                return layer.unread(f"does not give `{name}` as one whole number for all neurons")
            number = int(value.item())
            if not low <= number <= high:
                return layer.unread(f"has `{name}` {number}, beyond {low} to {high}")
            found[name] = number
        for name, expected in _FIXED.items():
            value = layer.neuron.get(name)
            if value is not None and np.any(value != expected):
                said = f"has `{name}` {value.ravel()[0]}, and only {expected} is read"
                return layer.unread(said)
        return cls(found["iDecay"], found["vDecay"], found["vThMant"])


class LoihiNeuron(nn.Module):
    """Neurons of a layer on currents x (T, N, *shape), in units of weight, to their spikes.

    ``bias`` broadcasts over the neurons. With ``weight_rec`` (n, n) the spikes of the step before
    add to the input. What is no whole number is rounded, half to even.
    """

    bias: Tensor
    weight_rec: Tensor | None

    def __init__(
        self, registers: Registers, bias: np.ndarray, weight_rec: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.registers = registers
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.float64)))
        back = None if weight_rec is None else torch.from_numpy(weight_rec.astype(np.float64))
        self.register_buffer("weight_rec", back)

    def forward(self, x: Tensor) -> Tensor:
        u = v = s = torch.zeros_like(x[0])
        spikes = []
        for current in x.unbind(0):
            if self.weight_rec is not None:
                current = current + F.linear(s, self.weight_rec)
            u = _wrapped(self._decayed(u, self.registers.i_decay) + ONE * current.round())
            v = self._decayed(v, self.registers.v_decay) + u + ONE * self.bias
            v = v.clamp(-(2.0**23) + 1, 2.0**23 - 1)
            s = (v > ONE * self.registers.v_th_mant).to(x.dtype)
            v = v * (1 - s)
            spikes.append(s)
        return torch.stack(spikes)

    @staticmethod
    def _decayed(x: Tensor, decay: int) -> Tensor:
        return (x * ((UNITY - decay) / UNITY)).trunc()

    def extra_repr(self) -> str:
        return str(self.registers)


def _wrapped(u: Tensor) -> Tensor:
    """Currents that leave 24 bits: as 32 bits hold them, and then 2²⁴ nearer to 0, once."""
    inside = (u > -(2.0**23)) & (u <= 2.0**23)
    w = u - 2.0**32 * ((u + 2.0**31) / 2.0**32).floor()
    w = torch.where(w > 2.0**23, w - 2.0**24, w)
    return torch.where(inside, u, torch.where(w <= -(2.0**23), w + 2.0**24, w))


def reading(module: LoihiNeuron) -> NeuronModule:
    """What the compiler takes it for."""
    tensors: dict[str, np.ndarray] = {"bias": module.bias.double().cpu().numpy()}
    recurrent: tuple[Op, ...] = ()
    if module.weight_rec is not None:
        tensors["weight_rec"] = module.weight_rec.double().cpu().numpy()
        recurrent = (Dense(Ref("weight_rec")),)
    spiking = WholeSpiking(
        decay=1 - module.registers.v_decay / UNITY,
        current_decay=1 - module.registers.i_decay / UNITY,
        threshold=float(module.registers.v_th_mant),
        strict=True,
        bias=Ref("bias"),
    )
    return NeuronModule(
        spiking, multi_step=True, keeps_state=False, tensors=tensors, recurrent=recurrent
    )
