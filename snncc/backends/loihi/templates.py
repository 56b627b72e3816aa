"""The two modules of an emitted package that are written for each network."""

from string import Template

NETWORK = Template('''\
"""$title as Lava processes, written by snncc $version.

Arrays are channel last. A place at level L answers step 0 of a sample at step L, and its neurons
start anew then: reset_offset = 1 + L, for Lava counts steps from 1. Samples follow each other
with IDLE steps between them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
$imports
from .wiring import (
    MIXED, Sinks, connect, diagonal, half_below, hush, identity, join, just_below, matrix,
    per_neuron, play
)

# Which of Lava's models run: in floating point, or in the whole numbers of the chip.
TAG = "$tag"

# How many processes of each kind there are: Lava's own, and those of this package.
STOCK = $stock
OWN = $own

# Steps of a sample where the input does not tell, steps between samples in which what a delay
# keeps of the first runs out, and steps until the last answer begins.
TIME_STEPS = $time_steps
IDLE = $idle
LATENCY = $latency

# What comes from outside: its shape, channel first, and whether it is the same at every step.
INPUTS = {
$inputs
}

# Port of the recorder: what it hears, of which place, and when it hears of step 0 of a sample.
RECORDED = {
$recorded
}


def build(
    a: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    period: int,
    steps: int,
    folder: str,
) -> Recorder | Sinks:
    """All processes, joined; ``a`` holds arrays.npz, ``given`` a stream for each input.

    A sample begins every ``period`` steps of ``steps``.
    """
$places

    return recorder


def read_out(
    a: Mapping[str, np.ndarray], sums: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What the host makes of the sums (T, N, *shape): outputs of every step, and logits."""
    outputs, logits = {}, {}
$readouts
    return outputs, logits
''')

STOCK = {
    "Conv": "lava.proc.conv.process",
    "Dense": "lava.proc.dense.process",
    "LIF": "lava.proc.lif.process",
    "LIFReset": "lava.proc.lif.process",
    "Sparse": "lava.proc.sparse.process",
    "RingBuffer": "",
}
"""Lava's own processes and the modules they are imported from; wiring.py has the RingBuffers."""

OWN = {
    "DelayLine": ".processes.delays",
    "FixedLIF": ".processes.neurons",
    "NormalFormLIF": ".processes.neurons",
    "Recorder": ".processes.recorder",
}
"""The processes of the package."""

OWN_FILES = frozenset({"delays.py", "neurons.py"})
"""The modules among them that a network may not need."""

WORDS = frozenset({
    "a", "given", "period", "steps", "folder", "recorder", "outputs", "logits", "sums",
    "float", "np", "Mapping", "Conv", "Dense", "LIF", "LIFReset", "Sparse", "NormalFormLIF",
    "FixedLIF", "MIXED", "TAG", "Recorder", "RingBuffer", "DelayLine", "Sinks", "STOCK", "OWN",
    "connect", "diagonal",
    "half_below", "hush", "identity", "join", "just_below", "matrix", "per_neuron",
    "play", "TIME_STEPS", "IDLE", "LATENCY", "INPUTS", "RECORDED", "build", "read_out",
})  # fmt: skip
"""Names the text of NETWORK uses, which no place may take."""

RECORDER = Template('''\
"""Writes down, step by step, what populations and readouts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Recorder(AbstractProcess):
    """What port p hears at step k becomes row k of ``folder``/p.npy, a file that exists."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder=folder)
$ports


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt", "fixed_pt")
class RecorderModel(PyLoihiProcessModel):
$types

    def __init__(self, proc_params: Any = None) -> None:
        super().__init__(proc_params)
        files = Path(proc_params["folder"]).glob("*.npy")
        self.files = {file.stem: np.load(file, mmap_mode="r+") for file in files}
        self.done = np.memmap(Path(proc_params["folder"], "steps"), np.int64, "r+")

    def run_spk(self) -> None:
        for port, file in self.files.items():
            file[self.time_step - 1] = getattr(self, port).recv()
        self.done[0] = self.time_step
''')
