"""Networks of all kinds in whole numbers: every spike, u and v in Lava is ours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from all_sorts import all_sorts
from bit_for_bit import Tally, agree
from drawn import drawn, fixed, generated

from snncc.ir.interpreter import run_network
from snncc.ir.network import Network
from snncc.ir.registers import FixedNeuron
from snncc.ir.text import parse_network
from snncc.passes.quantize import Quantize

RECORD = Path(__file__).parents[3] / "benchmarks" / "results" / "fixed_point.json"
IN_LAVA = "in Lava, bit for bit: "


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def neurons(network: Network) -> list[FixedNeuron]:
    return [p.neuron for p in network.populations if isinstance(p.neuron, FixedNeuron)]


def test_drawn_networks(lava, tmp_path):
    """Loops, synaptic currents, late resets and several levels, which few frameworks have."""
    cases = {f"drawn{seed}": drawn(seed)[:2] for seed in range(20)}
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


def test_generated_modules(lava, tmp_path):
    """Modules of torch through the whole compiler, every second one calibrated."""
    tally = agree({f"module{seed}": generated(seed) for seed in range(32)}, tmp_path)
    assert tally.networks == 32
    assert tally.populations > 90
    assert tally.silent < tally.populations / 3
    assert tally.spikes


def test_the_recorded_networks_were_the_same_in_lava():
    """`benchmarks/fixed_point.py` records none before all of it is the same."""
    rows = json.loads(RECORD.read_text(encoding="utf-8"))
    found = {
        name.removeprefix(IN_LAVA): Tally(**row)
        for name, row in rows.items()
        if name.startswith(IN_LAVA)
    }
    assert all(tally.spikes for tally in found.values())
    assert found["drawn networks"].networks >= 50
    assert found["generated modules"].networks >= 50
    assert found["dst, all samples back to back"].neuron_steps == 100 * 10 * 35_264
    assert found["mnist, all samples back to back"].neuron_steps == 500 * 4 * 25_088


def test_samples_of_every_length_back_to_back(lava, tmp_path):
    """T from 1 to beyond the depth, currents that change with sample and step, loops."""
    cases = {f"length{steps}": drawn(LOOPED, steps)[:2] for steps in range(1, 8)}
    network = cases["length1"][0]
    assert network.idle_steps
    assert {encoder.static for encoder in network.encoders} == {True, False}
    assert max(network.levels.values()) < 7
    for steps in (2, 14):
        cases[f"deep{steps}"] = all_sorts(steps, steps, 5, delays=62, loops=True, schedule=in_whole)
    assert max(cases["deep2"][0].levels.values()) == 12
    assert agree(cases, tmp_path).networks == 9


LOOPED = 31
"""A drawn network with loops, and both kinds of encoders."""


def in_whole(network, delays):
    return fixed(network, delays=delays)


OVERFLOWING = """network overflowing {
  source %x [1,3,3] count
  neuron %a [2,3,3] {threshold=2.0}
    %x -> %a > conv{weight=@w, padding=(1, 1)}
  neuron %b [4] {threshold=3.0}
    %a -> %b > reshape{shape=(18,)} > dense{weight=@v}
  readout %0 [4] {}
    %b -> %0
    %a -> %0 > reshape{shape=(18,)} > dense{weight=@v}
  tensor @w float64 [2,1,3,3]
  tensor @v float64 [4,18]
}"""


def test_what_overflows_is_reported_and_overflows_alike(lava, tmp_path):
    random = np.random.default_rng(0)
    numbers = {"w": random.normal(0.5, 1, (2, 1, 3, 3)), "v": random.normal(-1, 0.2, (4, 18))}
    size = (150, 2, 1, 3, 3)
    counts = random.poisson(1.0, size) * random.choice([1, 60_000], size)
    data = {"x": torch.from_numpy(counts)}
    network = parse_network(OVERFLOWING, numbers)
    form = fixed(network, data)
    run = run_network(form, data)
    assert run.wraps["a"] > 100  # sums of a Conv in 24 bits, currents in 24
    assert run.saturations["b"] > 10
    rows = Quantize(calibration=data)(network).report.populations
    (a, b) = (row for row in rows if row.role == "neuron")
    assert a.wraps == run.wraps["a"]
    assert b.saturations > 10
    assert b.membrane_range == 1
    tally = agree({"overflowing": (form, data)}, tmp_path)
    assert (tally.wraps, tally.saturations) == (
        sum(run.wraps.values()), sum(run.saturations.values()),
    )  # fmt: skip
