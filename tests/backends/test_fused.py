"""The fast simulator against the interpreter: every population, step and sample."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "generators"))

from agreement import WAYS, through
from random_networks import draw

from snncc.backends import fused
from snncc.backends.fused import Simulator
from snncc.backends.membranes import recurrence
from snncc.frontends.torch import arrange, trace
from snncc.ir.interpreter import TensorStore, fire, run_network
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Pool, Ref, Reshape, Scale
from snncc.passes.drop_identity import DropIdentity
from snncc.passes.lower import Lower
from snncc.passes.select_head import SelectHead
from snncc.passes.strip_aap import StripAap

RESETS = [("hard", "now"), ("soft", "now"), ("none", "now"),
          ("hard", "next"), ("soft", "next"), ("soft", "both")]  # fmt: skip


def same(network, inputs, dtype=torch.float64, **options):
    """The interpreter's run, which the simulator's is equal to in spikes and close to in sums."""
    slow = run_network(network, inputs, dtype=dtype)
    fast = Simulator(network, dtype, **options)(inputs)
    assert fast.spikes.keys() == slow.spikes.keys()
    for name, spikes in slow.spikes.items():
        assert fast.spikes[name].dtype == dtype
        assert torch.equal(fast.spikes[name], spikes), name
    for mine, theirs in ((fast.outputs, slow.outputs), (fast.logits, slow.logits)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(mine[name], theirs[name])
    return slow


@pytest.mark.parametrize(("reset", "when"), RESETS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("per", ["layer", "channel", "neuron"])
def test_the_recurrence_is_the_interpreters_bit_for_bit(reset, when, dtype, per):
    rng = np.random.default_rng(RESETS.index((reset, when)))
    shape = {"layer": (), "channel": (3, 1, 1), "neuron": (3, 20, 30)}[per]
    tensors = {
        "threshold": rng.uniform(0.5, 1.5, shape), "bias": rng.normal(0, 0.2, shape),
        "initial": rng.normal(0, 1, shape), "leak": rng.uniform(0.3, 1, shape),
        "fade": rng.uniform(0.1, 0.9, shape), "none": np.zeros(()), "in": np.eye(1800),
    }  # fmt: skip
    for decay, fade in product([1.0, 0.0, Ref("leak")], [0.0, Ref("fade")]):
        neuron = Neuron(
            decay, Ref("threshold"), Ref("bias"), Ref("initial"), reset, fade, when
        )  # fmt: skip
        network = Network.build(
            [Source("in", (3, 20, 30), "count"), Population("p", (3, 20, 30), neuron)],
            [Projection("in", "p")], tensors,
        )  # fmt: skip
        x = torch.from_numpy(rng.normal(0.4, 1, (6, 2, 3, 20, 30))).to(dtype)
        run = same(network, {"in": x}, dtype)
        expected, _ = fire(neuron, x, TensorStore(network.tensors, dtype))
        assert torch.equal(run.spikes["p"], expected)
        assert 0.01 < expected.mean() < 0.99


def test_one_current_for_all_steps():
    neuron = Neuron(0.5)
    x = torch.full((1, 1, 3), 0.7, dtype=torch.float64)
    spikes = torch.empty(1, 4, 3, dtype=torch.float64)
    numbers = np.array([[0.5], [1.0], [0.0], [0.0], [0.0]]).repeat(3, 1)
    recurrence(neuron)(x.numpy(), numbers, 3, spikes.numpy())
    expected, _ = fire(neuron, x.expand(4, 1, 3), TensorStore({}, torch.float64))
    assert torch.equal(spikes[0], expected[:, 0])
    assert spikes.sum() == 6


def events(rate, *shape):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < rate).double()


def layered(rng, dyadic: bool) -> Network:
    def weights(*shape):
        return rng.integers(-8, 9, shape) / 16 if dyadic else rng.normal(0, 0.3, shape)

    tensors = {
        "a": weights(8, 2, 3, 3), "b": weights(6, 8, 3, 3), "d": weights(5, 6 * 4 * 4),
        "sign": rng.choice([-1.0, 1.0], (6, 1, 1)), "late": weights(8, 2, 1, 1),
        "third": rng.choice([0.75, 1.5], (8, 1, 1)),
        "theta": rng.integers(8, 24, (8, 1, 1)) / 16,
    }  # fmt: skip
    pool = Pool("average", (2, 2), (2, 2), (0, 0), (1, 1), False, True)
    places = [
        Source("in", (2, 8, 8)), Population("p", (8, 8, 8), Neuron(0.5, Ref("theta"))),
        Population("q", (6, 4, 4), Neuron(1.0, 0.5, 0.0625, reset="soft")), Readout("out", (5,)),
    ]  # fmt: skip
    same_size = {"padding": (1, 1)}
    projections = [
        Projection("in", "p", (Conv(Ref("a"), **same_size), Scale(Ref("third")))),
        Projection("in", "p", (Conv(Ref("late")),), delay=2),
        Projection("p", "q", (pool, Conv(Ref("b"), **same_size), Scale(Ref("sign")))),
        Projection("q", "out", (Reshape((96,)), Dense(Ref("d")))),
    ]
    return Network.build(places, projections, tensors)


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_where_sums_are_exact_layout_and_tiles_change_nothing(monkeypatch, dtype, samples):
    network = layered(np.random.default_rng(0), dyadic=True)
    inputs = {"in": events(0.3, 5, samples, 2, 8, 8)}
    exact = same(network, inputs)
    assert 0.05 < exact.spikes["q"].mean() < 0.95
    monkeypatch.setattr(fused, "TILE", 2 * 5 * 512 * dtype.itemsize)
    fast = same(network, inputs, dtype)
    for name, spikes in exact.spikes.items():
        assert torch.equal(fast.spikes[name].double(), spikes)


def test_only_what_is_asked_for_is_kept():
    network = layered(np.random.default_rng(0), dyadic=True)
    inputs = {"in": events(0.3, 5, 3, 2, 8, 8)}
    whole, some = Simulator(network)(inputs), Simulator(network, keep=["q"])(inputs)
    assert list(some.spikes) == ["q"]
    assert torch.equal(some.spikes["q"], whole.spikes["q"])
    assert torch.equal(some.logits["out"], whole.logits["out"])


def test_signs_and_powers_of_two_join_the_kernel_and_nothing_else_does():
    tensors = {
        "w": np.ones((2, 1, 3, 3)), "sign": np.array([-2.0, 0.5]).reshape(2, 1, 1),
        "odd": np.array([3.0, 1.0]).reshape(2, 1, 1), "place": np.full((2, 4, 4), 2.0),
    }  # fmt: skip
    conv = Conv(Ref("w"))
    (joined,) = fused._folded((conv, Scale(Ref("sign"))), tensors)
    assert (tensors[joined.weight] == tensors["w"] * [[[[-2.0]]], [[[0.5]]]]).all()
    for factor in ("odd", "place"):
        map = (conv, Scale(Ref(factor)))
        assert tuple(fused._folded(map, tensors)) == map


def wide(rng) -> Network:
    """Whole weights, so that every sum is exact, and enough channels to add spikes one by one."""
    tensors = {"a": rng.integers(-4, 6, (64, 3, 3, 3)), "b": rng.integers(-4, 6, (64, 64, 3, 2))}
    tensors = {name: weight.astype(float) for name, weight in tensors.items()}
    places = [
        Source("in", (3, 9, 8)), Population("p", (64, 9, 8), Neuron(threshold=24.0)),
        Population("q", (64, 4, 9), Neuron(threshold=12.0)),
    ]  # fmt: skip
    second = Conv(Ref("b"), stride=(2, 1), padding=(1, 1), dilation=(2, 1))
    projections = [
        Projection("in", "p", (Conv(Ref("a"), padding=(1, 1)),)), Projection("p", "q", (second,)),
    ]  # fmt: skip
    return Network.build(places, projections, tensors)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.9])
def test_few_spikes_add_up_to_what_a_dense_convolution_gives(monkeypatch, rate):
    network = wide(np.random.default_rng(1))
    inputs = {"in": events(rate, 4, 3, 3, 9, 8)}
    counted = []
    convolve = fused.events.convolve
    monkeypatch.setattr(
        fused.events, "convolve", lambda *args: (counted.append(convolve(*args)), counted[-1])[1]
    )
    exact = same(network, inputs)
    assert not counted
    few = same(network, inputs, torch.float32)
    for name, spikes in exact.spikes.items():
        assert torch.equal(few.spikes[name].double(), spikes)
    assert counted.count(True) == {0.0: 1, 0.05: 1, 0.9: 0}[rate]
    assert rate == 0 or exact.spikes["q"].any()


def test_few_is_a_share_that_grows_with_the_channels():
    conv, few = Conv(Ref("w")), fused.events.few
    for targets, share in fused.events.DENSITY.items():
        assert few(conv, 2, targets, 1000) == int(1000 * share)
    assert few(conv, 2, min(fused.events.DENSITY) - 1, 1000) == 0
    assert few(conv, 3, 128, 1000) == 0
    assert few(Conv(Ref("w"), groups=2), 2, 128, 1000) == 0


@pytest.mark.parametrize("spare", [0, -1])
def test_a_spike_more_than_few_is_too_many(spare):
    x = torch.zeros(2, 4, 4, 6)
    x[:, 1, 2, ::2] = x[:, 3, 3, 1] = 0.5
    weight, y = torch.rand(3, 3, 6, 8), torch.full((2, 4, 4, 8), torch.nan)
    count = int(x.count_nonzero())
    fits = fused.events.convolve(
        x.numpy(), x.view(torch.int64).numpy(), weight.numpy(), (1, 1), (1, 1), (1, 1),
        count + spare, y.numpy(),
    )  # fmt: skip
    assert fits == (spare == 0)
    if fits:
        dense = torch.conv2d(x.permute(0, 3, 1, 2), weight.permute(3, 2, 0, 1), padding=1)
        torch.testing.assert_close(y, dense.permute(0, 2, 3, 1))


def generated(seed: int, way: str):
    sample = draw(seed, 8)
    graph = trace(sample.module, sample.example, input=sample.kind, layout=sample.layout)
    passes = (SelectHead(), StripAap(), DropIdentity(), Lower(), *WAYS[way])
    return sample, through(graph, *passes), arrange(sample.inputs, graph)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["lowered", "norms folded into thresholds"])
@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow)
                                        for n in range(50, 500, 50))])  # fmt: skip
def test_generated_networks_run_the_same(first, way):
    fired = 0
    for seed in range(first, first + 50):
        sample, network, inputs = generated(seed, way)
        fast = Simulator(network)(inputs)
        own = {p.name: fast.spikes[p.name] for p in network.populations}
        slow = run_network(network, inputs, forced=own)
        assert slow.mismatches == 0, (seed, slow.disagreements[0])
        assert not (slow.ties and sample.dyadic), seed
        if not slow.ties:
            same(network, inputs)
        fired += sum(int(s.sum()) for s in own.values())
    assert fired > 1000
