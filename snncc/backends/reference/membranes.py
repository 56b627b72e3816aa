"""Membranes over time: the recurrence of a population, all steps in one compiled pass.

The float operations are those of `snncc.ir.interpreter.Cell`, in the same order and with none
contracted, so that equal inputs give equal spikes, bit for bit, in the dtype of the inputs. Those
of whole numbers are the arithmetic of `snncc.ir.interpreter.fixed`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from snncc.compiled import compiled
from snncc.ir.interpreter import Value
from snncc.ir.interpreter.fixed_cell import CURRENT_LIMIT, PORT_BITS
from snncc.ir.network import Neuron
from snncc.ir.ops import Ref
from snncc.ir.registers import MEMBRANE_LIMIT, ONE, UNITY, FixedNeuron, Whole

BLOCK = 1024
"""About so many membranes at a time stay in the nearest cache."""


def recurrence(neuron: Neuron) -> Callable[..., None]:
    """The compiled recurrence of neurons like this one.

    Called with ``x`` (N, T or 1, neurons), where one step stands for all; ``numbers``
    (7, period), the rows decay, threshold, bias, initial, current_decay, keep and current_initial,
    repeated over the neurons; ``block``, which is the period or divides the neurons into parts of
    it; and ``spikes`` (N, T, neurons), which it fills. All of one dtype, in rows without gaps.
    """
    return _recurrence(
        neuron.reset,
        neuron.when,
        neuron.decay == 1,
        neuron.current_decay != 0,
        neuron.is_memoryless,
        neuron.keeps,
    )


@cache
def _recurrence(
    reset: str, when: str, integrates: bool, has_current: bool, is_memoryless: bool, keeps: bool
) -> Callable[..., None]:
    """One compiled loop, and long for it: what is constant here costs nothing in it."""
    hard, soft = reset == "hard", reset == "soft"
    now, both = when == "now", when == "both"

    @compiled(nogil=True, error_model="numpy")
    def run(x, numbers, block, spikes):
        samples, steps, neurons = spikes.shape
        given, period = x.shape[1], numbers.shape[1]
        one = x.dtype.type(1)
        zero = x.dtype.type(0)
        v = np.empty(block, x.dtype)
        c = np.empty(block if has_current else 0, x.dtype)
        late = np.empty(0 if now else block, x.dtype)
        for n in range(samples):
            for start in range(0, neurons, block):
                size = min(block, neurons - start)
                offset = start % period
                decay = numbers[0, offset : offset + size]
                threshold = numbers[1, offset : offset + size]
                bias = numbers[2, offset : offset + size]
                initial = numbers[3, offset : offset + size]
                current_decay = numbers[4, offset : offset + size]
                keep = numbers[5, offset : offset + size]
                current_initial = numbers[6, offset : offset + size]
                for i in range(size):
                    v[i] = initial[i]
                    if has_current:
                        c[i] = current_initial[i]
                    if not now:
                        late[i] = one if initial[i] >= threshold[i] else zero
                for t in range(steps):
                    here = x[n, t if given > 1 else 0, start : start + size]
                    there = spikes[n, t, start : start + size]
                    for i in range(size):
                        h = here[i] + bias[i]
                        if has_current:
                            h = current_decay[i] * c[i] + h
                            c[i] = h
                        if not is_memoryless:
                            h = v[i] + h if integrates else decay[i] * v[i] + h
                        if both:
                            late[i] = one if v[i] >= threshold[i] else zero
                        if not now and hard:
                            if keeps:
                                h = keep[i] * h if late[i] > zero else h
                            else:
                                h = h * (one - late[i])
                        if not now and soft:
                            h = h - threshold[i] * late[i]
                        s = one if h >= threshold[i] else zero
                        there[i] = s
                        if both:
                            v[i] = h - threshold[i] * (s - late[i])
                        elif now and hard:
                            if keeps:
                                v[i] = keep[i] * h if s > zero else h
                            else:
                                v[i] = h * (one - s)
                        elif now and soft:
                            v[i] = h - threshold[i] * s
                        else:
                            v[i] = h
                        if not now:
                            late[i] = s

    return run  # type: ignore[no-any-return]


def fixed_recurrence(neuron: FixedNeuron, narrow: bool) -> Callable[..., tuple[int, int]]:
    """The compiled recurrence of neurons in whole numbers, those of ``FixedCell``.

    Called as `recurrence` is: ``x`` are the sums of weights, whole numbers of any type, and the
    rows of ``numbers`` those of `fixed_numbers`. Returns how many currents wrapped and how many
    membranes were held. ``narrow``: in 32 bits, where ``x`` is within `narrow_enough`.
    """
    return _fixed_recurrence(
        neuron.reset,
        neuron.when,
        isinstance(neuron.dv, Ref) or neuron.dv != 0,
        isinstance(neuron.du, Ref) or neuron.du != UNITY - 1,
        narrow,
    )


def fixed_numbers(neuron: FixedNeuron, whole: Callable[[Whole], Value]) -> list[Value]:
    """What the recurrence reads: what is left of a membrane and of a current in 4096ths, threshold,
    initial membrane, and what is added to membrane and current at every step."""
    bias = whole(neuron.bias_mant) << whole(neuron.bias_exp)
    into_membrane = neuron.bias_into == "membrane"
    return [
        UNITY - whole(neuron.dv), UNITY - 1 - whole(neuron.du), whole(neuron.vth) * ONE,
        whole(neuron.initial), bias * into_membrane, bias * (not into_membrane),
    ]  # fmt: skip


def narrow_enough(most: float) -> bool:
    """Whether sums of weights up to ``most`` need no more than 32 bits.

    A current is within ±2²³, once wrapped, where sum and bias together are below 2²⁴; what is left
    of a membrane, reset twice by the largest threshold, is below 2²⁵.
    """
    return ONE * most < 2 * CURRENT_LIMIT - (UNITY << 7)


@cache
def _fixed_recurrence(
    reset: str, when: str, leaks: bool, has_current: bool, narrow: bool
) -> Callable[..., tuple[int, int]]:
    """One compiled loop, and long for it, as `_recurrence` is."""
    hard, soft = reset == "hard", reset == "soft"
    now, both = when == "now", when == "both"
    # numba computes in 64 bits and LLVM in 32 what is cut to them at once.
    whole = np.int32 if narrow else np.int64
    limit, least, round_trip = whole(MEMBRANE_LIMIT), whole(CURRENT_LIMIT), whole(2 * CURRENT_LIMIT)
    half = 1 << (PORT_BITS - 1)

    @compiled(nogil=True, error_model="numpy")
    def run(x, numbers, block, spikes):
        samples, steps, neurons = spikes.shape
        given, period = x.shape[1], numbers.shape[1]
        v = np.empty(block, whole)
        c = np.empty(block if has_current else 0, whole)
        late = np.empty(0 if now else block, np.bool_)
        wraps = saturations = 0
        for n in range(samples):
            for start in range(0, neurons, block):
                size = min(block, neurons - start)
                offset = start % period
                kept = numbers[0, offset : offset + size]
                kept_current = numbers[1, offset : offset + size]
                threshold = numbers[2, offset : offset + size]
                initial = numbers[3, offset : offset + size]
                bias = numbers[4, offset : offset + size]
                current_bias = numbers[5, offset : offset + size]
                for i in range(size):
                    v[i] = initial[i]
                    if has_current:
                        c[i] = 0
                    if not now:
                        late[i] = initial[i] > threshold[i]
                for t in range(steps):
                    here = x[n, t if given > 1 else 0, start : start + size]
                    there = spikes[n, t, start : start + size]
                    outside = held = np.int32(0)
                    for i in range(size):
                        u = whole(whole(here[i]) * whole(64) + current_bias[i])
                        if has_current:
                            before = c[i]
                            amount = whole(abs(before))
                            left = whole(
                                whole(amount >> 12) * kept_current[i]
                                + whole(whole(whole(amount & 4095) * kept_current[i]) >> 12)
                            )
                            u = whole(u + (left if before >= 0 else whole(-left)))
                        above, below = u > least, u <= -least
                        outside = np.int32(outside + np.int32(above | below))
                        if not narrow:
                            if above | below:
                                u = ((u + half) & (2 * half - 1)) - half
                            above, below = u > least, u <= -least
                        u = whole(u - (round_trip if above else whole(0)))
                        u = whole(u + (round_trip if below else whole(0)))
                        if has_current:
                            c[i] = u
                        old = v[i]
                        h = old
                        if leaks:
                            amount = whole(abs(old))
                            left = whole(
                                whole(amount >> 12) * kept[i]
                                + whole(whole(whole(amount & 4095) * kept[i]) >> 12)
                            )
                            h = left if old >= 0 else whole(-left)
                        h = whole(whole(h + u) + bias[i])
                        over, under = h > limit, h < -limit
                        held = np.int32(held + np.int32(over | under))
                        h = limit if over else h
                        h = whole(-limit) if under else h
                        if both:
                            late[i] = old > threshold[i]
                        if not now and hard:
                            h = whole(0) if late[i] else h
                        if not now and soft:
                            h = whole(h - (threshold[i] if late[i] else whole(0)))
                        s = h > threshold[i]
                        there[i] = s
                        if both:
                            h = whole(h - (threshold[i] if s else whole(0)))
                            h = whole(h + (threshold[i] if late[i] else whole(0)))
                        elif now and hard:
                            h = whole(0) if s else h
                        elif now and soft:
                            h = whole(h - (threshold[i] if s else whole(0)))
                        v[i] = h
                        if not now:
                            late[i] = s
                    wraps += int(outside)
                    saturations += int(held)
        return wraps, saturations

    return run  # type: ignore[no-any-return]


@compiled(nogil=True, error_model="numpy")
def differing(one, two):
    """How many bytes of two flat arrays differ."""
    total = 0
    for i in range(len(one)):
        total += one[i] != two[i]
    return total


COUNTED = 255
"""Spikes that a byte counts."""


@compiled(nogil=True, error_model="numpy")
def count(values, sent):
    """Add ``values`` (rows, neurons), whole numbers of any type, to ``sent``, int64 (neurons,)."""
    rows, neurons = values.shape
    for start in range(0, neurons, BLOCK):
        size = min(BLOCK, neurons - start)
        there = sent[start : start + size]
        for row in range(rows):
            here = values[row, start : start + size]
            for i in range(size):
                there[i] += np.int64(here[i])


@compiled(nogil=True, error_model="numpy")
def count_spikes(spikes, sent):
    """The same for spikes in bytes, which are 0 or 1: first in bytes, then as they fill up."""
    rows, neurons = spikes.shape
    few = np.empty(BLOCK, np.uint8)
    for start in range(0, neurons, BLOCK):
        size = min(BLOCK, neurons - start)
        there = sent[start : start + size]
        for first in range(0, rows, COUNTED):
            few[:size] = 0
            for row in range(first, min(first + COUNTED, rows)):
                here = spikes[row, start : start + size]
                for i in range(size):
                    few[i] = np.uint8(few[i] + here[i])
            for i in range(size):
                there[i] += few[i]
