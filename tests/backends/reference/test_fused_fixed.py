"""The fast simulator in whole numbers against the interpreter: every spike, sum and overflow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from drawn import drawn, generated
from hypothesis import given, settings
from hypothesis import strategies as st
from trained import NAMES, example

from snncc.backends.reference import fused, joined, simulate
from snncc.backends.reference.fused import Simulator
from snncc.backends.reference.membranes import narrow_enough
from snncc.ir.interpreter import run_network
from snncc.ir.network import Network, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Ref, Reshape, Scale, Sparse
from snncc.ir.registers import MEMBRANE_LIMIT, FixedNeuron

KINDS = [("hard", "now"), ("soft", "now"), ("none", "now"),
         ("hard", "next"), ("soft", "next"), ("soft", "both")]  # fmt: skip


def same(network, inputs, **options):
    """The interpreter's run, which the simulator's is equal to, bit for bit."""
    slow = run_network(network, inputs)
    fast = Simulator(network, **options)(inputs)
    equal(fast, slow)
    for name, spikes in slow.spikes.items():
        assert torch.equal(fast.sent[name], spikes.sum((0, 1)).long()), name
    return slow


def equal(fast, slow):
    for what in ("spikes", "outputs", "logits"):
        mine, theirs = getattr(fast, what), getattr(slow, what)
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), (what, name)
    assert dict(fast.wraps) == dict(slow.wraps)
    assert dict(fast.saturations) == dict(slow.saturations)


def registers(rng, shape, extreme: bool):
    """Numbers from all over the registers, the ends often, or such as make all sums small."""

    def choose(*groups):
        return np.choose(rng.integers(len(groups), size=shape), groups)

    def between(low, high):
        return rng.integers(low, high, shape, endpoint=True)

    same = np.full(shape, 0)
    if not extreme:
        return {"vth": between(1, 900), "du": choose(same + 4095, between(0, 4095)),
                "dv": choose(same, same + 4096, between(0, 4095)), "initial": between(-90, 9000),
                "bias_mant": between(-400, 800), "bias_exp": between(0, 4)}  # fmt: skip
    return {
        "vth": choose(between(0, 300), between(0, 131071), same + 131071, between(1, 20)),
        "du": choose(same + 4095, same, between(0, 4095)),
        "dv": choose(same, same + 4095, same + 4096, between(0, 4095)),
        "initial": choose(same, same + MEMBRANE_LIMIT, same - MEMBRANE_LIMIT),
        "bias_mant": choose(same, between(-4096, 4095), same - 4096, same + 4095),
        "bias_exp": between(0, 7),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("reset", "when"), KINDS)
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("per", ["layer", "channel", "neuron"])
def test_the_recurrence_is_the_interpreters_bit_for_bit(reset, when, extreme, per):
    rng = np.random.default_rng(KINDS.index((reset, when)))
    shape = (3, 20, 30)
    seen = 0
    for leaks, has_current, into in product((0, 1), (0, 1), ("membrane", "current")):
        size = {"layer": (), "channel": (3, 1, 1), "neuron": shape}[per]
        tensors = registers(rng, size, extreme)
        numbers = {name: Ref(name) for name in tensors}
        numbers |= {} if leaks else {"dv": 0}
        numbers |= {} if has_current else {"du": 4095}
        neuron = FixedNeuron(**numbers, reset=reset, when=when, bias_into=into)
        network = Network.build(
            [Source("in", shape, "count"), Population("p", shape, neuron), Readout("out", shape)],
            [Projection("in", "p", (Scale(2.0),)), Projection("p", "out", (Scale(2.0),))], tensors,
        )  # fmt: skip
        scale = np.array([8, 300, 5_000, 130_000, 1 << 25, (1 << 31) - 1] if extreme else [3, 900])
        x = (
            rng.integers(-8, 9, (9, 2, *shape))
            * scale[rng.integers(len(scale), size=(9, 2, *shape))]
        )
        slow = same(network, {"in": torch.from_numpy(x // 8)})
        seen += slow.wraps["p"] > 0 and slow.saturations["p"] > 0
        assert narrow_enough(2 * np.abs(x // 8).max()) is not extreme
    assert bool(seen) is extreme


def layers(rng, kind: str) -> Network:
    """A conv, grouped conv, dense and sparse map, with delays and a loop."""

    def even(*shape):
        return (2 * rng.integers(-127, 128, shape)).astype(np.int16)

    matrix = even(48, 288) * (rng.random((48, 288)) < 0.3)
    rows, columns = matrix.nonzero()
    tensors = {
        "a": even(32, 2, 3, 3), "b": even(8, 32, 3, 3), "g": even(8, 16, 3, 3),
        "w": matrix[rows, columns], "i": columns, "p": np.searchsorted(rows, np.arange(49)),
        "d": even(20, 48), "r": even(20, 20), "o": even(5, 20),
        "theta": rng.integers(1, 900, (8, 1, 1)),
    }  # fmt: skip
    places = [
        Source("in", (2, 6, 6), kind), Population("a", (32, 6, 6), FixedNeuron(300, dv=100)),
        Population("b", (8, 6, 6), FixedNeuron(Ref("theta"), du=2000, reset="soft")),
        Population("c", (3, 4, 4), FixedNeuron(200, bias_mant=70, bias_exp=3)),
        Population("loop", (20,), FixedNeuron(700, dv=300)), Readout("out", (5,), 0.5, unit=0.37),
    ]  # fmt: skip
    at = {"padding": (1, 1)}
    projections = [
        Projection("in", "a", (Conv(Ref("a"), **at),)),
        Projection("in", "a", (Conv(Ref("a"), **at),), 2),
        Projection("a", "b", (Conv(Ref("b"), **at),)),
        Projection("a", "b", (Conv(Ref("g"), groups=2, **at),), 1),
        Projection("b", "c", (Sparse(Ref("w"), Ref("i"), Ref("p"), (3, 4, 4)),)),
        Projection("c", "loop", (Reshape((48,)), Dense(Ref("d")))),
        Projection("loop", "loop", (Dense(Ref("r")),), 1),
        Projection("loop", "out", (Dense(Ref("o")),)),
    ]
    return Network.build(places, projections, tensors)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.sampled_from([0, 1, 255, 3_000, 40_000, 1 << 25]))
def test_layers_are_the_interpreters_whatever_their_sums(seed, most):
    """40,000 a synapse leaves 24 bits, 2²⁵ does not fit float32."""
    rng = np.random.default_rng(seed)
    network = layers(rng, "count" if most > 1 else "spike")
    x = rng.integers(0, most, (6, 3, 2, 6, 6), endpoint=True) * (rng.random((6, 3, 2, 6, 6)) < 0.4)
    slow = same(network, {"in": torch.from_numpy(x)})
    assert not most or slow.spikes["a"].any()
    assert most > 1 or not slow.wraps["a"]
    assert most < 40_000 or slow.wraps["a"]


def test_chunks_threads_and_small_spikes_change_nothing(monkeypatch):
    monkeypatch.setattr(fused, "TILE", 3 * 6 * 32 * 36 * 4)
    rng = np.random.default_rng(0)
    network = layers(rng, "count")
    x = {"in": torch.from_numpy(rng.integers(0, 40_000, (6, 20, 2, 6, 6)))}
    slow = run_network(network, x)
    assert slow.wraps["a"]
    simulator = Simulator(network)
    assert simulator.tile(6) == 3
    for size, threads in product((1, 7, 64), (1, 2)):
        parts = [run for _, run in simulate(
            network, x, simulator=simulator, size=size, threads=threads)]  # fmt: skip
        assert len(parts) == {1: 7, 7: 3, 64: 1}[size]
        equal(joined(network, parts), slow)
    small = Simulator(network, keep=["in", "b"], spikes=torch.uint8)(x)
    assert small.spikes["b"].dtype == torch.uint8
    assert torch.equal(small.spikes["in"], slow.spikes["in"])
    assert torch.equal(small.spikes["b"].double(), slow.spikes["b"])


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow)
                                        for n in range(10, 100, 10))])  # fmt: skip
def test_drawn_networks_run_the_same(first):
    fired = 0
    for seed in range(first, first + 10):
        network, inputs, _ = drawn(seed)
        slow = same(network, inputs)
        fired += sum(int(spikes.sum()) for spikes in slow.spikes.values())
    assert fired > 1000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_generated_modules_run_the_same(seed):
    network, inputs = generated(seed)
    same(network, inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_examples_run_the_same(name):
    of = example(name)
    program = of.compile(weight_bits=8, calibration=of.calibration, verify=False)
    slow = same(program.network, program.arrange(of.inputs))
    assert all(spikes.any() for spikes in slow.spikes.values())
    own = program.run(of.inputs, keep=())
    (logits,) = slow.logits.values()
    assert torch.equal(own.logits, logits)
