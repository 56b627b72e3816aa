"""Fan-out by structure against the same count made by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.ops import (
    AdaptivePool,
    Broadcast,
    Conv,
    ConvTranspose,
    Dense,
    Op,
    Pad,
    Permute,
    Pool,
    Reduce,
    Ref,
    Reshape,
    Scale,
    Slice,
    Sparse,
    Upsample,
)  # fmt: skip
from snncc.ir.shapes import output_shape
from snncc.ir.synapses import fan_out, reach, synapses


def by_brute_force(chain, shape, tensors):
    return connections(chain, shape, tensors).sum(1).reshape(shape)


def connections(chain, shape, tensors):
    """(sources, targets): one spike at a time through positive weights, so that nothing cancels."""
    size = math.prod(shape)
    store = TensorStore(tensors, torch.float64)
    y = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    for op in chain:
        y = apply(op, [y], store)
    return (y.reshape(size, -1) > 0).numpy()


class Chains:
    """Random chains over (channels, height, width), each op made to fit the one before."""

    def __init__(self, draw):
        self.draw, self.tensors = draw, {}

    def weight(self, *shape):
        name = Ref(f"w{len(self.tensors)}")
        self.tensors[name] = np.ones(shape)
        return name

    def op(self, shape) -> Op | None:
        draw = self.draw
        small = st.integers(1, 3)
        kind = draw(st.sampled_from(
            ["conv", "depthwise", "up", "up by groups", "pool", "or", "adaptive", "dense",
             "reshape", "permute", "pad",
             "slice", "upsample", "reduce", "broadcast", "scale", "sparse"]
        ))  # fmt: skip
        match kind:
            case "conv" | "depthwise" if len(shape) == 3:
                k, s, p = (draw(small) for _ in range(3))
                p -= 1
                if min(shape[1:]) + 2 * p < k:
                    return None
                if kind == "conv":
                    weight, groups = self.weight(draw(small), shape[0], k, k), 1
                else:
                    weight, groups = self.weight(2 * shape[0], 1, k, k), shape[0]
                return Conv(weight, None, (s, s), (p, p), (1, 1), groups)
            case "up" | "up by groups" if len(shape) == 3:
                k, s, d = (draw(small) for _ in range(3))
                groups = shape[0] if kind == "up by groups" else 1
                weight = self.weight(shape[0], draw(small), k, k)
                return ConvTranspose(weight, None, (s, s), (0, 0), (s - 1, 0), (d, 1), groups)
            case "or" if len(shape) == 3 and min(shape[1:]) >= 3:
                s, ceil = draw(small), draw(st.booleans())
                return Pool("sum", (2, 3), (s, 1), (1, 1), (2, 1), ceil)
            case "pool" if len(shape) == 3 and min(shape[1:]) >= 2:
                s, ceil = draw(small), draw(st.booleans())
                return Pool("average", (2, 2), (s, s), (draw(st.integers(0, 1)),) * 2, ceil=ceil)
            case "adaptive" if len(shape) == 3:
                return AdaptivePool((draw(small), draw(small)))
            case "dense":
                return Dense(self.weight(draw(small), shape[-1]))
            case "reshape":
                size = math.prod(shape)
                first = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
                return Reshape(draw(st.sampled_from([(size,), (first, size // first)])))
            case "permute":
                return Permute(tuple(draw(st.permutations(range(len(shape))))))
            case "pad":
                return Pad(tuple((draw(st.integers(0, 2)), 1) for _ in shape))
            case "slice":
                axis = draw(st.integers(0, len(shape) - 1))
                start = draw(st.integers(0, shape[axis] - 1))
                return Slice(axis, start, shape[axis], draw(small))
            case "upsample" if len(shape) == 3:
                return Upsample((draw(small), 2))
            case "reduce" if len(shape) > 1:
                axes = draw(st.sampled_from([(0,), (len(shape) - 1,), tuple(range(1, len(shape)))]))
                return Reduce("sum", axes, draw(st.booleans()))
            case "broadcast":
                return Broadcast(tuple(2 if n == 1 else n for n in shape))
            case "scale":
                return Scale(self.weight(shape[0], *[1] * (len(shape) - 1)))
            case "sparse":
                size = math.prod(shape)
                matrix = np.array(draw(st.lists(
                    st.lists(st.booleans(), min_size=size, max_size=size), min_size=3, max_size=3
                )))  # fmt: skip
                names = [Ref(f"s{len(self.tensors)}.{part}") for part in range(3)]
                self.tensors[names[0]] = np.ones(int(matrix.sum()))
                self.tensors[names[1]] = np.nonzero(matrix)[1]
                self.tensors[names[2]] = np.concatenate([[0], matrix.sum(1).cumsum()])
                return Sparse(*names, (3,))
        return None


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_chain_counts_as_by_brute_force(data):
    chains = Chains(data.draw)
    shape = now = tuple(data.draw(st.integers(1, 4)) for _ in range(3))
    chain = []
    for _ in range(data.draw(st.integers(0, 5))):
        op = chains.op(now)
        if op is None:
            continue
        after = output_shape(op, (now,), chains.tensors)
        if 0 < math.prod(after) <= 500:
            chain.append(op)
            now = after
    expected = by_brute_force(chain, shape, chains.tensors)
    np.testing.assert_array_equal(fan_out(chain, shape, chains.tensors), expected)
    explicit = connections(chain, shape, chains.tensors)
    found = reach(chain, shape, chains.tensors)
    by_class = found.between.toarray()[np.ix_(found.targets, found.sources)].T
    np.testing.assert_array_equal(by_class, explicit)
    parts = np.arange(explicit.shape[1]) % 3
    by_part = np.stack([explicit[:, parts == part].sum(1) for part in range(3)], 1)
    np.testing.assert_array_equal(found.per_part(parts, 3).toarray()[found.sources], by_part)


def test_the_channels_of_a_convolution_are_of_one_class():
    tensors = {"w": np.zeros((32, 16, 3, 3))}
    found = reach((Conv(Ref("w"), padding=(1, 1)),), (16, 8, 8), tensors)
    assert found.between.shape == (64, 64)
    assert found.sources.reshape(16, 64).tolist() == [list(range(64))] * 16


def test_a_convolution_has_fewer_synapses_at_the_border():
    tensors = {"w": np.zeros((5, 1, 3, 3))}
    counts = fan_out((Conv(Ref("w"), padding=(1, 1)),), (1, 4, 4), tensors)
    assert counts[0].tolist() == [
        [20, 30, 30, 20], [30, 45, 45, 30], [30, 45, 45, 30], [20, 30, 30, 20]
    ]  # fmt: skip


def test_a_target_reached_two_ways_is_reached_once():
    tensors = {"w": np.ones((1, 1, 3, 3))}
    convs = (Conv(Ref("w"), padding=(1, 1)), Conv(Ref("w"), padding=(1, 1)))
    assert fan_out(convs, (1, 9, 9), tensors)[0, 4, 4] == 25


@pytest.mark.slow
def test_flatten_and_dense_after_a_large_convolution_needs_no_large_matrix():
    tensors = {"w": np.ones((512, 512, 3, 3)), "fc": np.ones((1000, 512 * 14 * 14))}
    chain = (Conv(Ref("w"), padding=(1, 1)), Reshape((512 * 14 * 14,)), Dense(Ref("fc")))
    assert synapses(chain, (512, 14, 14), tensors) == 512 * 14 * 14 * 1000


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_the_empty_chain_reaches_one_target_each(shape):
    assert (fan_out((), shape, {}) == np.ones(shape)).all()
