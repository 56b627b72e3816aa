"""examples/plugin_backend: its C, bit for bit, and the package as it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import drawn
from snncc_c import TARGET, C

from snncc.backends.base import Emits, Replays, Runs
from snncc.diagnostics import SnnccError
from snncc.ir.interpreter.fixed import run_fixed
from snncc.ir.network import Network, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Ref, Reshape
from snncc.ir.registers import FORGET, FixedNeuron

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin_backend"

compiles = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler `cc`")

SEEDS = (*range(6), 9, 12)


def agree(network, inputs, folder):
    """Hold the C program against the interpreter; returns the interpreter's run."""
    expected = {}
    run = run_fixed(network, inputs, on_state=expected.__setitem__)
    backend = C()
    backend.emit(network, folder)
    found, states = backend.run_with_states(folder, network, inputs)
    assert found.spikes.keys() == run.spikes.keys()
    assert states.keys() == expected.keys() == {p.name for p in network.populations}
    for name, spikes in run.spikes.items():
        assert torch.equal(found.spikes[name], spikes), name
    for name, (u, v) in expected.items():
        assert torch.equal(states[name][0], u), f"currents of {name}"
        assert torch.equal(states[name][1], v), f"membranes of {name}"
    for name in run.outputs:
        assert torch.equal(found.outputs[name], run.outputs[name])
        assert torch.equal(found.logits[name], run.logits[name])
    return run


@compiles
@pytest.mark.parametrize("seed", SEEDS)
def test_spikes_currents_and_membranes_of_drawn_networks(seed, tmp_path):
    network, inputs, _ = drawn(seed)
    run = agree(network, inputs, tmp_path / "c")
    assert sum(int(run.spikes[p.name].sum()) for p in network.populations)


def test_the_drawn_networks_have_all_that_there_is():
    networks = [drawn(seed)[0] for seed in SEEDS]
    neurons = [p.neuron for network in networks for p in network.populations]
    assert {n.reset for n in neurons} == {"hard", "soft", "none"}
    assert {n.when for n in neurons} == {"now", "next", "both"}
    ops = {type(op) for network in networks for p in network.projections for op in p.map}
    assert ops >= {Conv, Dense, Reshape}
    assert any(p.delay and p.source == p.target for n in networks for p in n.projections)
    assert any(network.encoders for network in networks)
    assert {source.kind for network in networks for source in network.sources} == {"spike", "count"}


def overflowing() -> Network:
    """Counts so large that sums of a convolution and currents wrap and membranes are held."""
    rng = np.random.default_rng(0)
    tensors = {
        "kernel": rng.integers(-127, 128, (3, 2, 3, 3)) * 2,
        "dense": rng.integers(-127, 128, (6, 48)) * 2,
        "back": rng.integers(-127, 128, (6, 6)) * 2,
        "bias": rng.integers(-4096, 4096, (6,)),
        "initial": rng.integers(-(2**23) + 1, 2**23, (6,)),
        "dv": rng.integers(0, 4097, (6,)),
    }
    hidden = FixedNeuron(vth=2**17 - 1, du=600, dv=3, reset="soft")
    out = FixedNeuron(
        vth=900, du=4000, dv=Ref("dv"), bias_mant=Ref("bias"), bias_exp=7, initial=Ref("initial"),
        when="both", reset="soft", bias_into="current",
    )  # fmt: skip
    return Network.build(
        [
            Source("in", (2, 6, 6), "count"), Population("hidden", (3, 4, 4), hidden),
            Population("out", (6,), out), Population("gate", (6,), FixedNeuron(3, FORGET)),
            Readout("sum", (6,), over_time="last"),
        ],
        [
            Projection("in", "hidden", (Conv(Ref("kernel")),)),
            Projection("hidden", "out", (Reshape((48,)), Dense(Ref("dense")))),
            Projection("out", "out", (Dense(Ref("back")),), delay=3),
            Projection("out", "gate", (Dense(Ref("back")),)),
            Projection("gate", "sum", (Dense(Ref("back")),), delay=1),
        ],
        {Ref(name): values for name, values in tensors.items()},
    )  # fmt: skip


