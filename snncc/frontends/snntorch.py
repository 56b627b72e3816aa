"""Readings of snnTorch's neurons: Leaky, Lapicque, Synaptic, RLeaky, RSynaptic.

With r = [mem > threshold] of the membrane that the step before left (so r is the last spike), and
mem = 0 at first, snnTorch 1.0 computes

    Leaky, Lapicque   mem ← β·mem + x − r·threshold          "subtract"
    Synaptic          syn ← α·syn + x, and syn in place of x
    RLeaky, RSynaptic x + recurrent(last spk) in place of x
    Leaky             mem ← β·(1 − r)·mem + x                "zero"
    the others        mem ← (1 − r)·(β·mem + x)
    spk = [mem > threshold]

So the reset comes one step after its spike. "zero" of Leaky has the spikes of a hard reset at once:
mem is not used otherwise in between. With ``reset_delay=False`` what is not yet reset is reset
after the spike: mem ← mem − (spk − r)·threshold, or mem ← mem·(1 − spk + r). After the latter mem
is never above a threshold ≥ 0, hence r = 0: a hard reset at once. After the former it may be, with
an input above twice the threshold: ``when="both"`` keeps that.

Versions differ in this; a reading is held against the module whenever it is recorded.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from snncc.diagnostics import SnnccError, refuse
from snncc.frontends.neurons import NeuronModule, qualified_name
from snncc.ir.ops import Conv, Dense, Membrane, Number, Op, Ref, Reset, Scale, Spiking, When

_STATES = ("spk", "syn", "mem")


def leaky(module: Any) -> NeuronModule:
    tensors: dict[str, np.ndarray] = {}
    decay = _number(module, "beta", module.beta.clamp(0, 1), tensors)
    at_once = module.reset_mechanism == "zero"
    return _read(module, decay, 0.0, tensors, delayed=module.reset_delay, at_once=at_once)


def lapicque(module: Any) -> NeuronModule:
    """x·R·(1 / RC)·Δt is what comes in, 1 − Δt / RC the decay."""
    tensors: dict[str, np.ndarray] = {}
    time, charge = module.time_step, module.R * module.C
    decay = _number(module, "decay", 1 - time / charge, tensors)
    gains = {"R": module.R, "inverse": 1 / charge, "time_step": time}
    before = (_number(module, name, gain, tensors) for name, gain in gains.items())
    return _read(
        module, decay, 0.0, tensors, before=tuple(Scale(gain) for gain in before if gain != 1)
    )


def synaptic(module: Any) -> NeuronModule:
    tensors: dict[str, np.ndarray] = {}
    decay = _number(module, "beta", module.beta.clamp(0, 1), tensors)
    current_decay = _number(module, "alpha", module.alpha.clamp(0, 1), tensors)
    return _read(module, decay, current_decay, tensors, ("syn", "mem"), module.reset_delay)


def recurrent_leaky(module: Any) -> NeuronModule:
    tensors: dict[str, np.ndarray] = {}
    decay = _number(module, "beta", module.beta.clamp(0, 1), tensors)
    reading = _read(module, decay, 0.0, tensors, ("spk", "mem"), module.reset_delay)
    return replace(reading, recurrent=_recurrent(module, tensors))


def recurrent_synaptic(module: Any) -> NeuronModule:
    if not module.reset_delay:
        raise _without_form(module, "does not run with reset_delay=False")
    reading = synaptic(module)
    tensors = dict(reading.tensors)
    recurrent = _recurrent(module, tensors)
    return replace(reading, tensors=tensors, states=("spk", "syn", "mem"), recurrent=recurrent)


def _recurrent(module: Any, tensors: dict[str, np.ndarray]) -> tuple[Op, ...]:
    """From the last spikes: a linear layer, a convolution, or each neuron to itself."""
    layer = module.recurrent
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        return (Scale(_number(module, "V", layer.V, tensors)),)
    weight, bias = Ref("recurrent.weight"), None
    tensors[weight] = layer.weight.detach().double().cpu().numpy()
    if layer.bias is not None:
        bias = Ref("recurrent.bias")
        tensors[bias] = layer.bias.detach().double().cpu().numpy()
    if isinstance(layer, nn.Linear):
        return (Dense(weight, bias),)
    return (Conv(weight, bias, padding=tuple(map(int, layer.padding))),)


def _read(
    module: Any, decay: Number, current_decay: Number, tensors: dict[str, np.ndarray],
    states: tuple[str, ...] = ("mem",), delayed: bool = True, at_once: bool = False,
    before: tuple[Op, ...] = (),
) -> NeuronModule:  # fmt: skip
    """``at_once``: its zero comes so late that it might as well come at once."""
    for option in ("inhibition", "state_quant"):
        if getattr(module, option):
            raise _without_form(module, f"with {option} has no exact form here")
    threshold = _number(module, "threshold", module.threshold, tensors)
    height = _number(module, "graded_spikes_factor", module.graded_spikes_factor, tensors)
    if bool((module.graded_spikes_factor == 0).any()):
        raise _without_form(module, "with graded_spikes_factor 0 yields no spikes")
    reset: Reset = {"subtract": "soft", "zero": "hard", "none": "none"}[module.reset_mechanism]  # type: ignore[assignment]
    when: When = "now" if reset == "none" else "next"
    if reset == "soft" and not delayed:
        when = "both"
    elif reset == "hard" and (at_once or not delayed):
        when = "now"
        if not delayed and bool((module.threshold < 0).any()):
            raise _without_form(module, "with a threshold below 0 fires at rest")
    spiking = Spiking(
        threshold=threshold, reset=reset, strict=True, decay=decay, current_decay=current_decay,
        when=when,
    )  # fmt: skip
    return NeuronModule(
        spiking, multi_step=False, keeps_state=True, tensors=tensors, states=states, before=before,
        after=() if height == 1 else (Scale(height),),
        shown={"mem": Membrane(**_fields(spiking), before=delayed)}, step=module.spike_grad,
    )  # fmt: skip


def _fields(spiking: Spiking) -> dict[str, Any]:
    return {field.name: getattr(spiking, field.name) for field in dataclasses.fields(spiking)}


def _without_form(module: Any, why: str) -> SnnccError:
    return refuse("SNN110", f"{qualified_name(type(module))} {why}")


def _number(module: Any, name: str, value: Any, tensors: dict[str, np.ndarray]) -> Number:
    tensor = torch.as_tensor(value).detach()
    if tensor.numel() == 1:
        return float(tensor)
    while tensor.shape[0] == 1:
        tensor = tensor[0]
    tensors[name] = tensor.double().cpu().numpy()
    return Ref(name)


# -- its state outside of a run ----------------------------------------------------------------


class _InDtype:
    """A spike function whose spikes have the dtype of its membranes; snnTorch's are float32."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, membrane: torch.Tensor) -> torch.Tensor:
        spikes: torch.Tensor = self._inner(membrane).to(membrane.dtype)
        return spikes


def at_rest(neuron: Any) -> None:
    """Forget the state of a neuron that is our own copy."""
    for name in _STATES:
        if isinstance(neuron._buffers.get(name), torch.Tensor):
            setattr(neuron, name, torch.zeros(0))


def in_dtype(neuron: Any) -> None:
    """Let a neuron that is our own copy run in any dtype."""
    if callable(getattr(neuron, "spike_grad", None)):
        neuron.spike_grad = _InDtype(neuron.spike_grad)


@contextmanager
def registered(root: nn.Module) -> Iterator[None]:
    """While this runs, snnTorch's ``utils.reset`` resets the neurons of ``root`` and no others."""
    library: Any = sys.modules.get("snntorch")
    if library is None:
        yield
        return
    neuron, before = library.SpikingNeuron, library.SpikingNeuron.instances
    neuron.instances = [part for part in root.modules() if isinstance(part, neuron)]
    try:
        yield
    finally:
        neuron.instances = before
