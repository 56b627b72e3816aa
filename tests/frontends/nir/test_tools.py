"""Files written here, run in the frameworks that they are written for: the same spikes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from snncc.backends.nir import READERS, export
from snncc.diagnostics import SnnccError
from snncc.frontends.torch import trace
from snncc.ir.graph import Graph
from snncc.nn import IF, LIF
from snncc.verification.files import held_against

nir = pytest.importorskip("nir")

RUN = Path(__file__).parent / "run_tool.py"
STEPS = 40
KINDS = ("LIF", "LIF with input decay", "IF")


class Net(nn.Module):
    """Two layers of neurons, on a vector or on an image."""

    def __init__(self, kind: str, image: bool, reset: str, strength: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        leaky = {"reset": reset, "tau": 1.7, "decay_input": kind == "LIF with input decay"}
        made = [IF(reset=reset) if kind == "IF" else LIF(**leaky) for _ in range(2)]
        first = nn.Conv2d(2, 4, 3, padding=1) if image else nn.Linear(10, 16)
        self.first, self.image = first, image
        self.one, self.two = made
        self.last = nn.Linear(4 * 36 if image else 16, 8)
        for parameter in self.parameters():
            parameter.data *= strength

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        current = self.first(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.two(self.last(self.one(current).flatten(2)))


def run(tools: Path, tool: str, file: Path, x: torch.Tensor) -> torch.Tensor:
    """What the tool yields for one sample (T, *features)."""
    given, wanted = file.with_suffix(".in.npy"), file.with_suffix(".out.npy")
    np.save(given, x.numpy())
    command = [sys.executable, RUN, tool, file, given, wanted, READERS[tool].dt]
    paths = [str(tools), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return torch.from_numpy(np.load(wanted)).double()


@pytest.mark.slow
@pytest.mark.parametrize("image", [False, True], ids=["dense", "conv"])
@pytest.mark.parametrize(
    ("tool", "kind"),
    [(tool, kind) for tool in ("snntorch", "norse") for kind in KINDS] + [("sinabs", "IF")],
)
def test_the_spikes_of_the_tool(nir_tools, tmp_path, tool, kind, image):
    compare(nir_tools, tmp_path, tool, kind, image)


@pytest.mark.slow
@pytest.mark.parametrize("image", [False, True], ids=["dense", "conv"])
@pytest.mark.parametrize("kind", ["LIF", "LIF with input decay", "IF"])
def test_the_spikes_of_spikingjelly(spikingjelly, nir_tools, tmp_path, kind, image):
    if not spikingjelly.version.startswith("2."):
        pytest.skip("only SpikingJelly 2 reads NIR files")
    compare(nir_tools, tmp_path, "spikingjelly", kind, image)


def compare(tools: Path, folder: Path, tool: str, kind: str, image: bool) -> None:
    """sinabs counts: there membranes stay below twice the threshold."""
    counts = READERS[tool].counts
    strength = {"LIF": 3.0, "LIF with input decay": 5.0, "IF": 2.0}[kind] * (0.4 if counts else 1)
    net = Net(kind, image, "soft" if counts else "hard", strength).double().eval()
    x = (torch.rand(STEPS, 1, *((2, 6, 6) if image else (10,))) < 0.4).double()
    if counts:
        x = x * (torch.arange(STEPS) % 2 == 0).double().reshape(-1, *(1,) * (x.dim() - 1))
    file = folder / "net.nir"
    written = export(trace(net, x, input="spike"), file, reader=tool)
    assert [note.code for note in written.notes] == ["SNN510"] * (2 * counts)
    mine = net(x)[:, 0].detach()
    its = run(tools, tool, file, x[:, 0]).reshape(mine.shape)
    assert int((mine != its).sum()) == 0
    assert mine.any()


@pytest.mark.slow
def test_leaky_neurons_of_sinabs_part_where_they_fire_twice_in_a_step(nir_tools, tmp_path):
    """One layer: up to that step every neuron has the same spikes."""
    torch.manual_seed(62)
    net = nn.Sequential(nn.Linear(10, 20), LIF(tau=2.0, reset="soft")).double().eval()
    net[0].weight.data *= 4.0
    x = (torch.rand(STEPS, 1, 10) < 0.4).double()
    file = tmp_path / "net.nir"
    export(trace(net, x, input="spike"), file, reader="sinabs")
    mine, its = net(x)[:, 0].detach(), run(nir_tools, "sinabs", file, x[:, 0])
    once = (its > 1).cumsum(0) == 0
    assert torch.equal(mine[once], its[once])
    assert mine[once].sum() > 20
    assert not once.all()


def fire(v: torch.Tensor) -> torch.Tensor:
    return (v >= 1.0).to(v)


class Written(nn.Module):
    """Two layers, written down. ``current``: of both, a decay that makes CubaLIF neurons.

    ``heard``: which spikes of the step before come back to which layer: "own" (the first layer's
    to itself), "other" (the second's to the first), "both" ("other", and the second's to itself).
    ``late``: the second layer hears the first one step later. ``soft``: the reset.
    """

    def __init__(
        self, current: float = 0.0, heard: str = "", late: bool = False, soft: bool = False
    ) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.last = nn.Linear(10, 16), nn.Linear(16, 8)
        self.own, self.back = nn.Linear(16, 16, bias=False), nn.Linear(8, 16, bias=False)
        self.again = nn.Linear(8, 8, bias=False)
        self.current, self.heard, self.late, self.soft = current, heard, late, soft
        for parameter in self.parameters():
            parameter.data *= 3.0

    def charged(self, v: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        v = 0.75 * v + c
        spikes = fire(v)
        return spikes, v - spikes if self.soft else v * (1 - spikes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = c = z = x.new_zeros(x.shape[1], 16)
        w = d = y = x.new_zeros(x.shape[1], 8)
        out = []
        for t in range(x.shape[0]):
            before, i = z, self.first(x[t])
            i = i + self.own(z) if self.heard == "own" else i
            i = i + self.back(y) if self.heard in ("other", "both") else i
            c = self.current * c + i if self.current else i
            z, v = self.charged(v, c)
            j = self.last(before if self.late else z)
            j = j + self.again(y) if self.heard == "both" else j
            d = self.current * d + j if self.current else j
            y, w = self.charged(w, d)
            out.append(y)
        return torch.stack(out)


def traced(net: nn.Module) -> tuple[Graph, torch.Tensor]:
    x = (torch.rand(STEPS, 1, 10, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    return trace(net.double().eval(), x, input="spike"), x


def tool_agrees(tools: Path, folder: Path, tool: str, net: nn.Module) -> None:
    graph, x = traced(net)
    file = folder / "net.nir"
    assert export(graph, file, reader=tool).notes == ()
    mine = net(x)[:, 0].detach()
    assert int((mine != run(tools, tool, file, x[:, 0])).sum()) == 0
    assert 10 < mine.sum() < 300


READ = {
    "currents": {"current": 0.5},
    "own spikes": {"heard": "own"},
    "own spikes, currents": {"current": 0.5, "heard": "own"},
    "spikes of the layer behind": {"heard": "other"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "kind"),
    [("norse", kind) for kind in READ]
    + [("snntorch", "currents"), ("snntorch", "spikes of the layer behind")],
)
def test_currents_and_loops(nir_tools, tmp_path, tool, kind):
    tool_agrees(nir_tools, tmp_path, tool, Written(**READ[kind]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", READ)
def test_currents_and_loops_in_spikingjelly(spikingjelly, nir_tools, tmp_path, kind):
    if not spikingjelly.version.startswith("2."):
        pytest.skip("only SpikingJelly 2 reads NIR files")
    tool_agrees(nir_tools, tmp_path, "spikingjelly", Written(**READ[kind]))


NIRTORCH = ("snntorch", "norse", "spikingjelly")


@pytest.mark.parametrize(
    ("tool", "kind", "said"),
    [(tool, {"heard": "both"}, "only where one part of it has several") for tool in NIRTORCH]
    + [(tool, {"late": True}, "does not read a Delay") for tool in NIRTORCH]
    + [
        ("snntorch", {"heard": "own"}, "does not read a layer from a neuron back to itself"),
        ("sinabs", {"heard": "other", "soft": True}, "reads no network that feeds back"),
        ("sinabs", {"late": True, "soft": True}, "does not read a Delay"),
        ("sinabs", {"current": 0.5, "soft": True}, "synaptic current has no form"),
    ],
)
def test_loops_delays_and_currents_that_a_tool_does_not_read(tmp_path, tool, kind, said):
    graph, x = traced(Written(**kind))
    with pytest.raises(SnnccError, match=said) as caught:
        export(graph, tmp_path / "net.nir", reader=tool)
    assert caught.value.findings[0].code == "SNN324"
    assert not (tmp_path / "net.nir").exists()
    export(graph, tmp_path / "any.nir")
    assert held_against(graph, tmp_path / "any.nir", x).compared == STEPS * 24


@pytest.mark.parametrize(
    ("tool", "neuron", "said"),
    [
        ("snntorch", LIF(reset="soft"), "reads a hard reset"),
        ("norse", IF(v_reset=0.25), "rests or resets at 0.25"),
        ("sinabs", LIF(), "reads a soft reset"),
        ("spikingjelly", LIF(tau=1.0), "no neuron without memory"),
    ],
)
def test_what_a_tool_runs_as_another_network_is_refused(tmp_path, tool, neuron, said):
    net = nn.Sequential(nn.Linear(3, 2), neuron).eval()
    graph = trace(net, torch.zeros(4, 1, 3), input="spike")
    with pytest.raises(SnnccError, match=said) as caught:
        export(graph, tmp_path / "net.nir", reader=tool)
    assert caught.value.findings[0].code == "SNN324"
    assert not (tmp_path / "net.nir").exists()
