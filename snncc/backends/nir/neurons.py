"""A neuron as a part of a NIR file: which differential equation, with which constants.

NIR (Pedersen et al. 2024, Nature Communications 15:8122) says τ dv/dt = v_leak − v + r·I and a
spike where v > θ. In steps of dt that is v ← (1 − dt/τ)·v + (dt/τ)·(v_leak + r·I) (euler), and
v ← e^(−dt/τ)·v + r·I where the input is added as it is (impulse, sinabs). Rules:

1. a decay d is τ = dt/(1 − d), or −dt/ln d; d = 0 is τ = dt; d = 1 is an IF, or τ = 2⁶⁰·dt
2. r = 1, which every reader understands: what an input has to be multiplied by instead is the
   ``gain`` of the neuron, and goes into the layers in front
3. our h ≥ θ is NIR's v > the largest float32 below θ
4. where a reader wants one θ per layer, membranes are divided by theirs (the ``unit``)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from snncc.diagnostics import SnnccError
from snncc.ir.nir_metadata import PREFIX, charge, number, of_neuron
from snncc.ir.ops import Dynamics

SLOW = 2.0**60
"""So many steps is the τ of a membrane that keeps all: 1 − 2⁻⁶⁰ is 1 in float32 and float64."""


@dataclass(frozen=True)
class Reader:
    """What another tool takes: its usual ``dt`` in seconds, its equations, how it integrates.

    ``integrate``: the r of an IF that adds its input as it is, "1" or "1/dt", or "slow" for a LIF
    with a long τ. ``single``: one τ and θ per layer. ``gates``: whether it takes a decay of 0,
    ``currents``: a synaptic current. ``reset``: what a spike resets there, where the tool cannot be
    told. ``rest``: v_leak and v_reset are "0", or "equal". ``flat``: its neurons have one axis.
    ``counts``: they may fire several times in a step. ``loops``: those that it runs as they are
    meant (`snncc.backends.nir.loops`). ``kinds``: the parts that it reads; all where none are
    named.
    """

    name: str
    dt: float = 1e-4
    method: Literal["euler", "impulse"] = "euler"
    integrate: Literal["1", "1/dt", "slow"] = "1"
    single: bool = True
    gates: bool = True
    currents: bool = True
    reset: str = "hard"
    rest: Literal["", "0", "equal"] = "0"
    flat: bool = False
    counts: bool = False
    loops: Literal["all", "single", "longer", "none"] = "single"
    kinds: frozenset[str] = frozenset()

    @property
    def reset_said(self) -> tuple[str, ...]:
        """What needs no words, as the tool does it anyway."""
        return ("a soft reset",) if self.reset == "soft" else ()


def _kinds(*more: str) -> frozenset[str]:
    return frozenset(
        {"Input", "Output", "Affine", "Linear", "Conv2d", "Flatten", "LIF", "IF", *more}
    )


READERS: Mapping[str, Reader] = {
    "any": Reader("any", single=False, reset="", rest="", loops="all"),
    "snntorch": Reader(
        "snnTorch", integrate="slow", loops="longer", kinds=_kinds("AvgPool2d", "CubaLIF")
    ),
    "spikingjelly": Reader(
        "SpikingJelly", integrate="1/dt", gates=False, rest="equal",
        kinds=_kinds("Conv1d", "AvgPool2d", "CubaLIF"),
    ),
    "norse": Reader("Norse", dt=1e-3, kinds=_kinds("SumPool2d", "CubaLIF")),
    "sinabs": Reader(
        "sinabs", 1.0, "impulse", integrate="slow", gates=False, currents=False, reset="soft",
        flat=True, counts=True, loops="none", kinds=_kinds("Conv1d", "SumPool2d") - {"Linear"},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class NeuronPart:
    """A neuron of the file; ``values`` and ``gain`` broadcast over its features.

    ``unsaid``: what the file says in its metadata alone.
    """

    kind: str
    values: Mapping[str, np.ndarray]
    gain: np.ndarray
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()


Refuse = Callable[[str], SnnccError]
"""From a reason to the refusal that names the layer."""


def as_part(
    op: Dynamics, tensors: Mapping[str, np.ndarray], reader: Reader, dt: float, refuse: Refuse
) -> NeuronPart:
    """``op`` for ``reader``. Raises what ``refuse`` makes of a reason, where it has no form."""
    decay, gain, offset = charge(op, tensors)
    current = number(op.current_decay, tensors)
    threshold = _below(number(op.threshold, tensors), strict=op.strict)
    memoryless = not decay.any() and not current.any() and op.when == "now"
    if ((decay < 0) | (decay > 1)).any() or ((current < 0) | (current > 1)).any():
        raise refuse(f"a decay of {_extreme(decay, current):g} has no time constant")
    unit = np.ones(())
    if reader.single:
        unit, threshold = _single(threshold, refuse, reader)
        _check(op, decay, current, memoryless, reader, refuse)
    values: dict[str, np.ndarray] = {"v_threshold": threshold, "v_reset": _shown(op, unit)}
    integrates = bool((decay == 1).all())
    leaks = offset.any()
    if current.any():
        kind, gain = "CubaLIF", gain / unit
        comes = _share(decay)
        values |= {
            "tau_mem": dt / comes, "tau_syn": dt / _share(current),
            "r": gain / comes, "w_in": 1 / _share(current), "v_leak": offset / unit / comes,
        }  # fmt: skip
        gain = np.ones(())
    elif integrates and not leaks and reader.integrate != "slow":
        kind, gain = "IF", gain / unit
        values["r"] = np.asarray(1 / dt if reader.integrate == "1/dt" else 1.0)
    elif integrates and not leaks:
        kind, gain = "LIF", gain / unit
        values |= {"tau": np.asarray(SLOW * dt), "r": np.asarray(SLOW), "v_leak": np.zeros(())}
    else:
        kind = "LIF"
        comes = _share(decay)
        with np.errstate(divide="ignore"):
            slow = np.asarray(-np.log(np.where(decay == 0, 0.5, decay)))
        impulse = reader.method == "impulse"
        tau = dt / np.where(slow == 0, 1 / SLOW, slow) if impulse else dt / comes
        values |= {"tau": tau, "r": np.ones(()), "v_leak": offset / unit / comes}
        gain = gain / unit / (1 if impulse else comes)
    metadata = of_neuron(op, tensors)
    if (unit != 1).any():
        metadata[f"{PREFIX}unit"] = unit
    unsaid = tuple(word for word in _unsaid(op, memoryless) if word not in reader.reset_said)
    return NeuronPart(kind, values, gain, metadata, unsaid)


def _share(decay: np.ndarray) -> np.ndarray:
    """The part of its target that comes in a step, dt/τ; of a membrane that keeps all 2⁻⁶⁰."""
    return np.where(decay == 1, 1 / SLOW, 1 - decay)


def _extreme(*decays: np.ndarray) -> float:
    return float(next(d for each in decays for d in np.ravel(each) if not 0 <= d <= 1))


def _below(threshold: np.ndarray, *, strict: bool) -> np.ndarray:
    """The largest float32 that is smaller than the threshold, or not larger with ``strict``."""
    near = threshold.astype(np.float32)
    over = near > threshold if strict else near >= threshold
    return np.where(over, np.nextafter(near, np.float32(-np.inf)), near)


def _shown(op: Dynamics, unit: np.ndarray) -> np.ndarray:
    return np.asarray(op.v_reset) / unit if op.reset == "hard" else np.zeros(())


def _single(threshold: np.ndarray, refuse: Refuse, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """The unit of each membrane, and the one threshold of all."""
    if threshold.size == 1 or (threshold == threshold.flat[0]).all():
        return np.ones(()), np.asarray(threshold.flat[0])
    if (threshold <= 0).any():
        raise refuse(f"{reader.name} takes one threshold per layer, and some here are not above 0")
    return threshold.astype(np.float64), np.ones(())


def _check(
    op: Dynamics, decay: np.ndarray, current: np.ndarray, memoryless: bool, reader: Reader,
    refuse: Refuse,
) -> None:  # fmt: skip
    """Raise for what ``reader`` would run as another network."""
    for name, array in (("decay", decay), ("current decay", current)):
        if array.size > 1 and (array != array.flat[0]).any():
            raise refuse(f"{reader.name} takes one {name} per layer")
    if not reader.gates and not decay.all():
        raise refuse(f"{reader.name} takes no neuron without memory (decay 0)")
    if not reader.currents and current.any():
        raise refuse(f"the synaptic current has no form that {reader.name} reads")
    if memoryless:
        return
    leaks = op.decay is None and op.leak != 0
    at = op.v_reset if op.reset == "hard" else 0.0
    rests = at == 0 or (leaks and reader.rest == "equal")
    if not rests or (op.v_reset != 0 and leaks and op.reset != "hard"):
        raise refuse(f"{reader.name} does not read a membrane that rests or resets at {at:g}")
    if (op.reset, op.when) != (reader.reset, "now"):
        when = {"now": "in the step of the spike", "next": "one step late", "both": "in two steps"}
        said = f"{reader.name} reads a {reader.reset} reset in the step of the spike"
        raise refuse(f"{said}, and this one is {op.reset}, {when[op.when]}")
    if unsaid := [word for word in _unsaid(op, memoryless) if word not in reader.reset_said]:
        raise refuse(f"{reader.name} does not read {unsaid[0]}")


def _unsaid(op: Dynamics, memoryless: bool) -> tuple[str, ...]:
    """What NIR has no field for."""
    if memoryless:
        return ()
    said = []
    if op.reset != "hard":
        said.append("a soft reset" if op.reset == "soft" else "no reset")
    if op.when != "now":
        said.append(f"a reset {'one step late' if op.when == 'next' else 'in two steps'}")
    if op.reset == "hard" and op.keep != 0:
        said.append("a reset that keeps a part")
    if op.initial != 0:
        said.append("a membrane that does not begin at 0")
    if op.current_decay != 0 and op.current_initial != 0:
        said.append("a synaptic current that does not begin at 0")
    return tuple(said)
