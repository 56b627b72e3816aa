"""The backend: write the C file, compile it, run it, and bring its numbers home."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from snncc.backends.base import Backend
from snncc.diagnostics import refuse
from snncc.ir.interpreter import Run, Value, read_out, steps_of
from snncc.ir.interpreter.fixed import State, WholeStore
from snncc.ir.interpreter.runs import encoded, project
from snncc.ir.network import Encoder, Network, Population, Readout, Source
from snncc_c.emit import SOURCE_FILE, c_file

PROGRAM = "network"
PATIENCE = 600
"""Seconds that a run, and the compiler, may take where nobody says."""


@dataclass(frozen=True)
class C(Backend):
    """One file of C99, compiled by ``compiler``."""

    name: ClassVar[str] = "c"
    target: ClassVar[str] = "c"
    package: ClassVar[str] = "c"
    compiler: str = "cc"

    def missing(self) -> str:
        """A C compiler."""
        return "" if shutil.which(self.compiler) else f"there is no C compiler `{self.compiler}`"

    def emit(self, network: Network, folder: Path) -> None:
        """Write ``network.c``. Raises SnnccError (SNN316) for a network in floating point."""
        if not network.is_fixed:
            said = "the backend `c` takes a network in whole numbers, and this one is in floats"
            raise refuse("SNN316", said, help="compile it with --weight-bits 8")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SOURCE_FILE).write_text(c_file(network), encoding="utf-8")

    def run(
        self,
        folder: Path,
        network: Network,
        inputs: Mapping[str, Value],
        *,
        timeout: float | None = None,
        on_step: Callable[[int, int], object] | None = None,
    ) -> Run:
        """As `snncc.backends.base.Runs` has it."""
        run, _ = self.run_with_states(folder, network, inputs, timeout)
        if on_step is not None:
            steps = steps_of(network, inputs)
            on_step(steps, steps)
        return run

    def run_with_states(
        self,
        folder: Path,
        network: Network,
        inputs: Mapping[str, Value],
        timeout: float | None = None,
    ) -> tuple[Run, dict[str, State]]:
        """The run, and currents u and membranes v of each population, int64 (T, N, *shape)."""
        steps = steps_of(network, inputs)
        given = _given(network, inputs, steps)
        program = self._compiled(folder)
        with tempfile.TemporaryDirectory(prefix="snncc-c-") as scratch:
            there, back = Path(scratch, "input"), Path(scratch, "output")
            there.write_bytes(given.tobytes())
            _call([str(program), str(there), str(back), str(len(given)), str(steps)], timeout)
            numbers = np.fromfile(back, np.int64).reshape(len(given), steps, -1)
        return _read(network, inputs, torch.from_numpy(numbers))

    def _compiled(self, folder: Path) -> Path:
        """The program beside its source; compiled when it is run for the first time."""
        if missing := self.missing():
            raise refuse("SNN317", missing)
        program = folder / PROGRAM
        if not program.exists():
            source = str(folder / SOURCE_FILE)
            _call([self.compiler, "-std=c99", "-O2", "-o", str(program), source], None)
        return program


def _call(command: list[str], timeout: float | None) -> None:
    """Run a command to its end, or stop it after ``timeout`` seconds."""
    limit = PATIENCE if timeout is None else timeout
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        said = f"{command[0]} was still running after {limit:g} s and was stopped"
        raise refuse("SNN317", said) from None
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise refuse("SNN314", f"{command[0]} failed: {reason}")


def _given(network: Network, inputs: Mapping[str, Value], steps: int) -> np.ndarray:
    """What the program reads, int64 (N, T, numbers), place by place: the spikes of a source, and
    what encoders on the host bring to any other place, rounded as the interpreter does it."""
    store = WholeStore.of(network)
    columns: list[Value] = []
    for place in network.places.values():
        if isinstance(place, Source):
            columns.append(inputs[place.name].long().flatten(2))
            continue
        brought = [
            project(p, encoded(encoder, inputs, steps), store).round().long().flatten(2)
            for p in network.incoming[place.name]
            if isinstance(encoder := network.places[p.source], Encoder)
        ]
        if brought:
            columns.append(torch.stack(brought).sum(0))
    return torch.cat(columns, 2).transpose(0, 1).contiguous().numpy()


def _read(
    network: Network, inputs: Mapping[str, Value], numbers: Value
) -> tuple[Run, dict[str, State]]:
    """What the program wrote, (N, T, numbers): spikes, u and v of each population, and the sums of
    each readout, in the order of the places."""
    store = WholeStore.of(network)
    numbers = numbers.transpose(0, 1)
    spikes = {source.name: inputs[source.name].double() for source in network.sources}
    outputs, logits, states = {}, {}, {}
    at = 0

    def taken(shape: tuple[int, ...]) -> Value:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        taking: Value = numbers[:, :, at - size : at].unflatten(2, shape)
        return taking

    for place in network.places.values():
        if isinstance(place, Population):
            spikes[place.name] = taken(place.shape).double()
            states[place.name] = (taken(place.shape), taken(place.shape))
        elif isinstance(place, Readout):
            y = taken(place.shape) * store.number(place.unit) + store.number(place.bias)
            outputs[place.name], logits[place.name] = y, read_out(place, y, store)
    return Run(spikes, outputs, logits), states
