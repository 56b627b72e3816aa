"""Neurons in Loihi's whole-number arithmetic as Lava 0.10 does it, bit for bit, step after step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

from snncc.ir.graph import Tensors
from snncc.ir.interpreter.operations import TensorStore, Value
from snncc.ir.network import Network
from snncc.ir.ops import Ref
from snncc.ir.registers import MEMBRANE_LIMIT, ONE, UNITY, FixedNeuron, Whole, weights

CURRENT_LIMIT = 1 << 23
CONV_BITS = 24
PORT_BITS = 32


class WholeStore(TensorStore):
    """Tensors of whole numbers, those named ``weights`` as float64, which adds them exactly.

    Sums stay exact below 2⁵³, and no synapse gathers from 2⁴⁵ neurons.
    """

    def __init__(self, tensors: Tensors, weights: Collection[str] = ()) -> None:
        as_float = {name: tensors[name].astype(np.float64) for name in weights}
        super().__init__({**tensors, **as_float}, torch.float64)

    @classmethod
    def of(cls, network: Network) -> WholeStore:
        """Everything that a fixed Network reads."""
        numbers = (weights(op) for p in network.projections for op in p.map)
        return cls(network.tensors, {ref for ref in numbers if isinstance(ref, Ref)})

    def whole(self, number: Whole) -> Value:
        return self[number].long() if isinstance(number, Ref) else torch.tensor(number)


def wrapped(x: Value, bits: int) -> Value:
    """Whole numbers as two's complement of ``bits`` holds them."""
    half = 1 << (bits - 1)
    return (x + half) % (2 * half) - half


def decayed(x: Value, by: Value) -> Value:
    """x·(4096 − by) / 4096, toward zero."""
    return x.sign() * (x.abs() * (UNITY - by) >> 12)


State = tuple[Value, Value]
"""Currents u and membranes v after a step, int64 (N, *shape), or after each, (T, N, *shape)."""


class FixedCell:
    """Neurons step after step; ``u`` and ``v`` are their state, int64 (N, *shape).

    ``wraps`` counts the currents that wrapped, ``saturations`` the membranes that were held. With
    ``keep``, ``states`` has u and v after each step.
    """

    def __init__(
        self, neuron: FixedNeuron, shape: Sequence[int], store: WholeStore, keep: bool = False
    ) -> None:
        self._neuron = neuron
        self._keep = keep
        self.states: list[State] = []
        self._threshold = store.whole(neuron.vth) * ONE
        self._bias = store.whole(neuron.bias_mant) << store.whole(neuron.bias_exp)
        self._dv, self._du = store.whole(neuron.dv), store.whole(neuron.du)
        self.u = torch.zeros(*shape, dtype=torch.int64)
        self.v = store.whole(neuron.initial).expand(*shape)
        self._late = self.v > self._threshold
        self.wraps = self.saturations = 0

    def __call__(self, a: Value, teacher: Value | None = None) -> tuple[Value, Value]:
        """Spikes (booleans) and membranes before reset of a step, for sums of weights ``a``.

        With a ``teacher`` the membrane is reset by the teacher's spikes instead of its own.
        """
        neuron = self._neuron
        self.u = self._current(a)
        v = self._charged()
        if neuron.when == "both":
            self._late = self.v > self._threshold
        if neuron.when != "now" and neuron.reset == "hard":
            v = torch.where(self._late, 0, v)
        elif neuron.when != "now" and neuron.reset == "soft":
            v = v - self._threshold * self._late
        spikes = v > self._threshold
        s = spikes if teacher is None else teacher
        self.v = v
        if neuron.when == "both":
            self.v = v - self._threshold * (s.to(v.dtype) - self._late.to(v.dtype))
        elif neuron.when == "now" and neuron.reset == "hard":
            self.v = torch.where(s, 0, v)
        elif neuron.when == "now" and neuron.reset == "soft":
            self.v = v - self._threshold * s
        self._late = s
        if self._keep:
            self.states.append((self.u, self.v))
        return spikes, v

    def _current(self, a: Value) -> Value:
        u = a * ONE
        if isinstance(self._neuron.du, Ref) or self._neuron.du != UNITY - 1:
            u = decayed(self.u, self._du + 1) + u
        if self._neuron.bias_into == "current":
            u = u + self._bias
        outside = (u > CURRENT_LIMIT) | (u <= -CURRENT_LIMIT)
        if bool(outside.any()):
            self.wraps += int(outside.sum())
            u = wrapped(u, PORT_BITS)
            u = torch.where(u > CURRENT_LIMIT, u - 2 * CURRENT_LIMIT, u)
            u = torch.where(u <= -CURRENT_LIMIT, u + 2 * CURRENT_LIMIT, u)
        return u

    def _charged(self) -> Value:
        v = self.v
        if isinstance(self._neuron.dv, Ref) or self._neuron.dv != 0:
            v = decayed(v, self._dv)
        v = v + self.u
        if self._neuron.bias_into == "membrane":
            v = v + self._bias
        held = v.clamp(-MEMBRANE_LIMIT, MEMBRANE_LIMIT)
        self.saturations += int((held != v).sum())
        return held