@compiles
def test_what_wraps_and_what_is_held(tmp_path):
    counts = torch.from_numpy(np.random.default_rng(1).integers(0, 20_000, (12, 3, 2, 6, 6)))
    run = agree(overflowing(), {"in": counts}, tmp_path / "c")
    assert run.wraps["hidden"] > 100
    assert run.saturations["hidden"] > 10


def test_what_the_backend_says_of_itself():
    assert isinstance(C(), Runs)
    assert isinstance(C(), Emits)
    assert not isinstance(C(), Replays)
    assert str(C("clang")) == "c{compiler=clang}"
    assert "no-such-compiler" in C("no-such-compiler").missing()
    assert TARGET.is_fixed


def test_a_network_in_floats_is_refused(tmp_path):
    network = Network.build(
        [Source("in", (3,)), Readout("out", (3,))], [Projection("in", "out")], {}
    )
    with pytest.raises(SnnccError, match="SNN316.*whole numbers"):
        C().emit(network, tmp_path)


# -- the package, installed ---------------------------------------------------------------------

FACTORY = """
import torch
from torch import nn
from snncc.nn import IF, LIF

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.one = nn.Conv2d(2, 4, 3, padding=1), LIF(tau=2.0)
        self.fc, self.two = nn.Linear(144, 5), IF()

    def forward(self, x):  # (T, N, 2, 6, 6)
        steps, samples = x.shape[:2]
        s = self.one(self.conv(x.flatten(0, 1)).unflatten(0, (steps, samples)))
        return self.two(self.fc(s.flatten(2))).mean(0)

def make():
    torch.manual_seed(0)
    return Net().eval()
"""


COMPILE = ("compile", "net:make", "--input-shape", "2,6,6", "--time-steps", "5", "--layout", "TN",
           "--input", "spike", "--target", "c")  # fmt: skip


@pytest.fixture(scope="module")
def snncc(tmp_path_factory):
    """Runs snncc in a folder, with the package installed in another; not in this process."""
    there, here = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("work")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(there)]
    subprocess.run([*pip, str(PLUGIN)], check=True, timeout=100)
    (here / "net.py").write_text(FACTORY, encoding="utf-8")
    events = np.random.default_rng(0).random((5, 20, 2, 6, 6)) < 0.4
    np.savez(here / "data.npz", inputs=events, labels=np.arange(20) % 5)
    paths = [str(there), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snncc", *arguments]
        return subprocess.run(
            command, cwd=here, env=environment, capture_output=True, text=True, timeout=300
        )

    run.folder = here
    return run


@pytest.fixture(scope="module")
def program(snncc):
    done = snncc(*COMPILE, "--weight-bits", "8", "-o", "out")
    assert done.returncode == 0, done.stderr
    return "out"


@pytest.mark.slow
def test_the_installed_package_is_a_target(snncc):
    done = snncc("targets", "c")
    assert done.stdout.splitlines()[:2] == [
        "c: one file of C99, in whole numbers", "  backends  reference, c",
    ]  # fmt: skip
    assert "c: one file of C99" in snncc("targets").stdout


@pytest.mark.slow
@compiles
def test_the_installed_package_compiles_runs_and_agrees(snncc, program):
    assert (snncc.folder / program / "c" / "network.c").exists()
    done = snncc("simulate", program, "--input", "data.npz", "--backend", "c")
    assert done.returncode == 0, done.stderr
    assert "out on 20 samples, c" in done.stdout
    assert "C against the reference: 14,900 spikes and silences, 0 differ" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("c{compiler=no-such-compiler}", "SNN317]: there is no C compiler `no-such-compiler`"),
        ("d", "SNN313]: there is no backend 'd'; there are c, cycle, lava, reference"),
    ],
)
def test_what_is_refused_of_the_installed_package(snncc, program, backend, said):
    done = snncc("simulate", program, "--input", "data.npz", "--backend", backend)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.slow
def test_floats_have_no_c(snncc):
    done = snncc(*COMPILE, "-o", "floats")
    assert done.returncode == 2
    assert "--weight-bits 8" in done.stderr
