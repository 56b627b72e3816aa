"""Graph → NIR → Graph: every spike of every neuron stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from trained import example
from zoo import SEW, STEPS, Zoo, shape

from snncc.backends.nir import export
from snncc.backends.onnx import export as write_onnx
from snncc.compiler import compile
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import Said, open_model
from snncc.frontends.torch import arrange, trace
from snncc.ir.graph import Graph
from snncc.ir.interpreter import Value
from snncc.ir.network import Network
from snncc.nn import IF, LIF
from snncc.verification.files import held_against, read_back

pytest.importorskip("nir")
pytest.importorskip("onnx")
h5py = pytest.importorskip("h5py")
snntorch = pytest.importorskip("snntorch")


def compared(form: Graph | Network, inputs: torch.Tensor, path: Path) -> int:
    """How many spikes were compared; all are the same, and so are the outputs."""
    assert export(form, path).bytes == path.stat().st_size
    return held_against(form, path, inputs).compared


def written(
    graph: Graph, network: Callable[[], Network], inputs: torch.Tensor, folder: Path
) -> tuple[str, int]:
    """Which form is in the file, and how many spikes were compared; or why there is no file.

    The Graph is written where NIR has a form for it, else the Network.
    """
    try:
        return "graph", compared(graph, inputs, folder / "graph.nir")
    except SnnccError as error:
        if error.findings[0].code != "SNN324":
            raise
    try:
        return "network", compared(network(), inputs, folder / "network.nir")
    except SnnccError as error:
        if error.findings[0].code not in ("SNN203", "SNN324"):
            raise
        return str(error), 0


def of_module(
    module: nn.Module, example: Value, inputs: Value, folder: Path, **options: Any
) -> tuple[str, int]:
    """A module whose Graph or Network is `written`."""
    graph = trace(module, example, **options)
    (x,) = arrange(inputs, graph).values()
    return written(
        graph, lambda: compile(module, example, verify=False, **options).network, x, folder
    )


def generated(seed: int, folder: Path) -> tuple[str, int]:
    """A drawn network, `written`."""
    from random_networks import draw

    sample = draw(seed, 8)
    options = {"layout": sample.layout, "input": sample.kind}
    return of_module(sample.module, sample.example, sample.inputs, folder, **options)


def zoo_network(zoo: Zoo, name: str, folder: Path) -> tuple[str, int]:
    """A model of SpikingJelly's zoo, `written`."""
    torch.manual_seed(0)
    options = {"cnf": "ADD"} if name in SEW else {}
    x = (torch.rand(STEPS, 2, *shape(name)) < 0.3).float()
    module = zoo.lively(zoo(name, **options), x).eval()
    return of_module(module, x, x, folder, input="spike")


def trained(name: str, checkpoint: str | None, folder: Path, samples: int) -> tuple[str, int]:
    """A network of ``examples/``, `written`; ``checkpoint``: another one than the folder's own."""
    given = example(name, checkpoint).first(samples)
    return of_module(given.module, given.like, given.inputs, folder, **given.options)


def test_generated_networks_come_back(tmp_path):
    assert sum(generated(seed, tmp_path)[1] for seed in range(6)) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), [("sew_resnet18", "network"), ("CIFAR10Net", "network")])
def test_the_zoo_comes_back(spikingjelly, tmp_path, name, form):
    """All of it: ``benchmarks/nir_files.py zoo``."""
    if spikingjelly.package == "clock_driven":
        pytest.skip("one version is enough for a file format")
    said, spikes = zoo_network(Zoo(spikingjelly), name, tmp_path)
    assert said == form
    assert spikes > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "checkpoint"), [("dst", None), ("saf", "saf-f.pt"), ("snn2ann", None), ("mnist", None)]
)
def test_the_examples_come_back(tmp_path, name, checkpoint):
    """All of them: ``benchmarks/nir_files.py examples``."""
    said, spikes = trained(name, checkpoint, tmp_path, 1)
    assert said in ("graph", "network")
    assert spikes > 10_000


class Small(nn.Module):
    """Every field of the metadata: a soft reset, decays by channel, a mean over time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.lif = nn.Linear(4, 5), LIF(tau=1.7, decay_input=False, reset="soft")
        self.out = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.lif(self.fc(x * 3))).mean(0)


@pytest.fixture
def small(tmp_path):
    """The file of a small network, and an input for it."""
    x = (torch.rand(7, 2, 4) < 0.6).double()
    graph = trace(Small().eval(), x, input="spike")
    written = export(graph, tmp_path / "small.nir")
    assert {note.code for note in written.notes} == {"SNN511"}
    return tmp_path / "small.nir", x


def test_a_layer_that_another_tool_changed_is_refused(small):
    path, _ = small
    with h5py.File(path, "r+") as file:
        file["node/nodes/fc/weight"][0, 0] += 0.5
    with pytest.raises(SnnccError, match="`weight` of `fc` is one thing in the file's values"):
        open_model(str(path))


def changed(path: Path, part: str, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        group = file["node/nodes"][part] if part else file["node"]
        if name in group:
            del group[name]
        group[name] = value


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("lif", "tau", np.full(5, 1.0)),
        ("lif", "v_threshold", np.full(5, 2.0)),
        ("lif", "metadata/snncc_leak", 0.25),
        ("lif", "metadata/snncc_reset", "often"),
        ("lif", "metadata/snncc_initial", np.zeros((3, 5))),
        ("lif", "metadata/snncc_threshold", float("nan")),
        ("lif", "metadata/snncc_gain", 4.0),
        ("lif", "metadata/snncc_gain", "much"),
        ("lif", "metadata/snncc_unit", np.ones((2, 2))),
        ("output", "metadata/snncc_over_time", np.zeros(3)),
        ("output", "metadata/snncc_host", "softmax"),
        ("", "metadata/snncc_format", 2),
        ("", "metadata/snncc_format", np.ones(3)),
        ("", "metadata/snncc_dt", "soon"),
        ("", "metadata/snncc_layout", "NN"),
        ("", "metadata/snncc_time_steps", -1),
    ],
)
def test_metadata_that_contradict_or_are_damaged_are_one_sentence(small, part, name, value):
    path, _ = small
    changed(path, part, name, value)
    with pytest.raises(SnnccError) as caught:
        open_model(str(path))
    assert caught.value.findings[0].code == "SNN305"
    assert "\n" not in str(caught.value)


def test_without_the_metadata_it_is_an_ordinary_file(small):
    """Another tool's view: every step, a hard reset, the same weights in float32."""
    path, x = small
    with h5py.File(path, "r+") as file:
        del file["node/metadata"]
    opened = open_model(str(path), said=Said(dt=1e-4, reset="soft"))
    one, two = opened.module(x).mean(0), Small().double()(x)
    assert torch.allclose(one, two, atol=1e-5)


