"""From an equation over two steps to the parameters of a neuron, in exact arithmetic.

A neuron whose membrane is counted from its threshold θ, u = h − θ, obeys

    u = P·u' + Q + B·x        u' being u of the step before; P, Q and B hang on its spike r

and the other way round such an equation is one of these, with d = P₀ and lost = 1 − d:

1. P and B the same, Q the same: no reset; θ = −Q/lost, or any
2. P and B the same: a soft reset by θ = (Q₀ − Q₁)/d, or in the next step by θ = Q₀ − Q₁
3. B the same: a hard reset that keeps P₁/d; without a constant current θ = −Q₀/lost, and
   v_reset = (Q₁ + θ − P₁θ)/(d − P₁); else v_reset = 0 and θ = (Q₀ − Q₁)/(d − P₁)
4. P₁/d = B₁/B₀ = k: a hard reset in the next step that keeps k; without a constant current
   θ = −Q₀/lost and v_reset = θ + (Q₁ − kQ₀)/(1 − k); else v_reset = 0 and
   θ = (kQ₀ − Q₁)/(1 − k)

What is left over is a constant current Q₀ + lost·θ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snncc.ir.ops import Reset, When
from snncc.passes.equations import ONE, Coefficient, NoForm, alike, is_never_zero, is_zero

ZERO = Fraction(0)


@dataclass(frozen=True)
class Recurrence:
    """P and Q by the spike before, and B₁/B₀, which is None where there is none."""

    p: Mapping[int, Coefficient]
    q: Mapping[int, Coefficient]
    share: Coefficient | None


@dataclass(frozen=True)
class NormalForm:
    """Decay, threshold, reset and constant current."""

    decay: Coefficient
    threshold: Coefficient
    reset: Reset
    when: When = "now"
    v_reset: Coefficient = ZERO
    bias: Coefficient = ZERO
    keep: Coefficient = ZERO


def normal_form(of: Recurrence, has_current: bool) -> NormalForm:
    """``has_current``: a synaptic current leaves no room for a v_reset. Raises NoForm."""
    if of.share is None:
        raise NoForm("a current that hangs on the spike of the step before")
    p, same = of.p, alike(of.share, ONE)
    if same and alike(p[0], p[1]):
        return _none(of) if alike(of.q[0], of.q[1]) else _soft(of)
    if same:
        return _hard_now(of, has_current)
    if alike(p[1], of.share * p[0]):
        return _hard_next(of, of.share, has_current)
    raise NoForm("a spike leaves other parts of the membrane and of the next input")


def _none(of: Recurrence) -> NormalForm:
    decay, q = of.p[0], of.q[0]
    lost = ONE - decay
    threshold = -q / lost if is_never_zero(lost) else ONE
    if not positive(threshold):
        threshold = ONE
    return NormalForm(decay, threshold, "none", bias=q + threshold * lost)


def _soft(of: Recurrence) -> NormalForm:
    decay, q = of.p[0], of.q
    lost, step = ONE - decay, q[0] - q[1]
    late = NormalForm(decay, step, "soft", "next", bias=q[0] + step * lost)
    if not is_never_zero(decay):
        return late
    now = NormalForm(decay, step / decay, "soft", bias=q[0] + step / decay * lost)
    return late if is_zero(late.bias) and not is_zero(now.bias) else now


def _hard_now(of: Recurrence, has_current: bool) -> NormalForm:
    (decay, after), q = of.p.values(), of.q
    if not is_never_zero(decay):
        raise NoForm("a membrane that only a spike gives memory")
    if not is_never_zero(decay - after):
        raise NoForm("a reset that some neurons have and others have not")
    lost, keep = ONE - decay, after / decay
    if not has_current and is_never_zero(lost):
        threshold = -q[0] / lost
        rest = (q[1] + threshold - after * threshold) / (decay - after)
        if isinstance(rest, Fraction) and positive(threshold):
            return NormalForm(decay, threshold, "hard", v_reset=rest, keep=keep)
    threshold = (q[0] - q[1]) / (decay - after)
    return NormalForm(decay, threshold, "hard", bias=q[0] + threshold * lost, keep=keep)


def _hard_next(of: Recurrence, keep: Coefficient, has_current: bool) -> NormalForm:
    decay, q = of.p[0], of.q
    if not is_never_zero(ONE - keep):
        raise NoForm("a reset that some neurons have and others have not")
    lost = ONE - decay
    if not has_current and is_never_zero(lost):
        threshold = -q[0] / lost
        rest = threshold + (q[1] - keep * q[0]) / (ONE - keep)
        if isinstance(rest, Fraction) and positive(threshold):
            return NormalForm(decay, threshold, "hard", "next", rest, keep=keep)
    threshold = (keep * q[0] - q[1]) / (ONE - keep)
    bias = q[0] + threshold * lost
    return NormalForm(decay, threshold, "hard", "next", bias=bias, keep=keep)


def positive(c: Coefficient) -> bool:
    return bool(c > 0) if isinstance(c, Fraction) else bool(np.all(c > 0))
