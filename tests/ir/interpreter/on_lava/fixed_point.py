"""Lava's own fixed-point models, run on what a test gives: `python fixed_point.py IN.npz OUT.npz`.

This file runs under Lava's interpreter, alone in its folder: Lava executes every file beside a
process when it looks for models. IN.npz holds ``cases``, JSON of a list; each case names its arrays
``K:NAME``, K its number. OUT.npz holds ``K:s``, ``K:u`` and ``K:v`` (steps, *shape): what the
neurons said in each step, and their state after it.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.models import PyLifModelBitAcc, PyLifResetModelBitAcc
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix


class Watched:
    """Adds to a model of Lava that its state is written down after each step.

    ``folder`` and ``soft`` are set before Lava forks a process for it.
    """

    folder: Path
    soft: bool

    def run_spk(self):
        if not hasattr(self, "files"):
            files = {key: self.folder / f"{key}.npy" for key in "suv"}
            self.files = {key: np.load(file, mmap_mode="r+") for key, file in files.items()}
            send = self.s_out.send
            self.s_out.send = lambda spikes: (self.keep("s", spikes), send(spikes))
        super().run_spk()
        self.keep("u", self.u)
        self.keep("v", self.v)

    def keep(self, key, values):
        self.files[key][self.time_step - 1] = values

    def reset_voltage(self, spike_vector):
        if self.soft:
            self.v -= spike_vector * self.effective_vth
        else:
            super().reset_voltage(spike_vector)


class WatchedLIF(Watched, PyLifModelBitAcc):
    pass


class WatchedReset(Watched, PyLifResetModelBitAcc):
    pass


def synapses(settings, a):
    """The process of one projection."""
    kind, more = settings["kind"], {"num_message_bits": settings["bits"]}
    if kind == "conv":
        keys = ("stride", "padding", "dilation", "groups")
        return Conv(
            weight=a["weight"],
            input_shape=tuple(settings["input"]),
            **{key: settings[key] for key in keys},
            **more,
        )
    if kind == "sparse":
        return Sparse(weights=csr_matrix(a["weight"]), sign_mode=SignMode.MIXED, **more)
    return Dense(weights=a["weight"], sign_mode=SignMode.MIXED, **more)


def run(case, arrays, folder):
    shape, steps = tuple(case["shape"]), case["steps"]
    reset = case["anew"]
    cls = LIFReset if reset else LIF
    more = {"reset_interval": reset[0], "reset_offset": reset[1]} if reset else {}
    numbers = {name: arrays[name] for name in ("vth", "du", "dv", "bias_mant", "bias_exp")}
    neurons = cls(shape=shape, **numbers, **more)
    Watched.folder, Watched.soft = folder, case["soft"]
    for key in "suv":
        np.lib.format.open_memmap(folder / f"{key}.npy", "w+", np.int64, (steps, *shape))
    for number, settings in enumerate(case["projections"]):
        a = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{number}/")}
        source = RingBuffer(data=np.moveaxis(a["given"], 0, -1))
        if settings is None:
            source.s_out.connect(neurons.a_in)
            continue
        process = synapses(settings, a)
        source.s_out.reshape(process.s_in.shape).connect(process.s_in)
        process.a_out.reshape(shape).connect(neurons.a_in)
    watched = {LIF: WatchedLIF, LIFReset: WatchedReset}
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=watched)
    try:
        neurons.create_runtime(config, compile_config={"pypy_channel_size": 2})
        neurons.run(RunSteps(num_steps=steps))
    finally:
        neurons.stop()
    return {key: np.load(folder / f"{key}.npy") for key in "suv"}


def main(given, answers):
    with np.load(given) as file:
        arrays = dict(file)
    found = {}
    for number, case in enumerate(json.loads(str(arrays.pop("cases")))):
        stem = f"{number}:"
        own = {k.removeprefix(stem): v for k, v in arrays.items() if k.startswith(stem)}
        with tempfile.TemporaryDirectory() as folder:
            found |= {f"{stem}{k}": v for k, v in run(case, own, Path(folder)).items()}
    np.savez(answers, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
