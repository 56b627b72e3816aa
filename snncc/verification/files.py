"""A file that was written is read again, as every file is, and held against the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from snncc.diagnostics import refuse
from snncc.frontends.checkpoints import open_model
from snncc.frontends.torch import trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import Value, run_graph, run_network
from snncc.ir.network import Network

NEAR = 1e-6
"""Largest difference of an output, relative to the largest of them: what follows the last spike is
rounded to the float32 of a file."""


@dataclass(frozen=True)
class ReadBack:
    """What was compared: spikes of how many neurons' populations, and how near outputs are."""

    compared: int
    populations: int
    outputs: float


def read_back(path: Path, inputs: Value) -> Graph:
    """The Graph of a file; ``inputs`` as the interpreter takes them, (T, N, …) or (N, …)."""
    found = open_model(str(path))
    layout = found.layout or "TN"
    example = inputs[:, :2] if layout == "TN" else inputs[:2]
    return trace(
        found.module, example, layout=layout, input=found.input or "analog",
        time_steps=None if "T" in layout else found.time_steps,
    )  # fmt: skip


def held_against(form: Graph | Network, path: Path, inputs: Value) -> ReadBack:
    """Hold the file at ``path`` against ``form``, from which it was written.

    Every spike of every population that leads to an output is compared, in float64, and all
    outputs. Raises SnnccError (SNN321) where they differ.
    """
    again = read_back(path, inputs)
    spikes, outputs = results(form, inputs)
    (node,) = again.inputs
    ran = run_graph(again, {node.name: inputs}, keep=[each.name for each in again.neurons])
    # in a loop a neuron is read as the ops of its steps, whose place in an ONNX file is NAME.step
    places = {n.name: n.origin.module.removesuffix(".step") for n in again.neurons}
    by_name = {_plain(name): ran[name] for name in places}
    by_name |= {_plain(place): ran[name] for name, place in places.items()}
    by_name |= {name: ran[name] for name in places}
    total = 0
    for name, mine in spikes.items():
        its = by_name.get(_plain(name))
        if its is None or its.numel() != mine.numel():
            raise refuse("SNN321", f"the file {path} has no population `{name}` of this size")
        if wrong := int((mine.reshape(its.shape) != its).sum()):
            said = f"the file {path} has other spikes: `{name}` differs in {wrong:,}"
            help = "try --dtype float64 if the weights are not those of float32, or report it"
            raise refuse("SNN321", f"{said} of {mine.numel():,}", help=help)
        total += mine.numel()
    heads = [ran[name] for name in again.heads.values()]
    return ReadBack(total, len(spikes), _difference(outputs, heads, path))


def results(form: Graph | Network, inputs: Value) -> tuple[Mapping[str, Value], Sequence[Value]]:
    """Spikes of all neurons that lead to an output, and the outputs."""
    if isinstance(form, Graph):
        (node,) = form.inputs
        heard = form.ancestors(*form.heads.values())
        names = [each.name for each in form.neurons if each.name in heard]
        values = run_graph(form, {node.name: inputs}, keep=names)
        return {name: values[name] for name in names}, [values[h] for h in form.heads.values()]
    given = [source.name for source in form.sources]
    given += [node.name for encoder in form.encoders for node in encoder.graph.inputs]
    run = run_network(form, dict.fromkeys(given, inputs), steps=form.time_steps)
    outputs = [
        run.outputs[each.name] if each.over_time == "none" else run.logits[each.name]
        for each in form.readouts
    ]
    return {name: run.spikes[name] for name in _heard(form)}, outputs


def _heard(network: Network) -> list[str]:
    """The populations that lead to a readout."""
    seen = {each.name for each in network.readouts}
    waiting = list(seen)
    while waiting:
        for projection in network.incoming[waiting.pop()]:
            if projection.source not in seen:
                seen.add(projection.source)
                waiting.append(projection.source)
    return [each.name for each in network.populations if each.name in seen]


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _difference(mine: Sequence[Value], its: Sequence[Value], path: Path) -> float:
    """The largest difference of an output, relative to the largest output."""
    if [each.numel() for each in mine] != [each.numel() for each in its]:
        raise refuse("SNN321", f"the file {path} has other outputs")
    largest = 0.0
    for one, other in zip(mine, its, strict=True):
        scale = max(1.0, float(one.double().abs().max())) if one.numel() else 1.0
        gap = (one.double() - other.double().reshape(one.shape)).abs()
        largest = max(largest, float(gap.max()) / scale if gap.numel() else 0.0)
    if largest > NEAR or torch.tensor(largest).isnan():
        raise refuse("SNN321", f"the outputs of the file {path} differ by {largest:.3g}")
    return largest
