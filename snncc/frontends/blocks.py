"""Readings of the neurons of ``snncc.nn``: state local to the call, multi-step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snncc.frontends.neurons import NeuronModule
from snncc.ir.ops import Ref, Spiking

if TYPE_CHECKING:
    from snncc.nn import IF, LIF, MLF, PLIF, AdaptiveIF


def _read(module: IF | LIF | PLIF, leak: float, decay_input: bool) -> NeuronModule:
    spiking = Spiking(
        leak, decay_input, float(module.threshold), module.reset,
        float(module.v_reset), float(module.v_reset),
    )  # fmt: skip
    return NeuronModule(spiking, multi_step=True, keeps_state=False, step=module.surrogate)


def integrate_and_fire(module: IF) -> NeuronModule:
    return _read(module, 0.0, False)


def leaky(module: LIF) -> NeuronModule:
    return _read(module, 1.0 / module.tau, module.decay_input)


def parametric_leaky(module: PLIF) -> NeuronModule:
    return _read(module, float(module.w.detach().sigmoid()), module.decay_input)


def multi_level(module: MLF) -> NeuronModule:
    levels = [Spiking(decay=module.tau, threshold=v, strict=True) for v in module.thresholds]
    return NeuronModule(levels, multi_step=True, keeps_state=False, step=module.surrogate)


def adaptive(module: AdaptiveIF) -> NeuronModule:
    return NeuronModule(
        Spiking(threshold=Ref("threshold"), strict=True),
        multi_step=True,
        keeps_state=False,
        tensors={"threshold": module.threshold.detach().cpu().numpy()},
        step=module.surrogate,
    )