def test_small_comes_back(small, tmp_path):
    path, x = small
    graph = trace(Small().eval(), x, input="spike")
    assert held_against(graph, path, x).compared == 7 * 2 * 5
    (before,), (after,) = graph.neurons, read_back(path, x).neurons
    assert before.op == after.op


class AfterTime(nn.Module):
    """A constant that is added once, not at every step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.fc, self.lif, self.kind = nn.Linear(4, 5), LIF(), kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = self.lif(self.fc(x))
        return (steps.sum(0) if self.kind == "sum" else steps.mean(0)) + 0.5


def test_what_follows_a_sum_over_time_is_not_moved_before_it(tmp_path):
    x = (torch.rand(6, 2, 4) < 0.6).double()
    graph = trace(AfterTime("mean").eval(), x, input="spike")
    assert compared(graph, x, tmp_path / "mean.nir") == 6 * 2 * 5
    graph = trace(AfterTime("sum").eval(), x, input="spike")
    with pytest.raises(SnnccError, match="follows a sum over time"):
        export(graph, tmp_path / "sum.nir")


class Recurrent(nn.Module):
    """A neuron that hears itself, of a class that has a name here."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.out = nn.Linear(4, 6), nn.Linear(6, 3)
        self.lif = snntorch.RLeaky(beta=0.75, linear_features=6, reset_mechanism="zero")
        self.lif.recurrent.bias.data.zero_()
        for tensor in (self.fc.weight, self.lif.recurrent.weight):
            tensor.data.mul_(4.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes, mem = self.lif.init_rleaky()
        steps = []
        for each in x:
            spikes, mem = self.lif(self.fc(each), spikes, mem)
            steps.append(self.out(spikes))
        return torch.stack(steps)


def test_a_neuron_that_hears_itself_comes_back(tmp_path):
    x = (torch.rand(7, 2, 4) < 0.6).double()
    graph = trace(Recurrent().eval(), x, input="spike")
    assert [node.name for node in graph.neurons] == ["lif"]
    assert compared(graph, x, tmp_path / "net.nir") == 7 * 2 * 6
    write_onnx(graph, tmp_path / "net.onnx", dtype="float64")
    assert held_against(graph, tmp_path / "net.onnx", x).compared == 7 * 2 * 6


def test_neurons_of_one_loop_have_names_of_their_own(tmp_path):
    """The second of them is named like another op of the first."""
    x = (torch.rand(7, 2, 4) < 0.6).double()
    graph = trace(Ring().double().eval(), x, input="spike")
    assert [node.name for node in graph.neurons] == ["ge", "ge:2"]
    assert compared(graph, x, tmp_path / "net.nir") == 7 * 2 * (6 + 4)


class Ring(nn.Module):
    """The second layer's spikes come back to both layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 4)
        self.back, self.own = nn.Linear(4, 6, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v, w, y = (x.new_zeros(x.shape[1], size) for size in (6, 4, 4))
        out = []
        for each in x:
            v = 0.5 * v + 4 * (self.one(each) + self.back(y))
            z = (v >= 1.0).to(v)
            v = v * (1 - z)
            w = 0.5 * w + 4 * (self.two(z) + self.own(y))
            y = (w >= 1.0).to(w)
            w = w * (1 - y)
            out.append(y)
        return torch.stack(out)


def test_a_part_may_have_the_name_of_an_op(tmp_path):
    """Sums of the file's network are called add, too."""
    x = (torch.rand(7, 2, 4) < 0.6).double()
    graph = trace(Named().eval(), x, input="spike")
    assert [node.name for node in graph.neurons] == ["add", "input", "mean"]
    assert compared(graph, x, tmp_path / "net.nir") == 7 * 2 * 13


class Named(nn.Module):
    """Neurons with the names that ops and the input have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.add, self.input, self.mean = IF(), IF(), IF()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mean(self.fc(self.input(self.add(x) + x) + x)).mean(0)


def test_an_input_that_is_the_same_at_every_step_comes_back(tmp_path):
    x = torch.rand(3, 4).double()
    module = nn.Sequential(nn.Linear(4, 5), Held(), LIF(), nn.Linear(5, 2)).eval()
    graph = trace(module, x, layout="N")
    assert compared(graph, x, tmp_path / "net.nir") == 6 * 3 * 5
    opened = open_model(str(tmp_path / "net.nir"))
    assert (opened.layout, opened.time_steps, opened.input) == ("N", None, "analog")


class Held(nn.Module):
    """The same current for six steps."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x] * 6)
