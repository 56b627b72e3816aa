"""Any number of threads, any size of chunks: the same run, bit for bit; and what is counted."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.reference import fused, joined, simulate
from snncc.backends.reference.fused import Simulator
from snncc.backends.reference.workers import together
from snncc.ir.interpreter import TensorStore, run_network
from snncc.ir.text import parse_network

TEXT = """
network all steps=5 {
  source %events [2,6,6] KIND
  encoder %e [20,6,6] static
    graph g {
      %image = input{kind='analog'} : static [3,6,6] real
      %conv = conv{weight=@w, padding=(1, 1)} %image : static [20,6,6] real
      head current = %conv
      tensor @w float64 [20,3,3,3]
    }
  neuron %a [20,6,6] {decay=0.5, threshold=0.75}
    %events -> %a > conv{weight=@a, padding=(1, 1)}
    %e -> %a > scale{factor=0.5}
  neuron %b [17,3,3] {threshold=1.5, reset='soft'}
    %a -> %b > conv{weight=@b, stride=(2, 2), padding=(1, 1)} after 1
    %a -> %b > pool{kind='average', kernel=(2, 2), stride=(2, 2)} > conv{weight=@c}
  neuron %loop [9] {threshold=1.5, current_decay=0.25}
    %b -> %loop > reshape{shape=(153,)} > dense{weight=@d}
    %loop -> %loop > dense{weight=@r} after 1
  readout %mean [5] {}
    %loop -> %mean > dense{weight=@f}
    %b -> %mean > reshape{shape=(153,)} > dense{weight=@g} after 2
  readout %each [9] {over_time='none'}
    %loop -> %each
  tensor @a float64 [20,2,3,3]
  tensor @b float64 [17,20,3,3]
  tensor @c float64 [17,20,1,1]
  tensor @d float64 [9,153]
  tensor @r float64 [9,9]
  tensor @f float64 [5,9]
  tensor @g float64 [5,153]
}
"""
SHAPES = {"w": (20, 3, 3, 3), "a": (20, 2, 3, 3), "b": (17, 20, 3, 3), "c": (17, 20, 1, 1),
          "d": (9, 153), "r": (9, 9), "f": (5, 9), "g": (5, 153)}  # fmt: skip


def network(rng, exact: bool, kind: str = "spike"):
    def weights(shape):
        return rng.integers(-6, 9, shape) / 16 if exact else rng.normal(0.05, 0.25, shape)

    tensors = {name: weights(shape) for name, shape in SHAPES.items()}
    return parse_network(TEXT.replace("KIND", kind), tensors)


def inputs(rng, samples: int):
    return {
        "events": torch.from_numpy(rng.random((5, samples, 2, 6, 6)) < 0.3),
        "image": torch.from_numpy(rng.integers(0, 8, (samples, 3, 6, 6)) / 8),
    }


def agree(one, other):
    for what in ("spikes", "outputs", "logits", "sent"):
        mine, theirs = getattr(one, what), getattr(other, what)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), (what, name)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans(), st.integers(1, 70), st.sampled_from([1, 3, 8]))
def test_chunks_and_threads_change_nothing(dtype, seed, exact, samples, tile):
    rng = np.random.default_rng(seed)
    form, given = network(rng, exact), inputs(rng, samples)
    simulator = Simulator(form, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "TILE", tile * 720 * 5 * dtype.itemsize)
        assert simulator.tile(5) == tile
        whole = simulator(given, threads=1)
        for size in (1, 7, 64):
            for threads in (1, 2):
                parts = simulate(form, given, simulator=simulator, size=size, threads=threads)
                found = [run for _, run in parts]
                assert len(found) == -(-samples // (-(-size // tile) * tile))
                agree(joined(form, found), whole)
    for name, spikes in whole.spikes.items():
        assert whole.sent[name].dtype == torch.int64
        assert torch.equal(whole.sent[name], spikes.sum((0, 1)).long())
    unkept = Simulator(form, dtype, keep=())
    assert unkept(given).sent.keys() == whole.sent.keys()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sent_is_counted_whether_spikes_are_kept_or_not(dtype):
    rng = np.random.default_rng(0)
    form, given = network(rng, True, "count"), inputs(rng, 300)
    given["events"] = torch.poisson(torch.full((5, 300, 2, 6, 6), 400.0)).double()
    slow = run_network(form, given)
    for keep in (None, ()):
        run = Simulator(form, dtype, keep)(given)
        for name, spikes in slow.spikes.items():
            assert torch.equal(run.sent[name], spikes.sum((0, 1)).long()), name
        assert run.sent["a"].max() > 255


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_spikes_are_kept_in_bytes_and_counts_are_not(dtype):
    rng = np.random.default_rng(0)
    form, given = network(rng, True, "count"), inputs(rng, 4)
    given["events"] = given["events"].double() * 300
    whole, small = (Simulator(form, dtype, spikes=kind)(given) for kind in (None, torch.uint8))
    for name, spikes in whole.spikes.items():
        assert small.spikes[name].dtype == (dtype if name == "events" else torch.uint8)
        assert torch.equal(small.spikes[name].to(dtype), spikes)
    spikes = Simulator(network(rng, True), dtype, spikes=torch.uint8)(inputs(rng, 4)).spikes
    assert spikes["events"].dtype == torch.uint8


def test_torch_is_alone_in_each_thread_and_as_before_outside(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        barrier = threading.Barrier(2)

        def seen():
            barrier.wait(30)
            return threading.get_ident(), torch.get_num_threads()

        found = together(seen, 2)
        assert [threads for _, threads in found] == [1, 1]
        assert found[0][0] == threading.get_ident() != found[1][0]
        assert torch.get_num_threads() == 2
        assert together(torch.get_num_threads, 1) == [1]
        assert torch.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError):
            together(lambda: 1 // 0, 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_tile_stops_the_others(monkeypatch):
    rng = np.random.default_rng(0)
    simulator = Simulator(network(rng, True))
    monkeypatch.setattr(fused, "TILE", 1)
    done = []

    def fail(tile):
        done.append(tile)
        raise RuntimeError("no")

    monkeypatch.setattr(simulator, "_run", fail)
    with pytest.raises(RuntimeError, match="no"):
        simulator(inputs(rng, 50), threads=2)
    assert len(done) <= 2


def test_no_thread_sees_a_kernel_in_another_layout():
    """Half ready, as another thread may find it: read, and its channels not yet last."""
    tensors = {"w": np.random.default_rng(0).normal(size=(4, 3, 3, 3))}
    store = fused._Weights(tensors, torch.float32, True)
    TensorStore.__getitem__(store, "w")
    assert store["w"].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_workspace_takes_about_what_it_is_said_to(dtype):
    rng = np.random.default_rng(0)
    simulator = Simulator(network(rng, True), dtype, keep=())
    simulator(inputs(rng, simulator.tile(5)), threads=1)
    (work,) = simulator._idle
    _, said = simulator.bytes(5, 1)
    assert work.bytes < said
