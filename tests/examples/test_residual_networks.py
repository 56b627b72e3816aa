"""The trained networks of examples/mlf and examples/danet: as recorded, compiled, on the chip."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from bit_for_bit import agree
from torch import nn
from trained import EXAMPLES, Example, example, measure

import snncc
from examples.danet.rounding import summary
from examples.danet.train import compared
from examples.mlf.dormant import dormant
from snncc.mapping.reports import Cut
from snncc.nn import MLF

NETWORKS = {
    ("mlf", "ds.pt"): "ds-4-seed0",
    ("mlf", "plain.pt"): "plain-4-seed0",
    ("danet", "danet.pt"): "dense-seed0",
    ("danet", "sew.pt"): "sew-seed0",
    ("danet", "plain.pt"): "plain-seed0",
}
"""Each checkpoint and its name in results.json."""
OWN = [("mlf", "ds.pt"), ("danet", "danet.pt")]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recorded(folder: str) -> dict:
    return json.loads((EXAMPLES / folder / "results.json").read_text())


@pytest.mark.parametrize("network", NETWORKS, ids="-".join)
def test_the_checkpoint_has_its_recorded_accuracy(network: tuple[str, str]) -> None:
    of = example(*network)
    assert not of.module.training
    with torch.no_grad():
        logits = of.module(torch.from_numpy(of.inputs).float())
    right = int((logits.argmax(1).numpy() == of.labels).sum())
    found = recorded(network[0])["networks"][NETWORKS[network]]
    # Float32 sums may come in another order elsewhere: one recording either way.
    assert right == pytest.approx(found["accuracy"], abs=1)
    assert sum(p.numel() for p in of.module.parameters()) == found["parameters"]
    if network in OWN:
        assert right >= 90


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids="-".join)
def test_no_spike_differs_and_the_network_fits(network: tuple[str, str]) -> None:
    """20 recordings in float64; strictly spikes; Loihi 1 within its limits, on one chip.

    All 100 are in the record that `test_papers` holds.
    """
    of = example(*network).first(20)
    report = snncc.check(of.module, of.like, "loihi1", strict=True, **of.options)
    assert report.ok
    program = of.compile("loihi1")
    comparison = snncc.compare(of.module, program, of.inputs)
    neurons = sum(int(np.prod(p.shape)) for p in program.network.populations)
    assert comparison.compared == of.inputs.shape[0] * 20 * neurons
    assert comparison.equal
    assert comparison.ties == 0
    mapped = program.about.reports[Cut]
    assert 0 < mapped.cores <= 128


@pytest.mark.slow
@pytest.mark.parametrize("network", OWN, ids="-".join)
def test_eight_bits_lose_at_most_a_point(network: tuple[str, str]) -> None:
    """One-sided: DANet gains two recordings of 100, which its page says."""
    of = example(*network)
    known = {sample.tobytes() for sample in np.moveaxis(of.inputs, of.axis, 0)}
    assert not known & {sample.tobytes() for sample in np.moveaxis(of.calibration, of.axis, 0)}
    program = of.compile("loihi1", weight_bits=8, calibration=of.calibration, verify=False)
    found = measure(of, program)
    assert found.points <= 1
    assert found.kept >= 0.995
    assert found.wraps == 0


@pytest.mark.parametrize("network", OWN, ids="-".join)
def test_recordings_back_to_back_in_lava(network: tuple[str, str], lava, tmp_path) -> None:
    """20 of them: every spike, u and v in Lava is ours."""
    of: Example = example(*network).first(20)
    program = of.compile(weight_bits=8, calibration=of.calibration, verify=False)
    given = program.arrange(of.inputs)
    tally = agree({"recordings": (program.scheduled, given)}, tmp_path, timeout=3600)
    assert tally.neuron_steps > 0
    assert tally.silent < tally.populations / 10
    assert tally.wraps == 0


def test_dormant_units_are_counted_by_hand() -> None:
    """Three units, two steps, two samples, one threshold 0.6, a window from 0.1 to 1.1."""
    x = torch.tensor(
        [
            [[0.0, 1.0, 0.3], [2.0, 0.0, 0.0]],  # the first step of both samples
            [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        ]
    )
    found = asdict(dormant(nn.Sequential(MLF(0.25, (0.6,))), x))
    assert found["silent"] == pytest.approx(1 / 3)  # the third never fires
    assert found["never"] == pytest.approx(1 / 3)  # the first is at 0 or 2, never in the window
    assert found["at_a_step"] == pytest.approx(1 - 2 / 12)


def test_kinds_are_compared_recording_by_recording() -> None:
    right = {
        "dense": ["1110", "1111"],
        "sew": ["1100", "1111"],
        "plain": ["1100", "1111"],
    }
    networks = {
        f"{kind}-seed{seed}": {"right": row}
        for kind, rows in right.items()
        for seed, row in enumerate(rows)
    }
    found = compared(networks | {"dense-seed2": {"right": "0000"}})  # no others to compare with
    assert found["seeds"] == [0, 1]
    assert found["dense"]["per_seed"] == [75, 100]
    assert found["dense - sew"]["mean"] == 12.5
    low, high = found["dense - sew"]["interval"]
    assert 0 <= low < 12.5 < high <= 50
    assert found["sew - plain"] == {"mean": 0, "interval": [0, 0]}


def test_what_8_bits_change_is_what_the_page_says() -> None:
    found = json.loads((EXAMPLES / "danet" / "rounding.json").read_text())
    said = found["summary"]
    assert summary(found["folds"]) == said
    assert said["recordings"] == 1100
    assert abs(said["gain, points"]) <= 1
    row = (
        f"| 1,100 | {said['float %']:.2f} % | {said['8 bits %']:.2f} % "
        f"| {said['gain, points']:+.2f} points, {said['interval'][0]:+.2f} to "
        f"{said['interval'][1]:+.2f} | {said['right in 8 bits alone']}, "
        f"{said['right in floats alone']} |"
    )
    assert row.replace("-", "−") in (EXAMPLES / "danet" / "README.md").read_text()
