"""What a neuron of a Graph means, in its framework's order of work."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from snncc.ir.interpreter.fixed_cell import FixedCell, WholeStore
from snncc.ir.interpreter.operations import TensorStore, Value
from snncc.ir.ops import Dynamics, Membrane, Ref, WholeSpiking
from snncc.ir.registers import ONE, registers_of


class Written:
    """A neuron in its framework's order of work, step after step.

    A call takes the current (N, *features) of a step and returns the spikes, as booleans, and the
    membrane before its reset; ``v`` is the membrane after it.
    """

    def __init__(self, op: Dynamics, shape: Sequence[int], store: TensorStore) -> None:
        self._op = op
        self._leak, self._threshold = store.number(op.leak), store.number(op.threshold)
        self._decay = None if op.decay is None else store.number(op.decay)
        self._current_decay = store.number(op.current_decay)
        self._keep = store.number(op.keep)
        self._keeps = isinstance(op.keep, Ref) or op.keep != 0
        leaks = isinstance(op.leak, Ref) or op.leak != 0
        self._integrates = not leaks and not op.decay_input
        self._current = store.number(op.current_initial)
        self.v = store.number(op.initial).expand(tuple(shape))
        self._cell = None
        if isinstance(op, WholeSpiking):
            neuron, tensors = registers_of(op, store.tensors, "neuron")
            self._cell = FixedCell(neuron, shape, WholeStore(tensors))

    def _fires(self, v: Value) -> Value:
        return v > self._threshold if self._op.strict else v >= self._threshold

    def _charged(self, x: Value) -> Value:
        op, v = self._op, self.v
        if isinstance(op.current_decay, Ref) or op.current_decay != 0:
            x = self._current = self._current_decay * self._current + x
        if self._decay is not None:
            return self._decay * v + x
        if self._integrates:
            return v + x
        if op.decay_input:
            return v + (x - (v - op.v_reset)) * self._leak
        return v - (v - op.v_reset) * self._leak + x

    def _left(self, h: Value) -> Value | float:
        """What a hard reset makes of a membrane."""
        rest = self._op.v_reset
        return rest + self._keep * (h - rest) if self._keeps else rest

    def __call__(self, x: Value) -> tuple[Value, Value]:
        if self._cell is not None:
            s, h = self._cell(x.round().long())
            self.v = self._cell.v.to(x.dtype) / ONE
            return s, h.to(x.dtype) / ONE
        op, h = self._op, self._charged(x)
        late = self._fires(self.v) if op.when != "now" else None
        if late is not None and op.reset == "hard":
            h = torch.where(late, self._left(h), h)
        elif late is not None and op.reset == "soft":
            h = h - self._threshold * late.to(h.dtype)
        s = self._fires(h)
        self.v = h
        if op.when == "both":
            assert late is not None
            self.v = h - self._threshold * (s.to(h.dtype) - late.to(h.dtype))
        elif op.when == "now" and op.reset == "hard":
            self.v = torch.where(s, self._left(h), h)
        elif op.when == "now" and op.reset == "soft":
            self.v = h - self._threshold * s.to(h.dtype)
        return s, h

    def value(self, x: Value) -> Value:
        """The spikes of a step, or the membrane that a ``Membrane`` shows."""
        s, h = self(x)
        if isinstance(self._op, Membrane):
            return h if self._op.before else self.v
        return s.to(x.dtype)


def fire_as_written(op: Dynamics, current: Value, store: TensorStore) -> Value:
    """The spikes or membranes of ``op`` for currents (T, N, *features)."""
    neuron = Written(op, current.shape[1:], store)
    values = torch.empty_like(current)
    for t, x in enumerate(current):
        values[t] = neuron.value(x)
    return values
