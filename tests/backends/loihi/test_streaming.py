"""Samples back to back are as each by itself, however late spikes come and whatever comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch
from all_sorts import agree, all_sorts
from torch import nn

import snncc
from snncc.backends.loihi import emit
from snncc.backends.loihi.simulation import simulate
from snncc.frontends.checkpoints import open_model
from snncc.ir.interpreter import run_network
from snncc.mapping.reports import Schedule

DST = Path(__file__).parents[3] / "examples" / "dst"


@pytest.mark.parametrize("steps", [1, 14])
def test_delay_lines_in_the_place_of_relays(lava, tmp_path, steps):
    network, inputs = all_sorts(steps, steps, samples=5, delays=62)
    assert all(place.role != "relay" for place in network.populations)
    agree(network, inputs, tmp_path / "loihi")
    assert "DelayLine(" in (tmp_path / "loihi" / "network.py").read_text()


@pytest.mark.parametrize(("steps", "delays"), [(1, 0), (2, 1), (5, 62), (14, 1)])
def test_recurrence_does_not_leak_from_one_sample_to_the_next(lava, tmp_path, steps, delays):
    """Loops of one, two and three hops, and sources and readouts of other steps; the network is
    12 levels deep."""
    network, inputs = all_sorts(steps, steps, samples=5, delays=delays, loops=True)
    assert network.idle_steps == 3
    found = agree(network, inputs, tmp_path / "loihi")
    active = [name for name, spikes in found.spikes.items() if 0 < spikes.mean() < 1]
    assert len(active) >= (len(found.spikes) - 4 if steps > 2 else 8)


def test_stock_processes_alone(lava, tmp_path):
    """Relays, loops and Lava's own sinks; resets are hard and membranes start at 0."""
    network, inputs = all_sorts(3, 3, samples=4, loops=True)
    plain = [
        replace(place, neuron=replace(place.neuron, reset="hard", initial=0.0))
        if place in network.populations
        else place
        for place in network.places.values()
    ]
    agree(network.with_changes(plain), inputs, tmp_path / "loihi", stock_only=True)
    text = (tmp_path / "loihi" / "network.py").read_text()
    assert "OWN = {}" in text


class Recurrent(nn.Module):
    """Neurons that hear their layer, and neurons that hear themselves, as snnTorch has them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 9), nn.Linear(9, 7)
        self.sn1 = snntorch.RLeaky(0.8, linear_features=9, reset_mechanism="subtract")
        self.sn2 = snntorch.RSynaptic(0.5, 0.7, V=0.4, all_to_all=False, reset_mechanism="zero")

    def forward(self, x):
        s1, mem1 = self.sn1.init_rleaky()
        s2, syn2, mem2 = self.sn2.init_rsynaptic()
        out = []
        for x_t in x:
            s1, mem1 = self.sn1(self.fc1(x_t), s1, mem1)
            s2, syn2, mem2 = self.sn2(self.fc2(s1), s2, syn2, mem2)
            out.append(s2)
        return torch.stack(out)


def test_recurrent_neurons_of_snntorch(lava):
    """The stem stays on the host: its currents change with every step and sample."""
    torch.manual_seed(1)
    x = 2 * torch.randn(5, 6, 6)
    program = snncc.compile(Recurrent().eval(), x, layout="TN")
    schedule = program.about.reports[Schedule]
    assert (schedule.idle_steps, schedule.steps_a_sample) == (1, 6)
    found = snncc.simulate(program, x, "lava", keep=None)
    assert found.agreement.differing == 0
    assert found.agreement.compared == 5 * 6 * (9 + 7)
    assert found.agreement.outputs == 0
    rates = [float(found.result.spikes[p.name].mean()) for p in program.network.populations]
    assert all(0.02 < rate < 0.98 for rate in rates)


def test_recordings_back_to_back_are_as_each_alone(lava, tmp_path):
    """10 recordings, shifted by the latency that is reported; each alone in the reference, the
    last in Lava too."""
    checkpoint = open_model(DST / "nmnist.pt")
    program = snncc.compile(checkpoint.module, torch.zeros(checkpoint.shape), input="spike")
    with np.load(DST / "test.npz") as data:
        inputs = program.arrange(data["inputs"][:, :10])
    network, latency = program.scheduled, program.about.reports[Schedule].latency
    emit(network, tmp_path / "loihi")
    assert f"LATENCY = {latency}\n" in (tmp_path / "loihi" / "network.py").read_text()
    together = simulate(tmp_path / "loihi", network, inputs, timeout=300)
    (name,) = inputs
    alone = [run_network(network, {name: inputs[name][:, [n]]}) for n in range(10)]
    for place in program.network.populations:
        each = torch.cat([run.spikes[place.name] for run in alone], 1)
        assert torch.equal(together.spikes[place.name], each), place.name
    for readout, sums in together.outputs.items():
        each = torch.cat([run.outputs[readout] for run in alone], 1)
        torch.testing.assert_close(sums, each, rtol=0, atol=1e-9)
    last = simulate(tmp_path / "loihi", network, {name: inputs[name][:, [9]]}, timeout=300)
    for place in program.network.populations:
        assert torch.equal(last.spikes[place.name], together.spikes[place.name][:, [9]])
    assert all(torch.equal(last.outputs[r], y[:, [9]]) for r, y in together.outputs.items())
