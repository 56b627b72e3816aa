"""Which difference of a spike rounding explains, and which it does not.

Two correct programs may add the same numbers in another order, so that a membrane on the threshold
ends on either side of it. That is a tie. It takes two things: the membrane lies within rounding of
the threshold, and rounding took part at all. Where every number on the way to the membrane is
exact, a difference is an error however near the threshold is: > in the place of ≥, say.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch

from snncc.ir.interpreter.operations import TensorStore, Value
from snncc.ir.interpreter.written import Written
from snncc.ir.ops import Dynamics, Number, Ref, WholeSpiking

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}
"""How far currents and outputs may lie apart, relative to the largest, by rounding alone."""


def is_tie(
    op: Dynamics,
    neuron: tuple[int, ...],
    mine: Value,
    theirs: Value,
    store: TensorStore,
    dtype: torch.dtype,
) -> bool:
    """Whether rounding explains that a neuron spikes otherwise in the last step of its currents.

    ``mine`` (t + 1,) are its currents as the Graph computes them, ``theirs`` as the module did;
    ``neuron`` is its place in the population, ``dtype`` that of the module.
    """
    if isinstance(op, WholeSpiking):
        return False  # whole numbers are never rounded
    tolerance = TOLERANCE[dtype]
    if not (bool(mine.isfinite().all()) and bool(theirs.isfinite().all())):
        return False
    largest = max(float(mine.abs().max()), float(theirs.abs().max()), 1e-300)
    apart = float((mine - theirs).abs().max())
    if apart > tolerance * largest:
        return False
    h, threshold = _last_membrane(op, neuron, mine, store)
    scale = max(largest * len(mine), abs(threshold), abs(h))
    if abs(h - threshold) > tolerance * scale:
        return False
    return apart > 0 or not is_exact(op, neuron, mine, store, dtype)


def is_exact(
    op: Dynamics, neuron: tuple[int, ...], currents: Value, store: TensorStore,
    dtype: torch.dtype = torch.float64,
) -> bool:  # fmt: skip
    """Whether no membrane on the way was rounded in ``dtype``: in fractions all are the same."""
    cell = Written(_of_one(op, neuron, store), (), store)
    exact = _Exact(op, neuron, store)

    def held(value: Fraction, computed: Value) -> bool:
        return value == Fraction(float(computed)) == Fraction(float(computed.to(dtype)))

    for current in currents:
        _, h = cell(current)
        if not (held(exact.step(Fraction(float(current))), h) and held(exact.v, cell.v)):
            return False
    threshold = store.number(_number(op.threshold, neuron, store))
    return held(Fraction(float(threshold)), threshold)


def _last_membrane(
    op: Dynamics, neuron: tuple[int, ...], currents: Value, store: TensorStore
) -> tuple[float, float]:
    one = _of_one(op, neuron, store)
    cell, h = Written(one, (), store), currents[-1]
    for current in currents:
        _, h = cell(current)
    assert not isinstance(one.threshold, Ref)
    return float(h), float(one.threshold)


def _of_one(op: Dynamics, neuron: Sequence[int], store: TensorStore) -> Dynamics:
    """``op`` with the parameters of one neuron."""
    return type(op)(
        _number(op.leak, neuron, store), op.decay_input, _number(op.threshold, neuron, store),
        op.reset, op.v_reset, _number(op.initial, neuron, store), op.strict,
        None if op.decay is None else _number(op.decay, neuron, store),
        _number(op.current_decay, neuron, store), op.when,
        _number(op.keep, neuron, store), _number(op.current_initial, neuron, store),
    )  # fmt: skip


def _number(number: Number, neuron: Sequence[int], store: TensorStore) -> float:
    value = store.number(number)
    if value.dim() == 0:
        return float(value)
    place = [i if n > 1 else 0 for i, n in zip(neuron[-value.dim() :], value.shape, strict=True)]
    return float(value[tuple(place)])


class _Exact:
    """`snncc.ir.ops.Dynamics` of one neuron in fractions."""

    def __init__(self, op: Dynamics, neuron: Sequence[int], store: TensorStore) -> None:
        self._op = op

        def exact(number: Number) -> Fraction:
            return Fraction(_number(number, neuron, store))

        self._leak, self._threshold = exact(op.leak), exact(op.threshold)
        self._decay = None if op.decay is None else exact(op.decay)
        self._current_decay, self._current = exact(op.current_decay), exact(op.current_initial)
        self._rest, self._keep = Fraction(op.v_reset), exact(op.keep)
        self.v = exact(op.initial)

    def _fires(self, v: Fraction) -> bool:
        return v > self._threshold if self._op.strict else v >= self._threshold

    def _left(self, h: Fraction) -> Fraction:
        """What a reset makes of a membrane."""
        if self._op.reset == "hard":
            return self._rest + self._keep * (h - self._rest)
        return h - self._threshold * (self._op.reset == "soft")

    def step(self, x: Fraction) -> Fraction:
        """The membrane before its reset."""
        op, v = self._op, self.v
        if self._current_decay:
            x = self._current = self._current_decay * self._current + x
        if self._decay is not None:
            h = self._decay * v + x
        elif op.decay_input:
            h = v + (x - (v - self._rest)) * self._leak
        else:
            h = v - (v - self._rest) * self._leak + x
        late = op.when != "now" and self._fires(v)
        if late:
            h = self._left(h)
        fires = self._fires(h)
        self.v = h
        if op.when == "both":
            self.v = h - self._threshold * (fires - late)
        elif op.when == "now" and fires:
            self.v = self._left(h)
        return h
