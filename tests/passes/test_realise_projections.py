"""realise-projections, rule by rule, then on random chains."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import Population, Projection, Ref, Source
from snncc.ir.interpreter import TensorStore, project, run_network
from snncc.ir.network import Network, Neuron, Readout
from snncc.ir.ops import (
    AdaptivePool,
    Conv,
    Dense,
    Pad,
    Permute,
    Pool,
    Reduce,
    Reshape,
    Scale,
    Slice,
    Sparse,
    Upsample,
)  # fmt: skip
from snncc.ir.shapes import output_shape
from snncc.ir.text import parse_network, print_network
from snncc.passes.realise_projections import RealiseProjections

NUMBERS = np.random.default_rng(0)


def normal(*shape):
    return NUMBERS.standard_normal(shape)


def realised(chain, shape, tensors, **options):
    """The map a lone projection ends with, after checking that it yields the same numbers."""
    after = shape
    for op in chain:
        after = output_shape(op, (after,), tensors)
    network = Network.build(
        [Source("x", shape), Readout("y", after)], [Projection("x", "y", tuple(chain))], tensors
    )
    outcome = RealiseProjections(**options)(network)
    assert outcome.ok, outcome.findings
    done = outcome.form
    assert print_network(parse_network(print_network(done), done.tensors)) == print_network(done)
    spikes = torch.from_numpy(NUMBERS.random((2, 3, *shape)) < 0.5).double()
    before, then = (
        project(n.projections[0], spikes, TensorStore(n.tensors, torch.float64))
        for n in (network, done)
    )
    torch.testing.assert_close(then, before, rtol=0, atol=1e-10)
    return done.projections[0].map, done.tensors


def kinds(chain):
    return [type(op).__name__ for op in chain]


# rule 1


@pytest.mark.parametrize("factor", [-2.0, Ref("f")])
@pytest.mark.parametrize("groups", [1, 2])
def test_1_a_scale_goes_into_the_conv_beside_it(factor, groups):
    conv = Conv(Ref("w"), padding=(1, 1), groups=groups)
    tensors = {"w": normal(4, 4 // groups, 3, 3), "f": normal(4, 1, 1)}
    for chain in ([Scale(factor), conv], [conv, Scale(factor)], [Scale(3.0), conv, Scale(factor)]):
        (one,), _ = realised(chain, (4, 5, 5), tensors)
        assert isinstance(one, Conv)


@pytest.mark.parametrize("factor", [0.5, Ref("inside")])
def test_1_a_scale_goes_into_the_dense_beside_it(factor):
    tensors = {"w": normal(3, 6), "inside": normal(6), "outside": normal(3)}
    chain = [Scale(factor), Dense(Ref("w")), Scale(Ref("outside"))]
    assert kinds(realised(chain, (6,), tensors)[0]) == ["Dense"]
    assert kinds(realised(chain, (2, 6), tensors)[0]) == ["Dense"]


def test_1_a_scale_passes_the_reshape_before_a_dense():
    tensors = {"w": normal(3, 16), "f": normal(4, 1, 1)}
    chain = [Scale(Ref("f")), Reshape((16,)), Dense(Ref("w"))]
    assert kinds(realised(chain, (4, 2, 2), tensors)[0]) == ["Reshape", "Dense"]


def test_1_a_lone_scale_stays_and_two_become_one():
    tensors = {"f": normal(4, 1, 1), "g": normal(4, 2, 2)}
    assert realised([Scale(Ref("f"))], (4, 2, 2), tensors)[0] == (Scale(Ref("f")),)
    assert realised([Scale(-2.0), Scale(0.5)], (4, 2, 2), tensors)[0] == (Scale(-1.0),)
    assert kinds(realised([Scale(Ref("f")), Scale(Ref("g"))], (4, 2, 2), tensors)[0]) == ["Scale"]


def test_1_a_scale_that_differs_by_position_is_no_weight_of_a_conv():
    tensors = {"w": normal(2, 2, 3, 3), "f": normal(2, 5, 5)}
    chain = [Scale(Ref("f")), Conv(Ref("w"), padding=(1, 1))]
    assert kinds(realised(chain, (2, 5, 5), tensors)[0]) == ["Sparse"]


# rule 2


@pytest.mark.parametrize(
    "pool",
    [
        Pool("average", (2, 2), (2, 2)),
        Pool("sum", (3, 2), (1, 2)),
        Pool("average", (3, 3), (2, 2), (1, 1)),
        Pool("sum", (3, 3), (2, 2), (1, 1), count_padding=False),
        Pool("average", (2, 2), (2, 2), ceil=True),
        AdaptivePool((3, 2)),
    ],
)
def test_2_an_even_pool_is_a_depthwise_conv(pool):
    (conv,), tensors = realised([pool], (3, 6, 8), {})
    assert isinstance(conv, Conv)
    assert conv.groups == 3
    assert tensors[conv.weight].shape[:2] == (3, 1)


@pytest.mark.parametrize(
    "pool",
    [
        Pool("average", (3, 3), (2, 2), (1, 1), count_padding=False),
        Pool("average", (2, 2), (2, 2), ceil=True),
        AdaptivePool((2, 2)),
    ],
)
def test_2_an_uneven_pool_is_not(pool):
    assert kinds(realised([pool], (3, 5, 7), {})[0]) == ["Sparse"]


# rule 3


@pytest.mark.parametrize(
    ("head", "features"),
    [
        ([AdaptivePool((1, 1)), Reshape((4,))], 4),
        ([Reduce("mean", (1, 2))], 4),
        ([AdaptivePool((2, 3)), Reshape((24,))], 24),
        ([Conv(Ref("c")), Pool("average", (2, 2), (2, 2)), Reshape((4,))], 4),
    ],
)
def test_3_pool_and_classifier_are_one_dense(head, features):
    tensors = {"c": normal(4, 4, 2, 2), "w": normal(10, features)}
    chain, made = realised([*head, Dense(Ref("w"))], (4, 3, 3), tensors)
    assert kinds(chain) == ["Reshape", "Dense"]
    assert made[chain[1].weight].shape == (10, 36)


def test_3_from_a_flat_source_no_reshape_is_needed():
    tensors = {"a": normal(5, 6), "b": normal(3, 5)}
    chain, made = realised([Dense(Ref("a")), Dense(Ref("b"))], (6,), tensors)
    assert kinds(chain) == ["Dense"]
    np.testing.assert_allclose(made[chain[0].weight], tensors["b"] @ tensors["a"])


def test_a_flattened_source_of_a_dense_keeps_its_weight():
    tensors = {"w": normal(3, 16)}
    chain = (Reshape((16,)), Dense(Ref("w")))
    assert realised(chain, (4, 2, 2), tensors, limit=1)[0] == chain


# rule 4


def test_4_conv_and_pool_are_one_strided_conv():
    tensors = {"w": normal(4, 2, 3, 3)}
    chain = [Conv(Ref("w"), padding=(1, 1)), Pool("average", (2, 2), (2, 2))]
    (conv,), made = realised(chain, (2, 7, 6), tensors)
    assert (conv.stride, conv.padding, made[conv.weight].shape) == ((2, 2), (1, 1), (4, 2, 4, 4))


def test_4_padding_between_is_fine_where_the_first_would_see_only_zeros():
    tensors = {"w": normal(4, 2, 3, 3)}
    chain = [Pool("average", (2, 2), (2, 2)), Conv(Ref("w"), padding=(1, 1))]
    (conv,), made = realised(chain, (2, 8, 6), tensors)
    assert (conv.stride, conv.padding, made[conv.weight].shape) == ((2, 2), (2, 2), (4, 2, 6, 6))


@pytest.mark.parametrize(
    ("chain", "shape"),
    [
        ([Pool("average", (2, 2), (2, 2)), Conv(Ref("w"), padding=(1, 1))], (2, 7, 6)),
        ([Pool("average", (3, 3), (2, 2)), Conv(Ref("w"), padding=(1, 1))], (2, 7, 7)),
        ([Conv(Ref("w"), padding=(1, 1)), Pool("average", (3, 3), (1, 1), (1, 1))], (2, 5, 5)),
        ([Conv(Ref("w"), dilation=(2, 2)), Pool("average", (2, 2), (2, 2))], (2, 8, 8)),
    ],
)
def test_4_a_padded_conv_of_a_conv_is_no_conv(chain, shape):
    assert kinds(realised(chain, shape, {"w": normal(2, 2, 3, 3)})[0]) == ["Sparse"]


@pytest.mark.parametrize("groups", [(1, 2), (2, 4), (4, 4), (4, 1), (2, 2)])
def test_4_groups_stay_as_far_as_they_agree(groups):
    first, second = groups
    tensors = {"a": normal(8, 4 // first, 3, 3), "b": normal(4, 8 // second, 2, 2)}
    chain = [Conv(Ref("a"), None, (2, 1), (1, 1), (1, 1), first),
             Conv(Ref("b"), None, (1, 2), (0, 0), (1, 1), second)]  # fmt: skip
    (conv,), _ = realised(chain, (4, 7, 8), tensors)
    assert conv.groups == math.gcd(first, second)


def test_4_zeros_around_become_padding():
    tensors = {"w": normal(4, 2, 3, 3)}
    conv = Conv(Ref("w"), padding=(0, 1))
    pad = Pad(((0, 0), (2, 2), (1, 1)))
    assert realised([pad, conv], (2, 5, 5), tensors)[0] == (Conv(Ref("w"), padding=(2, 2)),)
    lopsided = Pad(((0, 0), (2, 1), (1, 1)))
    assert kinds(realised([lopsided, conv], (2, 5, 5), tensors)[0]) == ["Sparse"]


# rule 5


@pytest.mark.parametrize(
    "chain",
    [
        [Slice(1, 0, 6, 2), Slice(2, 0, 6, 2), Pad(((1, 1), (0, 0), (0, 0)))],
        [Permute((2, 0, 1))],
        [Upsample((2, 2)), Conv(Ref("w"), padding=(1, 1))],
        [Reshape((24, 3))],
        [Conv(Ref("w"), padding=(1, 1)), Conv(Ref("w"), padding=(1, 1))],
    ],
)
def test_5_all_else_is_sparse(chain):
    assert kinds(realised(chain, (2, 6, 6), {"w": normal(2, 2, 3, 3)})[0]) == ["Sparse"]


def test_5_a_map_above_the_limit_is_refused_with_its_place_and_size():
    text = """
    network n steps=1 {
      source %in [2,6,6] spike
      neuron %small [2,6,6] {}
        %in -> %small > permute{axes=(0, 2, 1)}
      neuron %large [2,12,12] {}  # net.large|net.py|7
        %in -> %large > upsample{factors=(2, 2)} > conv{weight=@w, padding=(1, 1)}
      neuron %wide [2,6,12] {}
        %in -> %wide > upsample{factors=(2, 2)} > slice{axis=1, start=0, stop=6}
      tensor @w float64 [2,2,3,3]
    }"""
    network = parse_network(text, {"w": normal(2, 2, 3, 3)})
    outcome = RealiseProjections(limit=200)(network)
    assert not outcome.ok
    assert outcome.form is network
    assert [f.code for f in outcome.findings] == ["SNN203", "SNN203"]
    assert "in -> large needs 4,624 synapses" in outcome.findings[0].message
    assert "the limit of 200" in outcome.findings[0].message
    assert str(outcome.findings[0].location) == "net.large (net.py:7)"
    assert RealiseProjections(limit=4624)(network).ok


# rule 6


def test_6_what_does_nothing_goes():
    idle = [
        Reshape((2, 4, 4)), Scale(1.0), Pad(((0, 0),) * 3), Slice(1, 0, 4), Upsample((1, 1)),
        Pool("average", (1, 1), (1, 1)), AdaptivePool((4, 4)),
    ]  # fmt: skip
    assert realised(idle, (2, 4, 4), {})[0] == ()
    assert realised([Scale(-1.0)], (2, 4, 4), {})[0] == (Scale(-1.0),)


# sharing, encoders, report

SHARED = """
network n steps=1 {
  source %in [2,4,4] spike
  neuron %a [2,4,4] {}
    %in -> %a > conv{weight=@w, padding=(1, 1)}
  neuron %b [2,4,4] {}
    %in -> %b > conv{weight=@w, padding=(1, 1)} > scale{factor=@sign}
    %a -> %b > conv{weight=@w, padding=(1, 1)} > scale{factor=@sign} after 1
  readout %out [2,2,2] {}
    %b -> %out > pool{kind='average', kernel=(2, 2), stride=(2, 2)}
  tensor @w float64 [2,2,3,3]
  tensor @sign float64 [2,1,1] = [[[1.0]], [[-1.0]]]
}
"""


def test_shared_weights_stay_shared():
    network = RealiseProjections()(parse_network(SHARED, {"w": normal(2, 2, 3, 3)})).form
    first, second, third, _ = (p.map for p in network.projections)
    assert first == (Conv(Ref("w"), padding=(1, 1)),)
    assert second == third != first
    assert [p.delay for p in network.projections] == [0, 0, 1, 0]
    assert set(network.tensors) == {"w", "b.from.in.weight", "out.from.b.weight"}


def test_the_report_counts_synapses():
    outcome = RealiseProjections()(parse_network(SHARED, {"w": normal(2, 2, 3, 3)}))
    rows = [tuple(vars(row).values()) for row in outcome.report.projections]
    conv = 4 * 10 * 10  # pairs of channels × positions a 3×3 window sees on a 4×4 map
    assert rows == [
        ("in", "a", conv, conv, "conv"),
        ("in", "b", conv, conv, "conv"),
        ("a", "b", conv, conv, "conv"),
        ("b", "out", 32, 32, "conv"),
    ]


def test_a_realised_network_is_left_as_it_is():
    once = RealiseProjections()(parse_network(SHARED, {"w": normal(2, 2, 3, 3)})).form
    assert RealiseProjections()(once).form == once


# whole networks

SIZES = st.integers(2, 6)


@st.composite
def chains(draw):
    """A shape of three axes, up to four maps from it and their tensors."""
    shape = here = draw(st.tuples(st.sampled_from([2, 4]), SIZES, SIZES))
    chain, tensors = [], {}

    def tensor(*sizes):
        name = f"t{len(tensors)}"
        tensors[name] = normal(*sizes)
        return Ref(name)

    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["conv", "pool", "scale", "pad", "slice", "upsample", "flip"]))
        if kind == "conv":
            groups = draw(st.sampled_from([1, 2]))
            kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
            padding = draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
            stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
            out = draw(st.sampled_from([2, 4]))
            op = Conv(
                tensor(out, here[0] // groups, *kernel), None, stride, padding, (1, 1), groups
            )
        elif kind == "pool":
            op = Pool(draw(st.sampled_from(["average", "sum"])), (2, 2), (2, 2),
                      padding=draw(st.sampled_from([(0, 0), (1, 1)])),
                      count_padding=draw(st.booleans()))  # fmt: skip
        elif kind == "scale":
            full = tensor(here[0], *draw(st.sampled_from([(1, 1), here[1:]])))
            op = Scale(draw(st.sampled_from([-1.0, full])))
        elif kind == "pad":
            op = Pad(((0, 0), *draw(st.tuples(*[st.sampled_from([(1, 1), (0, 1)])] * 2))))
        elif kind == "slice":
            axis = draw(st.integers(1, 2))
            op = Slice(axis, 0, min(2, here[axis]))
        elif kind == "upsample":
            op = Upsample((2, 1))
        else:
            op = Permute((0, 2, 1))
        after = output_shape(op, (here,), tensors)
        if min(after) > 0 and math.prod(after) < 800:
            chain.append(op)
            here = after
    return tuple(chain), shape, tensors


@pytest.mark.slow
@settings(max_examples=150)
@given(chains())
def test_any_chain_becomes_one_op_with_the_same_sums(drawn):
    chain, shape, tensors = drawn
    found, _ = realised(chain, shape, tensors)
    assert len(found) <= 1


@pytest.mark.slow
@settings(max_examples=30)
@given(chains(), chains(), st.integers(1, 4))
def test_spikes_are_preserved(one, two, steps):
    tensors, places, projections = {}, [], []
    for name, (chain, shape, found) in {"a": one, "b": two}.items():
        after = shape
        for op in chain:
            after = output_shape(op, (after,), found)
        here = {ref: Ref(f"{name}.{ref}") for ref in found}
        tensors |= {here[ref]: tensor for ref, tensor in found.items()}
        renamed = with_names(chain, here)
        places += [Source(name, shape), Population(f"{name}.n", after, Neuron(0.5, 0.3)),
                   Population(f"{name}.m", (3,), Neuron(1.0, 0.7, 0.1)),
                   Readout(f"{name}.y", (3,))]  # fmt: skip
        tensors[f"{name}.fc"] = normal(3, math.prod(after))
        projections += [
            Projection(name, f"{name}.n", renamed),
            Projection(f"{name}.n", f"{name}.m",
                       (Scale(-0.5), Reshape((math.prod(after),)), Dense(Ref(f"{name}.fc")))),
            Projection(f"{name}.m", f"{name}.y"),
        ]  # fmt: skip
    network = Network.build(places, projections, tensors)
    inputs = {
        s.name: torch.from_numpy(NUMBERS.random((steps, 2, *s.shape)) < 0.5)
        for s in network.sources
    }
    done = RealiseProjections()(network).form
    before, after = run_network(network, inputs), run_network(done, inputs)
    for population in network.populations:
        assert torch.equal(before.spikes[population.name], after.spikes[population.name])


def with_names(chain, names):
    """``chain`` with its tensors renamed."""
    return tuple(
        replace(op, **{
            f.name: names[getattr(op, f.name)]
            for f in fields(op)
            if isinstance(getattr(op, f.name), Ref)
        })
        for op in chain
    )  # fmt: skip


def test_a_sparse_map_may_be_empty():
    tensors = {"w": np.zeros((2, 2, 3, 3))}
    chain, made = realised([Upsample((2, 2)), Conv(Ref("w"))], (2, 3, 3), tensors)
    assert isinstance(chain[0], Sparse)
    assert made[chain[0].data].size == 0
