"""What the dual-stream example commits belongs together: recordings, frames, weights, results."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import snncc
from examples.dst.compare import compared, table
from examples.dst.train import WAYS
from examples.events import Recordings, counts, frames, load
from snncc.frontends.checkpoints import open_model

DST = Path(__file__).parents[2] / "examples" / "dst"


def test_binning_puts_each_event_in_its_window() -> None:
    recordings = Recordings(
        x=np.array([3, 3, 5, 33, 0], np.uint8),
        y=np.array([4, 4, 6, 0, 33], np.uint8),
        polarity=np.array([1, 1, 0, 1, 0], np.uint8),
        time_us=np.array([0, 9, 299, 0, 4_000_000_000], np.uint32),
        offsets=np.array([0, 3, 5], np.int64),
        labels=np.array([7, 1], np.uint8),
    )
    binned = frames(recordings, 10)
    assert binned.shape == (10, 2, 2, 34, 34)
    assert {tuple(map(int, place)) for place in np.argwhere(binned)} == {
        (0, 0, 1, 4, 3),
        (9, 0, 0, 6, 5),
        (0, 1, 1, 0, 33),
        (9, 1, 0, 33, 0),
    }
    assert binned.max() == 1
    assert counts(recordings, 10)[0, 0, 1, 4, 3] == 2


def test_the_frames_are_those_of_the_recordings() -> None:
    recordings = load(DST / "recordings.npz")
    assert len(recordings) == 100
    with np.load(DST / "test.npz", allow_pickle=False) as committed:
        np.testing.assert_array_equal(committed["inputs"], frames(recordings))
        np.testing.assert_array_equal(committed["labels"], recordings.labels)


@pytest.mark.slow
def test_the_checkpoint_keeps_the_pathway_and_reaches_its_recorded_accuracy() -> None:
    checkpoint = open_model(DST / "nmnist.pt")
    assert (checkpoint.layout, checkpoint.input) == ("TN", "spike")
    assert not checkpoint.module.training
    with np.load(DST / "test.npz", allow_pickle=False) as data, torch.no_grad():
        spike, accumulated = checkpoint.module(torch.from_numpy(data["inputs"]).float())
        labels = torch.from_numpy(data["labels"])
    results = json.loads((DST / "results.json").read_text())["test %"]
    for name, logits in [
        ("FSNN, DST, AAP stripped", spike),
        ("DSNN, AAP kept: AAP head", accumulated),
    ]:
        accuracy = 100 * (logits.argmax(1) == labels).double().mean().item()
        # Float32 sums may come in another order elsewhere: one recording either way.
        assert accuracy == pytest.approx(results[name]["per_seed"][0], abs=1.0)


def test_the_comparison_is_that_of_the_committed_answers():
    folder = DST / "comparison"
    with np.load(folder / "answers.npz") as arrays:
        said = {way: digits.astype(np.int64) for way, digits in arrays.items()}
    result = compared(said.pop("labels"), said)
    assert json.loads((folder / "comparison.json").read_text()) == result
    assert table(result) in (DST / "README.md").read_text()
    assert {digits.shape for digits in said.values()} == {(3, 1100)}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_networks_of_the_comparison_compile_to_their_spikes(way):
    """In float64; spikes alone pass between the neurons.

    On 20 recordings; all 100 are in the record that `test_papers` holds.
    """
    opened = open_model(DST / "comparison" / f"{way}.pt")
    with np.load(DST / "comparison" / "test.npz") as data:
        inputs = data["inputs"][:, :20]
    like = torch.from_numpy(inputs[:, :2]).float()
    program = snncc.compile(opened.module, like, input="spike", layout="TN", strict=True)
    comparison = snncc.compare(opened.module, program, inputs)
    assert comparison.equal
    assert comparison.compared > 1_000_000
    assert comparison.ties == 0
