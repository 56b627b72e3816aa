"""Graph → ONNX → Graph: every spike of every population stays what it was."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snncc.backends.onnx.writer import as_model
from snncc.frontends.onnx.module import FileModule
from snncc.frontends.onnx.reading import read_bytes
from snncc.frontends.torch import arrange, trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import Spiking

pytest.importorskip("onnx")

sys.path.insert(0, str(Path(__file__).parents[2] / "generators"))


def read_back(graph: Graph, x: torch.Tensor) -> Graph:
    """What is read from the file of ``graph``; ``x`` as the interpreter takes it."""
    data = as_model(graph, dtype=np.float64).SerializeToString()
    (node,) = graph.inputs
    stepwise = node.signal.rate == "step"
    example = x[:, :2] if stepwise else x[:2]
    module = FileModule(read_bytes(data, "graph.onnx")).eval()
    return trace(module, example, layout="TN" if stepwise else "N", input=node.op.kind)


def compared(graph: Graph, inputs: torch.Tensor) -> int:
    """How many spikes were compared; all are the same, and so are the outputs."""
    arranged = arrange(inputs, graph)
    (x,) = arranged.values()
    again = read_back(graph, x)
    one = run_graph(graph, arranged, keep=[node.name for node in graph.neurons])
    two = run_graph(again, arrange(x, again), keep=[node.name for node in again.neurons])
    assert len(again.neurons) == len(graph.neurons)
    by_name = {node.name: node for node in again.neurons}
    total = 0
    for node in graph.neurons:
        name = "".join(c if c.isalnum() or c in "._" else "_" for c in node.name)
        assert torch.equal(one[node.name], two[name]), node.name
        mine, its = node.op, by_name[name].op
        assert isinstance(mine, Spiking)
        assert isinstance(its, Spiking)
        assert (mine.strict, mine.when) == (its.strict, its.when)
        total += one[node.name].numel()
    for mine, its in zip(graph.heads.values(), again.heads.values(), strict=True):
        assert torch.allclose(one[mine], two[its], rtol=0, atol=1e-9)
    return total


def generated(seed: int) -> int:
    from random_networks import draw

    sample = draw(seed, 8)
    graph = trace(sample.module, sample.example, layout=sample.layout, input=sample.kind)
    return compared(graph, sample.inputs)


def test_generated_networks_come_back():
    assert sum(map(generated, range(6))) > 0


@pytest.mark.slow
def test_more_generated_networks_come_back():
    assert sum(map(generated, range(6, 80))) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sew_resnet18", "spiking_resnet18", "spiking_vgg11_bn"])
def test_the_zoo_comes_back(spikingjelly, name):
    sys.path.insert(0, str(Path(__file__).parents[2] / "networks"))
    from zoo import SEW, STEPS, Zoo, shape

    if spikingjelly.package == "clock_driven":
        pytest.skip("one version is enough for a file format")
    zoo = Zoo(spikingjelly)
    options = {"cnf": "ADD"} if name in SEW else {}
    x = (torch.rand(STEPS, 2, *shape(name)) < 0.3).float()
    module = zoo.lively(zoo(name, **options), x)
    graph = trace(module.eval(), x, input="spike")
    assert compared(graph, x) > 10_000
