"""From an equation over two steps to the parameters of a neuron, in exact arithmetic.

A neuron whose membrane is counted from its threshold θ, u = h − θ, obeys

    u = P·u' + Q + B·x        u' being u of the step before; P, Q and B hang on its spike r

and the other way round such an equation is one of these, with d = P₀ and lost = 1 − d:

1. P and B the same, Q the same: no reset; θ = −Q/lost, or any
2. P and B the same: a soft reset by θ = (Q₀ − Q₁)/d, or in the next step by θ = Q₀ − Q₁
3. B the same: a hard reset that keeps k = P₁/d, to v_reset = (Q₁ − P₁θ − Q₀ + dθ)/(d − P₁)
4. P₁/d = B₁/B₀ = k: a hard reset in the next step that keeps k, to v_reset = θ + (Q₁ − kQ₀)/(1 − k)

What is left over is a constant current Q₀ + lost·θ. In 1, 3 and 4 every θ gives a neuron: the
choice is one above 0, with numbers that floats hold, without a constant current or a v_reset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from snncc.ir.ops import Reset, When
from snncc.recognition.equations import (
    ONE,
    Coefficient,
    NoForm,
    alike,
    is_float,
    is_never_zero,
    is_zero,
    joined,
)

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

    @property
    def is_exact(self) -> bool:
        """Whether floats hold its numbers."""
        numbers = (self.decay, self.threshold, self.v_reset, self.bias, self.keep)
        return all(map(is_float, numbers))


def normal_forms(of: Recurrence, near: Coefficient) -> list[NormalForm]:
    """All that it is, the plainest first.

    ``near``: what the comparison compares with, as it is written. Raises NoForm.
    """
    if of.share is None:
        raise NoForm("a current that hangs on the spike of the step before")
    p, same = of.p, alike(of.share, ONE)
    if same and alike(p[0], p[1]):
        return _none(of, near) if alike(of.q[0], of.q[1]) else _soft(of)
    if same:
        return _hard_now(of, near)
    if alike(p[1], of.share * p[0]):
        return _hard_next(of, of.share, near)
    raise NoForm("a spike leaves other parts of the membrane and of the next input")


def _none(of: Recurrence, near: Coefficient) -> list[NormalForm]:
    decay, q = of.p[0], of.q[0]
    lost = ONE - decay
    own = [-q / lost] if is_never_zero(lost) else []
    return [NormalForm(decay, at, "none", bias=q + at * lost) for at in (*own, near, ONE)]


def _soft(of: Recurrence) -> list[NormalForm]:
    decay, q = of.p[0], of.q
    lost, step = ONE - decay, q[0] - q[1]
    late = NormalForm(decay, step, "soft", "next", bias=q[0] + step * lost)
    if not is_never_zero(decay):
        return [late]
    now = NormalForm(decay, step / decay, "soft", bias=q[0] + step / decay * lost)
    return [late, now] if is_zero(late.bias) and not is_zero(now.bias) else [now, late]


def _hard_now(of: Recurrence, near: Coefficient) -> list[NormalForm]:
    decay, after, q = of.p[0], of.p[1], of.q
    if not is_never_zero(decay):
        raise NoForm("a membrane that only a spike gives memory")
    if not is_never_zero(decay - after):
        raise NoForm("a reset that some neurons have and others have not")

    def rest(at: Coefficient) -> Coefficient:
        return (q[1] - after * at - q[0] + decay * at) / (decay - after)

    to_zero = (q[0] - q[1]) / (decay - after)
    return _hard(of, "now", after / decay, to_zero, near, rest)


def _hard_next(of: Recurrence, keep: Coefficient, near: Coefficient) -> list[NormalForm]:
    q, gone = of.q, ONE - keep
    if not is_never_zero(gone):
        raise NoForm("a reset that some neurons have and others have not")
    left = (q[1] - keep * q[0]) / gone
    return _hard(of, "next", keep, -left, near, lambda at: at + left)


def _hard(
    of: Recurrence, when: When, keep: Coefficient, to_zero: Coefficient, near: Coefficient,
    rest: Callable[[Coefficient], Coefficient],
) -> list[NormalForm]:  # fmt: skip
    """Without a constant current, without a v_reset, and as it is written."""
    decay, q = of.p[0], of.q[0]
    lost = ONE - decay
    own = [-q / lost] if is_never_zero(lost) else []
    forms = [
        NormalForm(decay, at, "hard", when, joined(rest(at)), q + at * lost, keep)
        for at in (*own, to_zero, near)
    ]  # fmt: skip
    return [form for form in forms if isinstance(form.v_reset, Fraction)]


def positive(c: Coefficient) -> bool:
    return bool(c > 0) if isinstance(c, Fraction) else bool(np.all(c > 0))
