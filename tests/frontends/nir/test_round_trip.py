"""Graph → NIR → Graph: every spike of every neuron stays what it was."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from snncc.backends.nir import export
from snncc.compiler import compile
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import open_model
from snncc.frontends.torch import arrange, trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import run_graph, run_network
from snncc.ir.network import Network

pytest.importorskip("nir")

sys.path.insert(0, str(Path(__file__).parents[2] / "generators"))


def read_back(path: Path, x: torch.Tensor) -> Graph:
    """What is read from a file; ``x`` as the interpreter takes it, (T, N, …) or (N, …)."""
    opened = open_model(str(path))
    layout = opened.layout
    assert layout is not None
    example = x[:, :2] if layout == "TN" else x[:2]
    return trace(opened.module, example, layout=layout, input=opened.input)


def compared(form: Graph | Network, inputs: torch.Tensor, path: Path) -> int:
    """How many spikes were compared; all are the same, and so are the outputs.

    ``inputs`` as the interpreter takes them, (T, N, …) or (N, …).
    """
    written = export(form, path)
    assert written.bytes == path.stat().st_size
    again = read_back(path, inputs)
    spikes, outputs = ran(form, inputs)
    (node,) = again.inputs
    two = run_graph(again, {node.name: inputs}, keep=[node.name for node in again.neurons])
    left_out = [each.message for each in written.notes if "leads to no output" in each.message]
    total = 0
    for name, mine in spikes.items():
        plain = re.sub(r"\W", "_", name)
        if any(f"`{name}`" in said for said in left_out):
            continue
        assert plain in two, f"{plain} is not among {list(two)}"
        assert torch.equal(mine.reshape(two[plain].shape), two[plain]), name
        total += mine.numel()
    for mine, head in zip(outputs, again.heads.values(), strict=True):
        assert torch.allclose(mine.reshape(two[head].shape), two[head], rtol=0, atol=1e-9)
    return total


def ran(
    form: Graph | Network, inputs: torch.Tensor
) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The spikes of all neurons, and what comes out."""
    if isinstance(form, Network):
        graph_inputs = [s.name for s in form.sources]
        graph_inputs += [n.name for e in form.encoders for n in e.graph.inputs]
        run = run_network(form, dict.fromkeys(graph_inputs, inputs), steps=form.time_steps)
        every = [r.over_time == "none" for r in form.readouts]
        outputs = [
            run.outputs[r.name] if all_steps else run.logits[r.name]
            for r, all_steps in zip(form.readouts, every, strict=True)
        ]
        return {p.name: run.spikes[p.name] for p in form.populations}, outputs
    (node,) = form.inputs
    values = run_graph(form, {node.name: inputs}, keep=[n.name for n in form.neurons])
    return {n.name: values[n.name] for n in form.neurons}, [values[h] for h in form.heads.values()]


def generated(seed: int, folder: Path) -> tuple[str, int]:
    """Which form of a drawn network the file holds, and how many spikes were compared."""
    from random_networks import draw

    sample = draw(seed, 8)
    graph = trace(sample.module, sample.example, layout=sample.layout, input=sample.kind)
    (x,) = arrange(sample.inputs, graph).values()
    try:
        return "graph", compared(graph, x, folder / "graph.nir")
    except SnnccError as error:
        if error.findings[0].code != "SNN324":
            raise
    program = compile(
        sample.module, sample.example, layout=sample.layout, input=sample.kind, verify=False
    )
    try:
        return "network", compared(program.network, x, folder / "network.nir")
    except SnnccError as error:
        if error.findings[0].code != "SNN324":
            raise
        return str(error), 0


def test_generated_networks_come_back(tmp_path):
    assert sum(generated(seed, tmp_path)[1] for seed in range(6)) > 0
