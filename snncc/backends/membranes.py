"""Membranes over time: the recurrence of a population, all steps in one compiled pass.

The float operations are those of `snncc.ir.interpreter.Cell`, in the same order and with none
contracted, so that equal inputs give equal spikes, bit for bit, in the dtype of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from snncc.compiled import compiled
from snncc.ir.network import Neuron

BLOCK = 1024
"""About so many membranes at a time stay in the nearest cache."""


def recurrence(neuron: Neuron) -> Callable[..., None]:
    """The compiled recurrence of neurons like this one.

    Called with ``x`` (N, T or 1, neurons), where one step stands for all; ``numbers``
    (5, period), the rows decay, threshold, bias, initial and current_decay, repeated over the
    neurons; ``block``, which is the period or divides the neurons into parts of it; and
    ``spikes`` (N, T, neurons), which it fills. All of one dtype, in rows without gaps.
    """
    return _recurrence(
        neuron.reset,
        neuron.when,
        neuron.decay == 1,
        neuron.current_decay != 0,
        neuron.is_memoryless,
    )


@cache
def _recurrence(
    reset: str, when: str, integrates: bool, has_current: bool, is_memoryless: bool
) -> Callable[..., None]:
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
                for i in range(size):
                    v[i] = initial[i]
                    if has_current:
                        c[i] = zero
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
                            h = h * (one - late[i])
                        if not now and soft:
                            h = h - threshold[i] * late[i]
                        s = one if h >= threshold[i] else zero
                        there[i] = s
                        if both:
                            v[i] = h - threshold[i] * (s - late[i])
                        elif now and hard:
                            v[i] = h * (one - s)
                        elif now and soft:
                            v[i] = h - threshold[i] * s
                        else:
                            v[i] = h
                        if not now:
                            late[i] = s

    return run  # type: ignore[no-any-return]
