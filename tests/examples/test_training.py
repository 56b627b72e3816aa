"""The loop that all examples train with, and the folds of the comparison."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.dst.compare import FOLDS, compared, folds, table
from examples.dst.train import title
from examples.training import Plan, outputs, shifted, train

PLAN = Plan(epochs=3, batch=5)


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(36, 3))


def gradients(module, inputs, labels) -> float:
    loss = torch.nn.functional.cross_entropy(module(inputs), labels)
    loss.backward()
    return loss.item()


class Cut(Exception):
    pass


def test_a_training_that_was_cut_ends_as_one_that_was_not(tmp_path):
    torch.manual_seed(0)
    inputs, labels = torch.rand(21, 1, 6, 6), torch.arange(21) % 3
    whole = train(network(), inputs, labels, PLAN, 0, gradients, axis=0, quiet=True)
    calls = 0

    def cut(module, inputs, labels):
        nonlocal calls
        calls += 1
        if calls == 7:  # in the second epoch
            raise Cut
        return gradients(module, inputs, labels)

    state = tmp_path / "net.state"
    with pytest.raises(Cut):
        train(network(), inputs, labels, PLAN, 0, cut, axis=0, state=state, quiet=True)
    more = train(network(), inputs, labels, PLAN, 0, gradients, axis=0, state=state, quiet=True)
    for one, two in zip(whole.parameters(), more.parameters(), strict=True):
        assert torch.equal(one, two)
    assert not whole.training
    (logits,) = outputs(whole, inputs, axis=0, batch=4)
    torch.testing.assert_close(logits, whole(inputs))


def test_samples_are_moved_and_nothing_comes_in():
    source = torch.Generator().manual_seed(0)
    batch = torch.zeros(2, 30, 1, 5, 5)
    batch[:, :, 0, 2, 2] = 1
    moved = shifted(batch, 2, 1, source)
    assert torch.equal(moved[0], moved[1])  # all steps of a sample alike
    assert (moved.sum((2, 3, 4)) == 1).all()
    assert len({tuple(each.nonzero()[0].tolist()) for each in moved[0]}) > 10


def test_folds_share_no_recording_and_hold_each_digit_equally():
    labels = np.arange(1100) % 10
    fold = folds(labels, seed=1)
    assert not (fold == folds(labels, seed=2)).all()
    for digit in range(10):
        counts = np.bincount(fold[labels == digit], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1


def test_ways_are_told_apart_by_recording():
    """Two ways of the same accuracy on the same recordings, and one that is worse."""
    source = np.random.default_rng(0)
    labels = np.arange(200) % 10
    right = source.random((3, 200)) < 0.9
    worse = right & (source.random((3, 200)) < 0.9)
    said = {
        name: np.where(answers, labels, (labels + 1) % 10)
        for name, answers in {"plain": right, "dst": right, "sew_add": worse}.items()
    }
    result = compared(labels, said)
    apart = result[f"against {title('plain')}"]
    assert apart[title("dst")]["points"] == 0
    assert not apart[title("dst")]["told apart"]
    assert apart[title("sew_add")]["told apart"]
    assert apart[title("sew_add")]["to"] < 0
    assert title("dst") in table(result)
