"""Networks of all kinds in whole numbers: every spike, u and v in Lava is ours."""

from __future__ import annotations

import pytest
import torch
from bit_for_bit import agree
from drawn import drawn
from random_networks import draw

import snncc
from snncc.ir.network import Network
from snncc.ir.registers import FixedNeuron


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def neurons(network: Network) -> list[FixedNeuron]:
    return [p.neuron for p in network.populations if isinstance(p.neuron, FixedNeuron)]


@pytest.mark.parametrize("first", [0, 20])
def test_drawn_networks(lava, tmp_path, first):
    """Loops, synaptic currents, late resets and several levels, which few frameworks have."""
    cases = {f"drawn{seed}": drawn(seed)[:2] for seed in range(first, first + 20)}
    tally = agree(cases, tmp_path)
    assert tally.networks == 20
    assert tally.populations > 140
    assert tally.silent < tally.populations / 5
    assert 0.1 < tally.spikes / tally.neuron_steps < 0.9
    # They are worth comparing: every kind of neuron and wire is there.
    networks = [network for network, _ in cases.values()]
    every = [n for network in networks for n in neurons(network)]
    assert {n.when for n in every} == {"now", "next", "both"}
    assert {n.reset for n in every} == {"hard", "soft", "none"}
    assert any(n.du != 4095 for n in every)
    assert any(network.idle_steps for network in networks)
    assert {source.kind for network in networks for source in network.sources} == {"spike", "count"}
    assert {p.role for network in networks for p in network.populations} == {
        "neuron", "gate", "relay"
    }  # fmt: skip


@pytest.mark.parametrize("first", [0, 32])
def test_generated_modules(lava, tmp_path, first):
    """Modules of torch through the whole compiler, every second one calibrated."""
    cases = {}
    for seed in range(first, first + 32):
        sample = draw(seed, 8)
        program = snncc.compile(
            sample.module, sample.example, "loihi", input=sample.kind, layout=sample.layout,
            weight_bits=8, verify=False, calibration=sample.inputs if seed % 2 else None,
        )  # fmt: skip
        assert program.scheduled is not None
        cases[f"module{seed}"] = (program.scheduled, program.arrange(sample.inputs))
    tally = agree(cases, tmp_path)
    assert tally.networks == 32
    assert tally.populations > 90
    assert tally.silent < tally.populations / 3
    assert tally.spikes
