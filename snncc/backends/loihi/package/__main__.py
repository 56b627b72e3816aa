"""Run the network on the samples of a file, back to back, and write what it said.

INPUT.npz holds, for each source, its spikes (T, N, *shape) under its name, and for each encoder its
currents, (N, *shape) where they are the same at every step, else (T, N, *shape). OUTPUT.npz holds
``spikes:NAME`` (T, N, *shape) of every population that is no relay, ``outputs:NAME`` (T, N, *shape)
of every readout, and ``logits:NAME`` (N, *shape). Shapes are channel first, as in torch.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.conv.process import Conv

from . import network
from .processes.synapses import ConvByMatrix, FixedConvByMatrix
from .wiring import Sinks

if TYPE_CHECKING:
    from .processes.recorder import Recorder

HERE = Path(__file__).parent
CONV = {"floating_pt": ConvByMatrix, "fixed_pt": FixedConvByMatrix}
DONE = "steps"  # the file with the number of steps that were recorded
WIDE = {np.dtype(np.float32): np.float64}  # stored short where that loses nothing


def main() -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {HERE.name}", description=network.__doc__)
    parser.add_argument("input", metavar="INPUT.npz")
    parser.add_argument("output", metavar="OUTPUT.npz")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N samples only")
    parser.add_argument(
        "--lava-conv", action="store_true", help="Lava's own model of Conv, some 25 times slower"
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this parent is gone")
    options = parser.parse_args()
    with np.load(HERE / "arrays.npz") as file:
        a = {name: array.astype(WIDE.get(array.dtype, array.dtype)) for name, array in file.items()}
    with np.load(options.input) as file:
        time_steps, samples, given = streams(dict(file), options.limit)
    period = time_steps + network.IDLE
    steps = samples * period + network.LATENCY
    with tempfile.TemporaryDirectory(prefix="snncc-") as folder:
        recorder = network.build(a, given, period, steps, folder)
        files = record(recorder, steps, folder)
        models = {} if options.lava_conv else {Conv: CONV[network.TAG]}
        simulate(recorder, steps, folder, files, models, options.parent)
        said: dict[str, dict[str, np.ndarray]] = {"spikes": {}, "sums": {}}
        for port, (kind, place, level) in network.RECORDED.items():
            heard = level + np.arange(time_steps)[:, None] + period * np.arange(samples)
            values = channel_first(files[port][np.maximum(heard, 0)], 2)
            values[heard < 0] = 0
            said[kind][place] = said[kind][place] + values if place in said[kind] else values
    outputs, logits = network.read_out(a, said["sums"])
    answers = {"spikes": said["spikes"], "outputs": outputs, "logits": logits}
    found = {f"{kind}:{name}": x for kind, each in answers.items() for name, x in each.items()}
    with open(options.output, "wb") as file:
        np.savez_compressed(file, **found)  # type: ignore[arg-type]
    print(f"{samples} samples of {time_steps} steps in {steps} steps of Lava")


def streams(given: dict[str, np.ndarray], limit: int | None) -> tuple[int, int, Any]:
    """T, N, and each input as one stream (N·period, *shape), channel last, sample after sample."""
    lengths, counts, missing = set(), set(), set(network.INPUTS) - set(given)
    if missing:
        sys.exit(f"INPUT.npz lacks {', '.join(sorted(missing))}")
    for name, (shape, static) in network.INPUTS.items():
        given[name] = given[name][:limit] if static else given[name][:, :limit]
        lead = given[name].shape[: -len(shape) or None]
        if len(lead) != (1 if static else 2) or given[name].shape[len(lead) :] != shape:
            axes = "N" if static else "T, N"
            sys.exit(f"{name} is {given[name].shape} and should be ({axes}, *{shape})")
        counts.add(lead[-1])
        lengths |= set() if static else {lead[0]}
    if not lengths and network.TIME_STEPS:
        lengths = {network.TIME_STEPS}
    if len(counts) != 1 or len(lengths) != 1 or not min(counts | lengths):
        sys.exit(f"the inputs hold {sorted(counts)} samples of {sorted(lengths)} steps")
    (time_steps,), (samples,) = lengths, counts
    for name, (shape, static) in network.INPUTS.items():
        values = given[name]
        by_sample = values[:, None].repeat(time_steps, 1) if static else values.swapaxes(0, 1)
        idle = np.zeros((samples, network.IDLE, *shape), values.dtype)
        flat = np.concatenate([by_sample, idle], 1).reshape(-1, *shape)
        given[name] = np.moveaxis(flat, 1, -1) if shape else flat
    return time_steps, samples, given


def channel_first(values: np.ndarray, axis: int) -> np.ndarray:
    """The last axis moved to ``axis``."""
    return np.moveaxis(values, -1, axis) if values.ndim > axis else values


def record(recorder: Recorder | Sinks, steps: int, folder: str) -> dict[str, np.ndarray]:
    """For each port of the recorder a file it will write to, and we read."""
    np.memmap(Path(folder, DONE), np.int64, "w+", shape=1)
    return {
        port: np.lib.format.open_memmap(
            Path(folder, f"{port}.npy"), "w+", bool if kind == "spikes" else float,
            (steps, *getattr(recorder, port).shape),
        )
        for port, (kind, _, _) in network.RECORDED.items()
    }  # fmt: skip


def simulate(
    recorder: Recorder | Sinks, steps: int, folder: str, files: dict[str, np.ndarray],
    models: dict[Any, Any], parent: int | None,
) -> None:  # fmt: skip
    """Compile, run and stop; a process that fails ends the program, for Lava would wait for it.

    ``models`` are run in the place of Lava's own, by process. With ``parent`` it ends when that is
    no longer the parent of this process.
    """
    config = Loihi2SimCfg(select_tag=network.TAG, exception_proc_model_map=models)
    done = threading.Event()
    process = next(iter(recorder.sinks.values())) if isinstance(recorder, Sinks) else recorder
    try:
        # Lava keeps 64 messages per channel in /dev/shm unless told otherwise.
        process.create_runtime(config, compile_config={"pypy_channel_size": 2})
        watched = (process, folder, parent, steps, done)
        watcher = threading.Thread(target=watch, args=watched, daemon=True)
        watcher.start()
        process.run(RunSteps(num_steps=steps))
        if isinstance(recorder, Sinks):
            recorder.write(files)
        done.set()
        watcher.join()  # two threads that wait for one process: the later one is told nothing
        process.stop()
    except BaseException:
        done.set()
        give_up(process, folder, traceback.format_exc())


def watch(
    process: AbstractProcess, folder: str, parent: int | None, steps: int, done: threading.Event
) -> None:
    """Look after Lava's processes until the run is done, and say how far they are."""
    recorded, said = np.memmap(Path(folder, DONE), np.int64, "r"), 0
    while not done.wait(0.5):
        if recorded[0] != said:
            said = int(recorded[0])
            print(f"step {said} of {steps}", flush=True)
        if parent not in (None, os.getppid()):
            give_up(process, folder, "the program that wanted the answers is gone")
        for actor in process.runtime._messaging_infrastructure.actors:
            if actor.exception:
                give_up(process, folder, actor.exception[1])
            if actor.exitcode:
                give_up(process, folder, f"a Lava process ended with exit code {actor.exitcode}")


def give_up(process: AbstractProcess, folder: str, reason: str) -> None:
    """End every process and leave nothing behind; Lava's own way out waits for the dead."""
    infrastructure = getattr(process.runtime, "_messaging_infrastructure", None)
    if infrastructure is not None:
        for actor in infrastructure.actors:
            with contextlib.suppress(ValueError):  # already closed
                actor.kill()
        infrastructure.smm.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    print(reason.rstrip(), file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    main()
