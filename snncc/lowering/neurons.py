"""Neurons in the one normal form, from the op of the framework.

An input gain and v_reset ≠ 0 are scaled and shifted away, a strict threshold becomes ≥ of the next
float: h = decay·v + gain·x + pull becomes u = (v − rest)/gain, so that a hard reset is to 0.
"""

from __future__ import annotations

import math

import torch

from snncc.ir.graph import Node
from snncc.ir.network import Neuron, Population
from snncc.ir.ops import Ref, Spiking, When, WholeSpiking
from snncc.ir.registers import FixedNeuron, registers_of
from snncc.lowering.draft import Draft
from snncc.lowering.encoders import connect

Value = torch.Tensor


def neuron(draft: Draft, node: Node) -> None:
    """The population of ``node`` and the projections into it, or the finding why not."""
    assert isinstance(node.op, Spiking)
    arg = draft.graph.nodes[node.inputs[0]]
    if arg.signal.rate == "final":
        draft.find("SNN112", node, f"neuron {node.name} reads a value of all time steps")
        return
    region = draft.of(arg.name)
    if region.broken:
        return
    form = (
        _in_registers(draft, node, node.op, region.offset)
        if isinstance(node.op, WholeSpiking)
        else _in_floats(draft, node, node.op, region.offset)
    )
    if form is None:
        return
    draft.places[node.name] = Population(
        node.name, node.signal.shape, form, "neuron", node.name, node.origin
    )
    connect(draft, region, node.name)


def _in_registers(
    draft: Draft, node: Node, op: WholeSpiking, offset: Value | None
) -> FixedNeuron | None:
    bias = None if offset is None else offset.numpy()
    try:
        form, tensors = registers_of(op, draft.tensors, node.name, bias)
    except ValueError as problem:
        draft.find("SNN214", node, f"neuron {node.name} has no place in registers: {problem}")
        return None
    draft.tensors |= tensors
    return form


def _in_floats(draft: Draft, node: Node, op: Spiking, offset: Value | None) -> Neuron | None:
    gain = _gain(draft, op)
    if not (gain > 0).all():
        said = f"neuron {node.name} has a leak of {float(gain.min()):g} with decay_input"
        draft.find("SNN110", node, f"{said}; only one above 0 can be divided out")
        return None
    return _normal_form(draft, node, op, gain, offset)


def _gain(draft: Draft, op: Spiking) -> Value:
    """The factor of the input."""
    own = op.decay_input and op.decay is None
    return draft.store.number(op.leak) if own else torch.ones((), dtype=torch.float64)


def _normal_form(
    draft: Draft, node: Node, op: Spiking, gain: Value, offset: Value | None
) -> Neuron:
    """``offset``: the constant part of the input."""
    number = draft.store.number
    as_written = op.decay is None
    leak = number(op.leak)
    decay = 1 - leak if op.decay is None else number(op.decay)
    rest = op.v_reset if op.reset == "hard" else 0.0
    pull = leak * op.v_reset if as_written else torch.zeros((), dtype=torch.float64)
    drift = (pull - (1 - decay) * rest) / gain
    has_current = isinstance(op.current_decay, Ref) or op.current_decay != 0
    fade, current = (number(n) for n in (op.current_decay, op.current_initial))
    if op.v_reset and not (as_written and op.reset == "hard"):
        # A constant of the membrane is one of a synaptic current c = fade·c + x, begun there.
        into = drift * (1 - fade)
        offset = into if offset is None else offset + into
        current = current + drift
    threshold = (number(op.threshold) - rest) / gain
    if op.strict:
        threshold = torch.nextafter(threshold, torch.full_like(threshold, math.inf))
    name = node.name
    return Neuron(
        decay=draft.number(f"{name}.decay", decay),
        threshold=draft.number(f"{name}.threshold", threshold),
        bias=draft.number(f"{name}.bias", offset),
        initial=draft.number(f"{name}.initial", (number(op.initial) - rest) / gain),
        reset=op.reset,
        current_decay=draft.number(f"{name}.current_decay", fade),
        when=_when(draft, op, decay),
        keep=draft.number(f"{name}.keep", number(op.keep)),
        current_initial=draft.number(f"{name}.current_initial", current if has_current else None),
    )


def _when(draft: Draft, op: Spiking, decay: Value) -> When:
    """When spikes reset, in the simplest words that leave every spike as it is.

    Without a leak a soft reset that comes with the next charge, v + x − θ, is one that came with
    the spike, (v − θ) + x, unless the neuron starts above its threshold.
    """
    number = draft.store.number
    rests = bool((number(op.initial) < number(op.threshold)).all())
    carried = op.reset == "soft" and op.when == "next" and rests and bool((decay == 1).all())
    return "now" if carried or op.reset == "none" else op.when
