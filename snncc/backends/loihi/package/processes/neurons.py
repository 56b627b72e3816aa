"""Neurons that Lava's own LIF cannot express: their resets, currents and initial membranes."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class NormalFormLIF(AbstractProcess):
    """v ← decay·v + a_in + bias;  s = [v ≥ threshold];  hard: v ← 0 where s, soft: v ← v −
    threshold·s, none: v stays.

    With ``current_decay``, c ← current_decay·c + a_in + bias takes the place of a_in + bias. With
    ``when`` "next" a spike resets the membrane of the next step before it fires (hard: to 0, its
    input lost); with "both" (soft) it does so too, and what it differs by resets after it fires.

    Numbers are one for all neurons or arrays of ``shape``. Like LIFReset, it starts anew, here at
    v = ``initial``, before each step t (from 1) with t ≡ reset_offset modulo reset_interval.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        decay: Any,
        threshold: Any,
        bias: Any,
        initial: Any,
        current_decay: Any = 0.0,
        reset: str = "hard",
        when: str = "now",
        reset_interval: int,
        reset_offset: int,
    ) -> None:
        super().__init__(
            reset=reset,
            when=when,
            reset_interval=reset_interval,
            reset_offset=reset_offset % reset_interval,
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.v = Var(shape=shape, init=0)
        self.decay = Var(shape=shape, init=decay)
        self.threshold = Var(shape=shape, init=threshold)
        self.bias = Var(shape=shape, init=bias)
        self.initial = Var(shape=shape, init=initial)
        self.current_decay = Var(shape=shape, init=current_decay)
        self.c = Var(shape=shape, init=0)


@implements(proc=NormalFormLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class NormalFormLIFModel(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: np.ndarray = LavaPyType(np.ndarray, float)
    decay: np.ndarray = LavaPyType(np.ndarray, float)
    threshold: np.ndarray = LavaPyType(np.ndarray, float)
    bias: np.ndarray = LavaPyType(np.ndarray, float)
    initial: np.ndarray = LavaPyType(np.ndarray, float)
    current_decay: np.ndarray = LavaPyType(np.ndarray, float)
    c: np.ndarray = LavaPyType(np.ndarray, float)

    def run_spk(self) -> None:
        reset, when = self.proc_params["reset"], self.proc_params["when"]
        current = self.a_in.recv() + self.bias
        if self.time_step % self.proc_params["reset_interval"] == self.proc_params["reset_offset"]:
            self.v[:] = self.initial
            self.c[:] = 0
        late = self.v >= self.threshold
        self.c[:] = self.current_decay * self.c + current
        self.v[:] = self.decay * self.v + self.c
        if when != "now" and reset == "hard":
            self.v[late] = 0
        elif when != "now" and reset == "soft":
            self.v -= self.threshold * late
        spikes = self.v >= self.threshold
        if when == "both":
            self.v -= self.threshold * (spikes * 1.0 - late)
        elif when == "now" and reset == "hard":
            self.v[spikes] = 0
        elif when == "now" and reset == "soft":
            self.v -= self.threshold * spikes
        self.s_out.send(spikes)
