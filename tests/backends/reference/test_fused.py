"""The fast simulator against the interpreter: every population, step and sample."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import torch
from agreement import WAYS, through
from random_networks import draw
from torch import nn

import snncc
from snncc.backends.reference import events as event_lists
from snncc.backends.reference import fused
from snncc.backends.reference.events import Additions
from snncc.backends.reference.fused import Simulator
from snncc.backends.reference.membranes import recurrence
from snncc.frontends.torch import arrange, trace
from snncc.ir.interpreter import TensorStore, fire, run_network
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Pool, Ref, Reshape, Scale, Slice
from snncc.ir.text import parse_network
from snncc.nn import LIF
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
            torch.testing.assert_close(mine[name], theirs[name].to(mine[name].dtype))
    return slow


@pytest.mark.slow
@pytest.mark.parametrize(("reset", "when"), RESETS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("per", ["layer", "channel", "neuron"])
def test_the_recurrence_is_the_interpreters_bit_for_bit(reset, when, dtype, per):
    rng = np.random.default_rng(RESETS.index((reset, when)))
    shape = {"layer": (), "channel": (3, 1, 1), "neuron": (3, 20, 30)}[per]
    tensors = {
        "threshold": rng.uniform(0.5, 1.5, shape), "bias": rng.normal(0, 0.2, shape),
        "initial": rng.normal(0, 1, shape), "leak": rng.uniform(0.3, 1, shape),
        "fade": rng.uniform(0.1, 0.9, shape), "part": rng.uniform(-0.9, 1.1, shape),
        "c": rng.normal(0, 1, shape), "none": np.zeros(()), "in": np.eye(1800),
    }  # fmt: skip
    keeps = [0.0, 0.5, Ref("part")] if reset == "hard" else [0.0]
    for decay, fade, keep in product([1.0, 0.0, Ref("leak")], [0.0, Ref("fade")], keeps):
        neuron = Neuron(
            decay, Ref("threshold"), Ref("bias"), Ref("initial"), reset, fade, when, keep, Ref("c")
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
    numbers = np.array([[0.5], [1.0], [0.0], [0.0], [0.0], [0.0], [0.0]]).repeat(3, 1)
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


def wide(rng, delay: int = 0) -> Network:
    """Whole weights, so that every sum is exact, and enough channels to add spikes one by one."""
    tensors = {
        "a": rng.integers(-4, 6, (64, 3, 3, 3)), "b": rng.integers(-4, 6, (48, 64, 3, 2)),
        "c": rng.integers(-4, 6, (48, 64, 1, 1)), "d": rng.integers(-4, 6, (10, 48 * 2 * 4)),
    }  # fmt: skip
    tensors = {name: weight.astype(float) for name, weight in tensors.items()}
    places = [
        Source("in", (3, 9, 8)), Population("p", (64, 9, 8), Neuron(threshold=24.0)),
        Population("low", (64, 9, 8), Neuron(0.5, 12.0, reset="soft")),
        Population("q", (48, 4, 9), Neuron(threshold=12.0)),
        Population("any", (48, 2, 4), Neuron(0.0, 1.0)), Readout("out", (10,), unit=0.5, bias=1.0),
    ]  # fmt: skip
    second = Conv(Ref("b"), stride=(2, 1), padding=(1, 1), dilation=(2, 1))
    pools = [Pool(kind, (2, 2), (2, 2)) for kind in ("sum", "average")]
    both = Conv(Ref("c"), padding=(0, 1))
    crop = Pool("average", (2, 1), (2, 1), (0, 0))
    projections = [
        Projection("in", "p", (Conv(Ref("a"), padding=(1, 1)),)),
        Projection("in", "low", (Conv(Ref("a"), padding=(1, 1)),)),
        Projection("p", "q", (second,)),
        Projection("low", "q", (second, Scale(3.0)), delay),
        Projection("p", "q", (crop, both, Slice(2, 0, 9, 1)), delay),
        Projection("q", "any", (pools[0],)),
        Projection("any", "out", (Reshape((384,)), Dense(Ref("d")))),
        Projection("q", "out", (pools[1], Reshape((384,)), Dense(Ref("d")))),
    ]
    return Network.build(places, projections, tensors)


@pytest.fixture
def added(monkeypatch):
    """Whether each try to add up spikes came to something."""
    seen = []
    add = Additions.__call__

    def watched(self, *given):
        seen.append(add(self, *given) is not None)
        return add(self, *given)

    monkeypatch.setattr(Additions, "__call__", watched)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.9])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("delay", [0, 1, 7])
def test_few_spikes_add_up_to_what_a_dense_convolution_gives(added, rate, samples, delay):
    network = wide(np.random.default_rng(1), delay)
    inputs = {"in": events(rate, 4, samples, 3, 9, 8)}
    exact = same(network, inputs)
    assert not added
    few = same(network, inputs, torch.float32)
    for name, spikes in exact.spikes.items():
        assert torch.equal(few.spikes[name].double(), spikes)
    assert torch.equal(few.outputs["out"].double(), exact.outputs["out"])
    assert (sum(added) >= 3) == (rate < 0.9)
    assert rate == 0 or exact.spikes["p"].any()
    assert rate == 0 or delay == 7 or exact.spikes["q"].any()


def test_a_run_leaves_what_the_one_before_it_gave():
    simulator = Simulator(wide(np.random.default_rng(1)), torch.float32)
    inputs = [{"in": events(rate, 4, 3, 3, 9, 8)} for rate in (0.05, 0.4, 0.1)]
    alone = [Simulator(simulator._network, torch.float32)(given) for given in inputs]
    together = [simulator(given) for given in inputs]
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(simulator, inputs * 5))
    for index, run in enumerate(together + at_once):
        expected = alone[index % 3]
        for name, spikes in expected.spikes.items():
            assert torch.equal(run.spikes[name], spikes), name
        assert torch.equal(run.outputs["out"], expected.outputs["out"])


@pytest.mark.parametrize("static", [True, False])
def test_currents_from_the_host_that_stay_or_change(static):
    rate = "static" if static else "step"
    encoders = [
        f"""
  encoder %{name} [16,4,4] {rate}
    graph g {{
      %{image} = input{{kind='analog'}} : {rate} [3,4,4] real
      %conv = conv{{weight=@{weight}, padding=(1, 1)}} %{image} : {rate} [16,4,4] real
      head current = %conv
      tensor @{weight} float64 [16,3,3,3]
    }}"""
        for name, image, weight in (("e", "image", "w"), ("f", "other", "v"))
    ]
    text = f"""
