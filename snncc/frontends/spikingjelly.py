"""Readings of SpikingJelly's neurons: ``clock_driven`` (0.0.0.0.12) and ``activation_based``.

Their charge is that of ``Spiking``; ``v_reset=None`` is a soft reset that starts at 0. They fire
at ``v − v_threshold ≥ 0``. State outlives a call until ``reset``.
"""

from __future__ import annotations

from typing import Any

from snncc.diagnostics import refuse
from snncc.frontends.neurons import NeuronModule, qualified_name, read_class
from snncc.ir.ops import Spiking


def _read(module: Any, leak: float, decay_input: bool) -> NeuronModule:
    name = qualified_name(type(module))
    if not getattr(module.surrogate_function, "spiking", True):
        raise refuse("SNN110", f"{name} with spiking=False yields no spikes")
    soft = module.v_reset is None
    rest = 0.0 if soft else float(module.v_reset)
    spiking = Spiking(
        leak, decay_input, float(module.v_threshold), "soft" if soft else "hard", rest, rest
    )
    cls = read_class(type(module))
    multi_step = cls.__name__.startswith("MultiStep") or _mode(module) == "m"
    return NeuronModule(
        spiking, multi_step, keeps_state=True, states=("v",), step=module.surrogate_function
    )


def _mode(module: Any) -> str:
    return str(getattr(module, "step_mode", "s"))


def integrate_and_fire(module: Any) -> NeuronModule:
    return _read(module, 0.0, False)


def leaky(module: Any) -> NeuronModule:
    return _read(module, 1.0 / module.tau, bool(module.decay_input))


def parametric_leaky(module: Any) -> NeuronModule:
    return _read(module, float(module.w.detach().sigmoid()), bool(module.decay_input))
