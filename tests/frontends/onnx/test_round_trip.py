"""Graph → ONNX → Graph: every spike of every population stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from zoo import SEW, STEPS, VGG, Zoo, narrowed, shape

from snncc.backends.onnx.writer import as_model
from snncc.frontends.checkpoints import open_model
from snncc.frontends.onnx.module import FileModule
from snncc.frontends.onnx.reading import read_bytes
from snncc.frontends.torch import arrange, trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import Membrane, Spiking

pytest.importorskip("onnx")
snntorch = pytest.importorskip("snntorch")


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
    shown = len(graph.of_type(Membrane))  # a membrane is a function of its own, with its neuron
    assert len(graph.neurons) <= len(again.neurons) <= len(graph.neurons) + shown
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
    assert sum(map(generated, range(6, 40))) > 10_000


def test_of_the_recorded_networks_all_came_back():
    record = Path(__file__).parents[3] / "benchmarks" / "results" / "onnx_files.json"
    result = json.loads(record.read_text(encoding="utf-8"))["round-trip"]
    assert not result["failures"]
    assert result["networks"] >= 500
    assert result["spikes"] > 400_000


def zoo_network(zoo: Zoo, name: str, narrow: bool = False) -> int:
    """A model of SpikingJelly's zoo, `compared`; ``narrow``: a VGG with small dense layers."""
    torch.manual_seed(0)
    options = {"cnf": "ADD"} if name in SEW else {}
    x = (torch.rand(STEPS, 2, *shape(name)) < 0.3).float()
    made = zoo(name, **options)
    module = zoo.lively(narrowed(made) if narrow and name in VGG else made, x)
    return compared(trace(module.eval(), x, input="spike"), x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sew_resnet18", "spiking_resnet18", "spiking_vgg11_bn"])
def test_the_zoo_comes_back(spikingjelly, name):
    """All of it: ``benchmarks/onnx_files.py zoo``."""
    if spikingjelly.package == "clock_driven":
        pytest.skip("one version is enough for a file format")
    assert zoo_network(Zoo(spikingjelly), name, narrow=True) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dst", "mnist"])
def test_the_examples_come_back(name):
    root = Path(__file__).parents[3] / "examples"
    if name == "dst":
        module = open_model(str(root / "dst" / "nmnist.pt")).module
        x = torch.from_numpy(np.load(root / "dst" / "test.npz")["inputs"][:, :2]).double()
        graph = trace(module, x, layout="TN", input="spike")
    else:
        spec, weights = "examples.mnist.network:DigitNet", root / "mnist" / "mnist.pt"
        module = open_model(spec, weights=weights).module
        x = torch.from_numpy(np.load(root / "mnist" / "test.npz")["inputs"][:2]).double()
        graph = trace(module, x, layout="N")
    assert compared(graph, x) > 100_000


class Cell(nn.Module):
    """One step of two neurons, the membranes of the second are the output."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 3)
        self.lif1, self.lif2 = snntorch.Leaky(beta=0.75), snntorch.Synaptic(alpha=0.5, beta=0.75)
        self.mem1 = self.syn2 = self.mem2 = None

    def reset(self):
        self.mem1 = self.syn2 = self.mem2 = None

    def forward(self, x):
        mem1 = self.lif1.init_leaky() if self.mem1 is None else self.mem1
        syn2, mem2 = (self.syn2, self.mem2) if self.mem2 is not None else self.lif2.init_synaptic()
        s, self.mem1 = self.lif1(self.fc1(x), mem1)
        s, self.syn2, self.mem2 = self.lif2(self.fc2(s), syn2, mem2)
        return self.mem2


class Recurrent(nn.Module):
    """Neurons that hear themselves, through a layer of weights."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 6)
        self.lif = snntorch.RLeaky(beta=0.75, linear_features=6)

    def forward(self, x):  # (T, N, 4)
        spikes, mem = self.lif.init_rleaky()
        out = []
        for step in range(x.shape[0]):
            spikes, mem = self.lif(self.fc(x[step]), spikes, mem)
            out.append(spikes)
        return torch.stack(out)


def test_a_module_of_one_step_comes_back_with_all_steps():
    torch.manual_seed(0)
    x = (torch.rand(2, 4) < 0.5).double()
    graph = trace(Cell().eval(), x, layout="N", time_steps=6, input="spike")
    assert compared(graph, x.expand(6, 2, 4)) == 6 * 2 * 9


def test_a_loop_comes_back():
    torch.manual_seed(1)
    x = (torch.rand(7, 2, 4) < 0.6).double()
    module = Recurrent().eval()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.mul_(4.0)
    graph = trace(module, x, input="spike")
    arranged = arrange(x, graph)
    again = read_back(graph, x)
    assert len(again.neurons) == 1
    (one,), (two,) = graph.heads.values(), again.heads.values()
    mine, its = run_graph(graph, arranged)[one], run_graph(again, arrange(x, again))[two]
    assert torch.equal(mine, its)
    assert mine.any()