network n steps=4 {{
{"".join(encoders)}
  neuron %a [16,4,4] {{decay=0.5, threshold=2.0}}
    %e -> %a
    %f -> %a > scale{{factor=0.5}}
  readout %out [5] {{}}
    %a -> %out > reshape{{shape=(256,)}} > dense{{weight=@d}}
  tensor @d float64 [5,256]
}}
"""
    rng = np.random.default_rng(0)
    shapes = {"w": (16, 3, 3, 3), "v": (16, 3, 3, 3), "d": (5, 256)}
    tensors = {name: rng.integers(-4, 5, shape) / 8 for name, shape in shapes.items()}
    network = parse_network(text, tensors)
    shape = (2, 3, 4, 4) if static else (4, 2, 3, 4, 4)
    inputs = {name: torch.from_numpy(rng.integers(0, 8, shape) / 4) for name in ("image", "other")}
    run = same(network, inputs, torch.float32)
    assert 0.05 < run.spikes["a"].mean() < 0.5


def generated(seed: int, way: str):
    sample = draw(seed, 8)
    graph = trace(sample.module, sample.example, input=sample.kind, layout=sample.layout)
    passes = (SelectHead(), StripAap(), DropIdentity(), Lower(), *WAYS[way])
    return sample, through(graph, *passes), arrange(sample.inputs, graph)


EITHER = ("lowered", "norms folded into thresholds")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 50))
def test_generated_networks_run_the_same(first):
    """One way for each network."""
    fired = 0
    for seed in range(first, first + 50):
        sample, network, inputs = generated(seed, EITHER[seed % 2])
        fast = Simulator(network)(inputs)
        own = {p.name: fast.spikes[p.name] for p in network.populations}
        slow = run_network(network, inputs, forced=own)
        assert slow.mismatches == 0, (seed, slow.disagreements[0])
        assert not (slow.ties and sample.dyadic), seed
        if not slow.ties:
            same(network, inputs)
        fired += sum(int(s.sum()) for s in own.values())
    assert fired > 1000


@pytest.mark.slow
def test_generated_networks_that_are_exact_run_the_same_in_float32(monkeypatch, added):
    monkeypatch.setattr(event_lists, "NARROWEST", 1)
    monkeypatch.setattr(event_lists, "DENSITY", 2.0)
    fired = 0
    for seed in range(60):
        sample, network, inputs = generated(seed, "lowered")
        if sample.dyadic:
            slow = run_network(network, inputs)
            fast = Simulator(network, torch.float32)(inputs)
            unkept = Simulator(network, torch.float32, keep=())(inputs)
            for name, spikes in slow.spikes.items():
                assert torch.equal(fast.spikes[name].double(), spikes), (seed, name)
                fired += int(spikes.sum())
            for name, sums in fast.outputs.items():
                assert torch.equal(unkept.outputs[name], sums), (seed, name)
    assert fired > 1000
    assert sum(added) > 10


class _Lone(nn.Module):
    """Places of shape (): one neuron alone, with or without a feature axis after it."""

    def __init__(self, forward):
        super().__init__()
        self.wide, self.one, self.first = nn.Linear(6, 5), nn.Linear(5, 1), nn.Linear(6, 1)
        self.sn, self.lone, self.last = LIF(), LIF(), nn.Linear(1, 3)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x).mean(0)


LONE = {
    "a dense head": lambda m, x: m.one(m.sn(m.wide(x))).squeeze(-1),
    "a sum as head": lambda m, x: m.sn(m.wide(x)).sum(-1),
    "a neuron": lambda m, x: m.last(m.lone(m.first(x).squeeze(-1)).unsqueeze(-1)),
    "a neuron as head": lambda m, x: m.lone(m.first(x).squeeze(-1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONE)
@pytest.mark.parametrize("kind", ["spike", "analog"])
@pytest.mark.parametrize("weight_bits", [None, 8])
def test_a_place_without_features_is_one_neuron(name, kind, weight_bits):
    torch.manual_seed(0)
    module = _Lone(LONE[name]).eval()
    x = torch.rand(4, 7, 6) * 2
    x = (x < 1).float() if kind == "spike" else x
    said = module(x).detach()
    logits = snncc.compile(module, x, input=kind, weight_bits=weight_bits).run(x).logits
    if weight_bits is None:
        torch.testing.assert_close(logits, said, check_dtype=False)
    assert logits.shape == said.shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", LONE)
def test_a_place_without_features_is_what_the_interpreter_says(name, dtype):
    torch.manual_seed(0)
    x = events(0.5, 4, 7, 6)
    graph = trace(_Lone(LONE[name]).eval(), x.float(), input="spike")
    network = through(graph, SelectHead(), StripAap(), DropIdentity(), Lower())
    same(network, arrange(x, graph), dtype)
