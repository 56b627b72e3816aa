"""An emitted package run in Lava's own interpreter, and its spikes brought home."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from snncc.backends.loihi import interpreter
from snncc.diagnostics import refuse
from snncc.ir.interpreter import Run, TensorStore, Value, read_out, run_graph
from snncc.ir.network import Network


def simulate(
    folder: Path,
    network: Network,
    inputs: Mapping[str, Value],
    *,
    timeout: float,
    samples: int | None = None,
    on_step: Callable[[int, int], object] | None = None,
) -> Run:
    """Run what ``emit`` wrote into ``folder`` for ``network`` on the first ``samples`` of inputs.

    ``inputs`` as `snncc.ir.interpreter.run_network` takes them. The result holds the spikes
    (T, N, *shape) of sources and of all populations but relays, and outputs and logits of every
    readout, in the reference's order of axes and steps: what relays and levels did is undone.

    ``on_step`` is told, now and then, how many of how many steps are done.

    Raises SNN317 where Lava's interpreter is missing and after ``timeout`` seconds, SNN314 when the
    program fails. No process of it is left in either case.
    """
    with tempfile.TemporaryDirectory(prefix="snncc-") as scratch:
        given, answers = Path(scratch, "input.npz"), Path(scratch, "output.npz")
        with given.open("wb") as file:
            np.savez(file, **as_given(network, inputs, samples))  # type: ignore[arg-type]
        arguments = ["-B", "-m", folder.name, str(given), str(answers)]
        arguments += ["--parent", str(os.getpid())]
        done = interpreter.run(
            arguments,
            timeout=timeout,
            cwd=folder.absolute().parent,
            on_line=partial(_told, on_step) if on_step else None,
        )
        if done.returncode or not answers.exists():
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            raise refuse(
                "SNN314",
                f"the Lava program in {folder} failed: {reason}",
                help=f"run `python -m {folder.name}` there by hand to see all it says",
            )
        with np.load(answers) as file:
            found = {name: torch.from_numpy(file[name]) for name in file.files}
    spikes = {
        source.name: inputs[source.name][:, :samples].to(torch.float64)
        for source in network.sources
    }
    for population in network.populations:
        if population.role != "relay":
            spikes[population.name] = found[f"spikes:{population.name}"].to(torch.float64)
    outputs = {readout.name: found[f"outputs:{readout.name}"] for readout in network.readouts}
    store = TensorStore(network.tensors, torch.float64)
    logits = {r.name: read_out(r, outputs[r.name], store) for r in network.readouts}
    return Run(spikes, outputs, logits)


def _told(on_step: Callable[[int, int], object], line: str) -> None:
    if found := re.fullmatch(r"step (\d+) of (\d+)", line):
        on_step(int(found[1]), int(found[2]))


def as_given(
    network: Network, inputs: Mapping[str, Value], samples: int | None = None
) -> dict[str, np.ndarray]:
    """What the package reads: the spikes of sources, the currents of encoders."""
    given = {}
    for source in network.sources:
        values = inputs[source.name][:, :samples].numpy()
        given[source.name] = values.astype(bool) if source.kind == "spike" else values
    for encoder in network.encoders:
        graph = encoder.graph
        analog = {
            node.name: inputs[node.name][:, :samples]
            if node.signal.rate == "step"
            else inputs[node.name][:samples]
            for node in graph.inputs
        }
        given[encoder.name] = run_graph(graph, analog)[graph.heads["current"]].numpy()
    return given
