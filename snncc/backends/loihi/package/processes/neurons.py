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
    """v ← decay·v + a_in + bias;  s = [v ≥ threshold];  hard: v ← keep·v where s, soft: v ← v −
    threshold·s, none: v stays.

    With ``current_decay``, c ← current_decay·c + a_in + bias takes the place of a_in + bias. With
    ``when`` "next" a spike resets the membrane of the next step before it fires (hard: its input
    too); with "both" (soft) it does so too, and what it differs by resets after it fires.

    Numbers are one for all neurons or arrays of ``shape``. Like LIFReset, it starts anew, here at
    v = ``initial`` and c = ``current_initial``, before each step t (from 1) with t ≡ reset_offset
    modulo reset_interval.
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
        keep: Any = 0.0,
        current_initial: Any = 0.0,
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
        self.keep = Var(shape=shape, init=keep)
        self.current_initial = Var(shape=shape, init=current_initial)
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
    keep: np.ndarray = LavaPyType(np.ndarray, float)
    current_initial: np.ndarray = LavaPyType(np.ndarray, float)
    c: np.ndarray = LavaPyType(np.ndarray, float)

    def run_spk(self) -> None:
        reset, when = self.proc_params["reset"], self.proc_params["when"]
        current = self.a_in.recv() + self.bias
        if self.time_step % self.proc_params["reset_interval"] == self.proc_params["reset_offset"]:
            self.v[:] = self.initial
            self.c[:] = self.current_initial
        late = self.v >= self.threshold
        self.c[:] = self.current_decay * self.c + current
        self.v[:] = self.decay * self.v + self.c
        if when != "now" and reset == "hard":
            self.v[late] *= self.keep[late]
        elif when != "now" and reset == "soft":
            self.v -= self.threshold * late
        spikes = self.v >= self.threshold
        if when == "both":
            self.v -= self.threshold * (spikes * 1.0 - late)
        elif when == "now" and reset == "hard":
            self.v[spikes] *= self.keep[spikes]
        elif when == "now" and reset == "soft":
            self.v -= self.threshold * spikes
        self.s_out.send(spikes)


class FixedLIF(AbstractProcess):
    """Loihi's neuron in whole numbers with what Lava's LIFReset lacks. One unit of ``a_in`` and of
    ``vth`` is 64 of u and v, and x shrinks by k to sign(x)·(|x|·(4096 − k) >> 12):

        u ← u shrunk by du + 1, + 64·a_in, wrapped once at ±2²³
        v ← v shrunk by dv, + u + bias_mant·2^bias_exp, held within ±(2²³ − 1)
        s = [v > 64·vth];  hard: v ← 0 where s, soft: v ← v − 64·vth·s, none: v stays

    ``when`` as in NormalFormLIF. With ``bias_into`` "current" the bias goes into u. Starts anew, at
    u = 0 and v = ``initial``, before each step t (from 1) with t ≡ reset_offset modulo
    reset_interval, and sends nothing in the ``silent`` steps before.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        vth: Any,
        du: Any = 0,
        dv: Any = 0,
        bias_mant: Any = 0,
        bias_exp: Any = 0,
        initial: Any = 0,
        reset: str = "hard",
        when: str = "now",
        bias_into: str = "membrane",
        silent: int = 0,
        reset_interval: int,
        reset_offset: int,
    ) -> None:
        super().__init__(
            reset=reset,
            when=when,
            bias_into=bias_into,
            silent=silent,
            reset_interval=reset_interval,
            reset_offset=reset_offset % reset_interval,
        )
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=0)
        self.vth = Var(shape=shape, init=vth)
        self.du = Var(shape=shape, init=du)
        self.dv = Var(shape=shape, init=dv)
        self.bias_mant = Var(shape=shape, init=bias_mant)
        self.bias_exp = Var(shape=shape, init=bias_exp)
        self.initial = Var(shape=shape, init=initial)


@implements(proc=FixedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedLIFModel(PyLoihiProcessModel):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    u: np.ndarray = LavaPyType(np.ndarray, np.int64)
    v: np.ndarray = LavaPyType(np.ndarray, np.int64)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int64)
    du: np.ndarray = LavaPyType(np.ndarray, np.int64)
    dv: np.ndarray = LavaPyType(np.ndarray, np.int64)
    bias_mant: np.ndarray = LavaPyType(np.ndarray, np.int64)
    bias_exp: np.ndarray = LavaPyType(np.ndarray, np.int64)
    initial: np.ndarray = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        reset, when = self.proc_params["reset"], self.proc_params["when"]
        current, bias = self.a_in.recv().astype(np.int64) << 6, self.bias_mant << self.bias_exp
        if self.time_step % self.proc_params["reset_interval"] == self.proc_params["reset_offset"]:
            self.u[:] = 0
            self.v[:] = self.initial
        threshold = self.vth << 6
        late = self.v > threshold
        into = self.proc_params["bias_into"] == "current"
        self.u[:] = wrapped(shrunk(self.u, self.du + 1) + current + bias * into)
        v = shrunk(self.v, self.dv) + self.u + bias * (not into)
        self.v[:] = np.clip(v, 1 - (1 << 23), (1 << 23) - 1)
        if when != "now" and reset == "hard":
            self.v[late] = 0
        elif when != "now" and reset == "soft":
            self.v -= threshold * late
        spikes = self.v > threshold
        if when == "both":
            self.v -= threshold * (spikes.astype(np.int64) - late)
        elif when == "now" and reset == "hard":
            self.v[spikes] = 0
        elif when == "now" and reset == "soft":
            self.v -= threshold * spikes
        waits = (self.proc_params["reset_offset"] - self.time_step) % self.proc_params[
            "reset_interval"
        ]
        self.s_out.send(spikes & ~(1 <= waits <= self.proc_params["silent"]))


def shrunk(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(x) * (np.abs(x) * (4096 - by) >> 12))


def wrapped(u: np.ndarray) -> np.ndarray:
    """As Lava's fixed-point LIF: in 32 bits, then once at ±2²³."""
    u = (u + (1 << 31)) % (1 << 32) - (1 << 31)
    u = np.where(u > 1 << 23, u - (1 << 24), u)
    return np.asarray(np.where(u <= -(1 << 23), u + (1 << 24), u))
