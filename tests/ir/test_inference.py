"""A value set holds every value that the interpreter produces, bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.inference import with_values
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import (
    AdaptivePool,
    Concat,
    Constant,
    Delay,
    Elementwise,
    Input,
    Op,
    OverTime,
    Pad,
    Pool,
    Reduce,
    Scale,
)  # fmt: skip
from snncc.ir.shapes import output_shape
from snncc.ir.values import REAL, ValueSet

T, N = 2, 30


class Chain:
    """Ops one after the other from a spike input, each with its shape."""

    def __init__(self, shape):
        self.nodes = [Node("x", Input("spike"), (), Signal(shape))]

    def then(self, op: Op, *more: str, rate="step"):
        before = self.nodes[-1]
        inputs = (before.name, *more)
        known = {node.name: node.signal.shape for node in self.nodes}
        shape = output_shape(op, [known[name] for name in inputs], {})
        self.nodes.append(Node(f"n{len(self.nodes)}", op, inputs, Signal(shape, rate)))

    @property
    def shape(self):
        return self.nodes[-1].signal.shape

    def runs(self, x) -> dict[str, tuple[ValueSet, torch.Tensor]]:
        """The value set of every node beside what it yields for the spikes ``x``."""
        graph = with_values(Graph.build(self.nodes, {}, {"head": self.nodes[-1].name}))
        values = run_graph(graph, {"x": x}, keep=list(graph.nodes))
        return {name: (node.signal.values, values[name]) for name, node in graph.nodes.items()}


def given_spikes(shape, seed):
    """Samples from silent to full."""
    generator = torch.Generator().manual_seed(seed)
    rates = torch.linspace(0, 1, N, dtype=torch.float64).reshape(N, *[1] * len(shape))
    return (torch.rand(T, N, *shape, generator=generator, dtype=torch.float64) < rates).double()


def assert_every_value_is_a_member(chain, x):
    for name, (values, found) in chain.runs(x).items():
        if values.members is not None:
            assert set(found.flatten().tolist()) <= set(values.members), (name, chain.nodes)


def windows(draw, rank):
    kernel = tuple(draw(st.integers(1, 5)) for _ in range(rank))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return kernel, stride, padding


def reductions(draw, shape) -> Op:
    """A pool or a reduction of features of ``shape``, channels first."""
    rank = len(shape) - 1
    kind = draw(st.sampled_from(["average", "sum", "max", "adaptive", "reduce"]))
    if kind == "adaptive":
        size = tuple(draw(st.integers(1, n)) for n in shape[1:])
        return AdaptivePool(size, draw(st.sampled_from(["average", "sum", "max"])))
    if kind == "reduce":
        axes = tuple(axis for axis in range(rank + 1) if draw(st.booleans())) or (rank,)
        return Reduce(draw(st.sampled_from(["mean", "sum"])), axes, True)
    kernel, stride, padding = windows(draw, rank)
    assume(all(n >= k for n, k in zip(shape[1:], kernel, strict=True)))
    return Pool(
        kind, kernel, stride, padding, (1,) * rank, draw(st.booleans()), draw(st.booleans())
    )


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data(), rank=st.integers(1, 3), seed=st.integers(0, 99))
def test_pools_and_reductions_of_spikes_and_counts(data, rank, seed):
    draw = data.draw
    chain = Chain((draw(st.integers(1, 3)), *(draw(st.integers(1, 9)) for _ in range(rank))))
    x = given_spikes(chain.shape, seed)
    if draw(st.booleans()):
        chain.then(Elementwise("add"), "x")
    for _ in range(draw(st.integers(1, 2))):
        chain.then(reductions(draw, chain.shape))
    if draw(st.booleans()):
        chain.then(Scale(draw(st.sampled_from([0.1, 1 / 3, -7.0]))))
    if draw(st.booleans()):
        chain.then(OverTime(draw(st.sampled_from(["mean", "sum", "last", "max"]))), rate="final")
    assert_every_value_is_a_member(chain, x)


@pytest.mark.parametrize(
    ("size", "after", "members"),
    [
        ((3, 10), (1, 2), {k / 3 / 5 for k in range(16)}),
        ((5, 6), (1, 2), {k / 5 / 3 for k in range(16)}),
        ((3, 5), (1, 1), {k / 15 for k in range(16)}),
        ((10,), (2,), {k / 5 for k in range(6)}),
        ((3, 14), (1, 3), {k / 3 / 5 for k in range(16)} | {k / 3 / 6 for k in range(19)}),
        ((3, 5, 6), (1, 1, 2), {k / 3 / 5 / 3 for k in range(46)}),
        ((3, 5, 3), (1, 1, 1), {k / 45 for k in range(46)}),
    ],
)
def test_an_adaptive_pool_divides_by_one_side_after_the_other(size, after, members):
    """Unless it pools to a single position, which is a mean."""
    chain = Chain((1, *size))
    chain.then(AdaptivePool(after))
    values, found = chain.runs(given_spikes((1, *size), 0))["n1"]
    assert set(values.members) == members
    assert len(set(found.flatten().tolist())) > len(members) // 2
    assert set(found.flatten().tolist()) <= members


def test_some_floats_of_a_window_by_sides_are_no_sum_over_its_size():
    assert 5 / 3 / 5 != 5 / 15
    x = torch.zeros(1, 1, 3, 10, dtype=torch.float64)
    x[..., :2, :2], x[..., 2, 0] = 1, 1
    pooled = torch.nn.functional.adaptive_avg_pool2d(x, (1, 2))
    assert float(pooled[0, 0, 0, 0]) == 5 / 3 / 5


@pytest.mark.parametrize(
    ("counting", "ceil", "members"),
    [
        # windows of 2 by 2 with a border: a corner, an edge and the middle have 1, 2 and 4 inside
        (True, False, {0, 1 / 4, 2 / 4, 3 / 4, 1}),
        (False, False, {0, 1 / 2, 1 / 4, 3 / 4, 1}),
        # windows of 3 in a line of 4, the second of which hangs over by 2
        (True, True, {0, 1 / 3, 2 / 3, 1}),
    ],
)
def test_an_average_pool_divides_by_the_window_that_torch_counts(counting, ceil, members):
    if ceil:
        chain = Chain((1, 4))
        chain.then(Pool("average", (3,), (3,), (0,), (1,), True, counting))
    else:
        chain = Chain((1, 4, 4))
        chain.then(Pool("average", (2, 2), (2, 2), (1, 1), (1, 1), False, counting))
    values, found = chain.runs(given_spikes(chain.nodes[0].signal.shape, 1))["n1"]
    assert set(values.members) == members
    assert set(found.flatten().tolist()) == members


def test_a_max_pool_with_a_window_of_padding_alone_may_yield_anything():
    chain = Chain((1, 3, 3))
    chain.then(Pool("max", (2, 2), (2, 2), (1, 1), (4, 4)))
    values, found = chain.runs(given_spikes((1, 3, 3), 0))["n1"]
    assert torch.isinf(found).any()
    assert values == REAL


def test_zeros_around_and_before_are_members():
    chain = Chain((1, 3))
    chain.nodes.append(Node("one", Constant(1.0), (), Signal((), "static")))
    chain.nodes.append(Node("two", Elementwise("add"), ("x", "one"), Signal((1, 3))))
    chain.then(Pad(((0, 0), (1, 1))))
    chain.then(Delay(5.0))
    chain.then(Concat(1), "x")
    runs = chain.runs(given_spikes((1, 3), 0))
    assert [runs[name][0].members for name in ("two", "n3", "n4", "n5")] == [
        (1, 2), (0, 1, 2), (0, 1, 2, 5), (0, 1, 2, 5)
    ]  # fmt: skip
    for values, found in runs.values():
        assert set(found.flatten().tolist()) <= set(values.members)
