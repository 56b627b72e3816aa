"""The functional simulator: the same run whatever the size of its chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.backends.reference import chunk_size, fused, joined, simulate
from snncc.backends.reference.fused import Simulator, sample_axes
from snncc.ir.interpreter import run_network
from snncc.ir.text import parse_network

TEXT = """
network both steps=4 {
  source %events [3] spike
  encoder %e [5] static
    graph g {
      %image = input{kind='analog'} : static [2] real
      %fc = dense{weight=@w} %image : static [5] real
      head current = %fc
      tensor @w float64 [5,2] = [[1.0, 0.5], [0.3, 0.2], [0.7, -1.0], [0.1, 0.4], [2.0, 0.0]]
    }
  neuron %a [5] {decay=0.5}
    %events -> %a > dense{weight=@v}
    %e -> %a
  readout %mean [5] {}
    %a -> %mean
  readout %each [5] {over_time='none'}
    %a -> %each
  tensor @v float64 [5,3]
}
"""


@pytest.fixture
def network():
    return parse_network(TEXT, {"v": np.random.default_rng(0).normal(size=(5, 3))})


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return {
        "events": (torch.rand(4, 7, 3, generator=generator) < 0.5).double(),
        "image": torch.randint(0, 8, (7, 2), generator=generator) / 4,
        "unread": torch.zeros(1),
    }


def test_events_and_images_count_their_samples_on_their_own_axes(network):
    assert sample_axes(network) == {"events": 1, "image": 0}


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_chunks_join_to_the_whole(monkeypatch, network, inputs, size):
    monkeypatch.setattr(fused, "TILE", 4 * 5 * 8)
    chunks = list(simulate(network, inputs, size=size))
    assert [len(chunk["image"]) for chunk, _ in chunks] == [
        min(size, 7 - start) for start in range(0, 7, size)
    ]
    found = joined(network, [run for _, run in chunks])
    whole = run_network(network, inputs)
    for mine, theirs in (
        (found.spikes, whole.spikes),
        (found.outputs, whole.outputs),
        (found.logits, whole.logits),
    ):
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name])
    assert found.logits["mean"].shape == (7, 5)
    assert found.logits["each"].shape == (4, 7, 5)


def test_a_chunk_holds_what_memory_allows_and_at_least_one_tile(monkeypatch, network):
    monkeypatch.setattr(fused, "TILE", 2 * 4 * 5 * 8)
    neurons, outputs = 3 + 5 + 5 + 5 + 5, 5 + 5
    sample = 8 * (3 * 4 + 2) + 8 * (3 + 5) * 4 + 8 * outputs * 4
    work = 3 * 8 * neurons * 4 * 2
    simulator = Simulator(network)
    assert simulator.tile(4) == 2
    assert simulator.bytes(4, 3) == (sample, 3 * work)
    assert chunk_size(simulator, 4, 11 * sample + 3 * work, 3) == 10
    assert chunk_size(simulator, 4, 1, 3) == 2
    small = Simulator(network, spikes=torch.uint8, keep=["a"])
    assert small.bytes(4, 1)[0] == 8 * (3 * 4 + 2) + 5 * 4 + 8 * outputs * 4


def test_float32_runs_in_float32(network, inputs):
    ((_, run),) = simulate(network, inputs, dtype=torch.float32)
    assert run.spikes["a"].dtype == torch.float32
