"""What a NIR file does not say: how long a step is, how the equations become steps, what a spike
resets.

NIR (Pedersen et al. 2024, Nature Communications 15:8122) gives neurons as differential equations:
LIF τ dv/dt = v_leak − v + r·I, IF dv/dt = r·I, CubaLIF with τ_syn dI/dt = −I + w_in·S in front,
spikes where v > v_threshold, and then v ← v_reset. Frameworks compute them in steps of dt:

euler     v ← (1 − dt/τ)·v + (dt/τ)·(v_leak + r·I)        snnTorch, SpikingJelly, Norse, Spyx
exact     v ← e^(−dt/τ)·v + (1 − e^(−dt/τ))·(v_leak + r·I)   the solution for a constant input
impulse   v ← e^(−dt/τ)·v + (1 − e^(−dt/τ))·v_leak + r·I     sinabs: the input is added as it is
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np

from snncc.diagnostics import Finding, Location, refuse
from snncc.frontends.nir.file import Part, Parts
from snncc.ir.nir_metadata import PREFIX, word

Method = Literal["euler", "exact", "impulse"]
Reset = Literal["hard", "soft"]
When = Literal["now", "next", "both"]

METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True)
class Timing:
    """How the equations of a file become steps. ``dt`` in seconds; what is None is not known.

    ``when``: whether a spike resets its membrane at once ("now"), in the next step before the input
    ("next"), or with what snnTorch's ``reset_delay=False`` does ("both"). ``why`` says where the
    values are from.
    """

    dt: float | None = None
    method: Method | None = None
    reset: Reset | None = None
    when: When | None = None
    why: str = ""

    def filled(self, more: Timing) -> Timing:
        """This, and what is not known from ``more``."""
        return replace(
            self,
            dt=self.dt if self.dt is not None else more.dt,
            method=self.method or more.method,
            reset=self.reset or more.reset,
            when=self.when or more.when,
            why=self.why or more.why,
        )


@dataclass(frozen=True, eq=False)
class Step:
    """A neuron in steps, as `snncc.ir.ops.Dynamics` has it, each value a float or by neuron.

    c ← current_decay·c + current_gain·x, h = decay·v + gain·c + offset, a spike where
    h > threshold (≥ without ``strict``), then the reset. Without a synaptic current c is x.
    """

    decay: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    threshold: np.ndarray
    v_reset: np.ndarray
    current_decay: np.ndarray | None = None
    reset: Literal["hard", "soft"] = "hard"
    when: When = "now"
    strict: bool = True


NEURONS = ("LIF", "IF", "CubaLIF", "Threshold")


def timing_of(parts: Parts, said: Timing) -> Timing:
    """``said`` by the user, and what the file lets us know.

    Raises SnnccError (SNN316) where neither says how long a step is.
    """
    neurons = {name: part for name, part in parts.parts.items() if part.kind in NEURONS}
    timing = said.filled(_of_metadata(parts)).filled(_of_producer(neurons))
    needs_dt = [name for name, part in neurons.items() if part.kind in ("LIF", "CubaLIF")]
    needs_dt += [name for name, part in parts.parts.items() if part.kind == "Delay"]
    if timing.dt is None and needs_dt:
        message = f"{parts.source} does not say how long a step is, and `{needs_dt[0]}` needs it"
        help = "give --dt in seconds: snnTorch, SpikingJelly and Lava-DL mean 1e-4, Norse 1e-3, "
        raise refuse("SNN316", message, Location(needs_dt[0]), help=help + "sinabs 1")
    return timing.filled(Timing(method="euler", reset="hard", when="now"))


def _of_metadata(parts: Parts) -> Timing:
    """What this compiler wrote of the whole. Raises SnnccError (SNN305) where it is damaged."""
    about = parts.metadata
    if not is_own(parts):
        return Timing()
    dt, method = about.get(f"{PREFIX}dt"), word(about, "discretise")
    if not isinstance(dt, int | float) or not 0 < dt < np.inf or method not in METHODS:
        said = f"the metadata of {parts.source} do not say what a step is"
        raise refuse("SNN305", said, help="write the file again")
    return Timing(float(dt), cast("Method", method), why="the file's metadata")


def is_own(parts: Parts) -> bool:
    """Whether the file says that this compiler wrote it."""
    return f"{PREFIX}format" in parts.metadata


def _of_producer(neurons: Mapping[str, Part]) -> Timing:
    """What the values of r and τ tell of who wrote them.

    1. r = τ/dt for a round dt, in every leaky neuron: snnTorch and SpikingJelly, whose input has no
       gain
    2. r = 1 and τ ≥ 1 in every one: sinabs, whose τ is in steps and whose input is added as it is
    """
    leaky = [
        (part.values.get("tau", part.values.get("tau_mem")), part.values.get("r"))
        for part in neurons.values()
        if part.kind in ("LIF", "CubaLIF")
    ]
    if not leaky or any(each is None for pair in leaky for each in pair):
        return Timing()
    tau = np.concatenate([np.ravel(np.asarray(tau, float)) for tau, _ in leaky])
    r = np.concatenate([np.ravel(np.asarray(r, float)) for _, r in leaky])
    if tau.shape == r.shape and (r > 0).all() and (tau > 0).all():
        steps = tau / r
        for dt in (1e-3, 1e-4, 1e-5):
            if np.allclose(steps, dt, rtol=1e-5):
                why = (
                    f"r = τ/dt in every LIF, as snnTorch and SpikingJelly write with dt = {dt:g} s"
                )
                return Timing(dt, "euler", why=why)
        if (r == 1).all() and (tau >= 1).all():
            return Timing(1.0, "impulse", "soft", why="τ ≥ 1 and r = 1, as sinabs writes")
    return Timing()


def notes(parts: Parts, timing: Timing) -> tuple[Finding, ...]:
    """What was taken that the file does not say, and what its producer does otherwise."""
    kinds = {part.kind for part in parts.parts.values()}
    if not kinds & set(NEURONS):
        return ()
    if is_own(parts):
        said = f"{parts.source} was written by snncc: neurons are read from its metadata"
        return (Finding("SNN509", said),)
    step = "" if timing.dt is None else f"steps of {timing.dt:g} s, "
    why = f" ({timing.why})" if timing.why else ""
    taken = f"{step}{timing.method} equations, {timing.reset} reset, {_WHEN[timing.when or 'now']}"
    found = [Finding("SNN509", f"{parts.source} is read with {taken}{why}")]
    if counting := [name for name, part in parts.parts.items() if _may_count(part)]:
        names = ", ".join(f"`{name}`" for name in counting)
        message = (
            f"where sinabs wrote {parts.source}, {names} may fire several times in a step there"
        )
        found.append(Finding("SNN510", message, Location(counting[0])))
    return tuple(found)


_WHEN = {
    "now": "in the step of the spike",
    "next": "in the step after the spike",
    "both": "in the step of the spike, as snnTorch does without reset_delay",
}


def _may_count(part: Part) -> bool:
    """IF with r = 1, and LIF with r = 1 and τ in steps, are what sinabs writes."""
    r = part.values.get("r")
    if r is None or not (np.asarray(r) == 1).all():
        return False
    tau = part.values.get("tau")
    return part.kind == "IF" or (tau is not None and bool((np.asarray(tau) >= 1).all()))


# -- one neuron ----------------------------------------------------------------------------------


def step_of(name: str, part: Part, timing: Timing) -> Step:
    """The steps of a neuron of the file. Raises SnnccError (SNN110) where it has none."""
    return _STEPS[part.kind](_Values(name, part), timing)


class _Values:
    """The values of a part by name."""

    def __init__(self, name: str, part: Part) -> None:
        self.name, self._part = name, part

    def __call__(self, name: str, default: float | None = None) -> np.ndarray:
        value = self._part.values.get(name)
        if value is None:
            if default is None:
                message = f"`{self.name}` has no `{name}`, which a {self._part.kind} needs"
                raise refuse("SNN305", message, Location(self.name))
            return np.asarray(default, np.float64)
        return np.asarray(value, np.float64)

    def positive(self, name: str) -> np.ndarray:
        value = self(name)
        if not (value > 0).all():
            message = f"`{name}` of `{self.name}` is not greater than 0 everywhere"
            raise refuse("SNN110", message, Location(self.name))
        return value


def _firing(values: _Values, timing: Timing) -> dict[str, Any]:
    """Threshold and reset."""
    return {
        "threshold": values("v_threshold"),
        "v_reset": values("v_reset", 0.0),
        "reset": timing.reset,
        "when": timing.when,
    }


def _decay(values: _Values, tau: str, timing: Timing) -> tuple[np.ndarray, np.ndarray]:
    """The part of a membrane or current that stays, and that of its target that is added."""
    constant = values.positive(tau)
    assert timing.dt is not None
    if timing.method == "euler":
        if (constant < timing.dt * (1 - 1e-6)).any():
            message = f"`{tau}` of `{values.name}` is shorter than a step of {timing.dt:g} s"
            help = "give a shorter --dt, or --discretise exact"
            raise refuse("SNN110", message, Location(values.name), help=help)
        return 1 - timing.dt / constant, timing.dt / constant
    stays = np.exp(-timing.dt / constant)
    return stays, 1 - stays


def _leaky(values: _Values, timing: Timing) -> Step:
    stays, comes = _decay(values, "tau", timing)
    gain = values("r") * (1 if timing.method == "impulse" else comes)
    return Step(
        decay=stays,
        gain=_unit(gain),
        offset=comes * values("v_leak", 0.0),
        **_firing(values, timing),
    )


def _integrating(values: _Values, timing: Timing) -> Step:
    """r is 1/dt where the equation is taken at its word, and 1 where an input is added as it is."""
    r = values("r")
    gain = r if timing.dt is None or (r == 1).all() else r * timing.dt
    return Step(
        decay=np.ones(()), gain=_unit(gain), offset=np.zeros(()), **_firing(values, timing)
    )  # fmt: skip


def _synaptic(values: _Values, timing: Timing) -> Step:
    stays, comes = _decay(values, "tau_mem", timing)
    remains, joins = _decay(values, "tau_syn", timing)
    impulse = timing.method == "impulse"
    arrives = values("w_in", 1.0) * (1 if impulse else joins)
    return Step(
        decay=stays,
        gain=_unit(values("r") * (1 if impulse else comes) * arrives),
        offset=comes * values("v_leak", 0.0),
        current_decay=remains,
        **_firing(values, timing),
    )


def _threshold(values: _Values, timing: Timing) -> Step:
    zero = np.zeros(())
    return Step(zero, np.ones(()), zero, values("threshold"), zero)


_STEPS: dict[str, Callable[[_Values, Timing], Step]] = {
    "LIF": _leaky,
    "IF": _integrating,
    "CubaLIF": _synaptic,
    "Threshold": _threshold,
}


def _unit(gain: np.ndarray) -> np.ndarray:
    """1 where only the rounding of float32 is between: r = τ/dt was meant."""
    return np.where(np.isclose(gain, 1, rtol=1e-6), 1.0, gain)
