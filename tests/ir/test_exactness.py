"""Where float32 is proved to be exact, and where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.reference.fused import Simulator
from snncc.ir.exactness import heaviest, sums_are_exact
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import AdaptivePool, Conv, Dense, Pool, Ref, Reshape, Scale
from snncc.ir.shapes import output_shape
from snncc.ir.text import parse_network

RESETS = [("hard", "now"), ("soft", "now"), ("none", "now"),
          ("hard", "next"), ("soft", "next"), ("soft", "both")]  # fmt: skip


def lone(neuron=None, weight=1.0, kind="spike", map=(), **readout) -> Network:
    """A source of one neuron, a neuron and a readout."""
    places = [Source("in", (1,), kind), Population("n", (1,), neuron or Neuron()),
              Readout("out", (1,), **readout)]  # fmt: skip
    projections = [Projection("in", "n", (Dense(Ref("w")), *map)), Projection("n", "out")]
    return Network.build(places, projections, {"w": np.array([[weight]])})


def proved(network, steps=4, dtype=torch.float32, **counts) -> bool:
    return sums_are_exact(network, steps, dtype, counts)


def test_the_heaviest_target():
    tensors = {"w": np.array([[2.0, -4.0], [1.0, 3.0]]), "k": -np.ones((1, 1, 3, 3))}
    assert heaviest((Dense(Ref("w")),), (2,), tensors) == 6
    assert heaviest((Scale(-3.0),), (2,), tensors) == 3
    assert heaviest((Conv(Ref("k"), padding=(1, 1)),), (1, 2, 4), tensors) == 6
    assert heaviest((), (2,), tensors) == 1


def test_whole_numbers_grow_with_the_steps_until_no_float_holds_them():
    network = lone(Neuron(threshold=2.0), weight=float((1 << 20) - 1))
    assert proved(network, 16)
    assert not proved(network, 17)
    assert proved(network, 17, torch.float64)
    assert not proved(network, 1 << 32, torch.float64)  # too long to look at


def test_a_leak_of_a_half_needs_another_bit_at_every_step():
    network = lone(Neuron(0.5, threshold=1.0), weight=0.75)
    assert proved(network, 20)
    assert not proved(network, 30)
    assert proved(network, 30, torch.float64)
    assert not proved(lone(Neuron(0.75), weight=0.75))
    assert not proved(lone(Neuron(1.0, current_decay=0.75)))
    assert proved(lone(Neuron(1.0, current_decay=0.5)))
    assert proved(lone(Neuron(1.0, current_decay=0.5, current_initial=0.25)))
    assert not proved(lone(Neuron(1.0, current_decay=0.5, current_initial=0.1)))


@pytest.mark.parametrize("when", ["now", "next"])
def test_a_reset_that_keeps_a_part_needs_the_bits_of_the_part(when):
    def kept(keep):
        return lone(Neuron(threshold=2.0, when=when, keep=keep), weight=0.75)

    assert proved(kept(0.5), 16)
    assert not proved(kept(0.5), 30)
    assert proved(kept(0.5), 30, torch.float64)
    assert not proved(kept(0.75))
    assert proved(kept(2.0), 16)
    assert not proved(kept(2.0), 30)


@pytest.mark.parametrize("change", [
    {"threshold": 1 / 3}, {"bias": 0.1}, {"initial": 0.3}, {"threshold": 2.0**-130},
    {"bias": float("inf")},
])  # fmt: skip
def test_numbers_that_float32_does_not_hold(change):
    assert proved(lone())
    assert not proved(lone(replace(Neuron(), **change)))


@pytest.mark.parametrize("weight", [0.1, 1 + 2.0**-24, 2.0**24 + 1])
def test_weights_that_float32_does_not_hold_or_add(weight):
    assert not proved(lone(weight=weight))


def test_a_readout_is_a_sum_as_well():
    assert proved(lone(unit=0.5, bias=3.0))
    assert not proved(lone(unit=0.1))
    assert not proved(lone(unit=2.0**-24, bias=1.0))
    assert not proved(lone(bias=0.1))


def test_counts_are_as_large_as_they_are_said_to_be():
    network = lone(kind="count", weight=1.0)
    assert not proved(network)
    assert proved(network, **{"in": 255})
    assert not proved(network, **{"in": 1 << 23})


def test_late_and_soft_resets_move_a_membrane():
    heavy = Neuron(threshold=float(1 << 22), reset="soft")
    assert proved(lone(heavy))
    assert not proved(lone(replace(heavy, when="next")))
    assert not proved(lone(replace(heavy, when="both")))
    assert not proved(lone(replace(heavy, threshold=-heavy.threshold)))
    assert proved(lone(replace(heavy, reset="hard", when="next")))
    assert not proved(lone(replace(heavy, threshold=1 / 3)))


@pytest.mark.parametrize(("pool", "exact"), [
    (Pool("average", (2, 2), (2, 2)), True), (Pool("average", (3, 2), (2, 2)), False),
    (Pool("sum", (3, 2), (2, 2)), True),
    (Pool("average", (2, 2), (2, 2), (1, 1)), True),
    (Pool("average", (2, 2), (2, 2), (1, 1), count_padding=False), False),
    (Pool("average", (2, 2), (2, 2), ceil=True), False),
    (AdaptivePool((2, 2)), True), (AdaptivePool((4, 3)), False), (AdaptivePool((1, 1)), False),
])  # fmt: skip
def test_averages_divide_by_powers_of_two(pool, exact):
    source = (3, 4, 6 if pool == AdaptivePool((1, 1)) else 8)
    target = output_shape(pool, (source,), {})
    network = Network.build(
        [Source("in", source), Population("n", target, Neuron())],
        [Projection("in", "n", (pool,))], {},
    )  # fmt: skip
    assert proved(network) is exact


def test_what_a_host_says_and_whole_numbers_are_not_looked_at():
    text = """network t steps=2 {
      encoder %e [4] static
        graph g {
          %image = input{kind='analog'} : static [4] real
          head current = %image
        }
      neuron %a [4] {}
        %e -> %a
    }"""
    assert not proved(parse_network(text))
    assert not proved(parse_network("network t {\n source %x [3] spike\n neuron %a [3] "
                                    "fixed{vth=4}\n  %x -> %a > scale{factor=2.0}\n}"))  # fmt: skip


@st.composite
def networks(draw):
    """Networks with dyadic numbers of many sizes, close to what float32 holds, and others."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    bits, fine = draw(st.integers(1, 23)), draw(st.sampled_from([0, 1, 4, 12]))
    odd = draw(st.sampled_from([0.0, 0.0, 0.0, 1e-3]))

    def numbers(*shape):
        whole = rng.integers(-(1 << bits), (1 << bits) + 1, shape) * (1 + odd)
        return whole * 2.0 ** -rng.integers(0, fine + 1, shape)

    tensors = {"a": numbers(16, 2, 3, 3), "b": numbers(4, 16), "c": numbers(4, 4),
               "theta": np.abs(numbers(16, 1, 1)), "bias": numbers(16, 1, 1)}  # fmt: skip

    def neuron(threshold, bias):
        reset, when = draw(st.sampled_from(RESETS))
        decay = draw(st.sampled_from([1.0, 0.0, 0.5, 0.25]))
        return Neuron(decay, threshold, bias, 0.0, reset, draw(st.sampled_from([0.0, 0.5])), when)

    pool = draw(st.sampled_from([Pool("average", (2, 2), (2, 2)), Pool("sum", (2, 2), (2, 2)),
                                 Pool("average", (2, 1), (2, 2))]))  # fmt: skip
    places = [
        Source("in", (2, 4, 4)), Population("p", (16, 4, 4), neuron(Ref("theta"), Ref("bias"))),
        Population("q", (4,), neuron(float(1 << bits), 0.0)), Readout("out", (4,)),
    ]  # fmt: skip
    projections = [
        Projection("in", "p", (Conv(Ref("a"), padding=(1, 1)),)),
        Projection("p", "q", (pool, AdaptivePool((1, 1)), Reshape((16,)), Dense(Ref("b")))),
        Projection("q", "q", (Dense(Ref("c")),), 1),
        Projection("q", "out"),
    ]
    return Network.build(places, projections, tensors), draw(st.integers(1, 12)), rng


ACCEPTED: list[bool] = []


@settings(max_examples=60, deadline=None)
@given(networks())
def _accepted_networks_are_exact(drawn):
    network, steps, rng = drawn
    ACCEPTED.append(sums_are_exact(network, steps, torch.float32))
    if ACCEPTED[-1]:
        inputs = {"in": torch.from_numpy(rng.random((steps, 3, 2, 4, 4)) < 0.5)}
        exact, fast = Simulator(network)(inputs), Simulator(network, torch.float32)(inputs)
        for name, spikes in exact.spikes.items():
            assert torch.equal(fast.spikes[name].double(), spikes), name
        assert torch.equal(fast.outputs["out"].double(), exact.outputs["out"])


def test_what_is_accepted_is_the_same_in_float32_and_float64():
    ACCEPTED.clear()
    _accepted_networks_are_exact()
    assert 5 < sum(ACCEPTED) < len(ACCEPTED) - 5
