"""The matrix of an op against the op itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.matrix import compose, matrix
from snncc.ir.ops import (
    AdaptivePool,
    Broadcast,
    Conv,
    ConvTranspose,
    Dense,
    Elementwise,
    Identity,
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

NUMBERS = np.random.default_rng(0)


def check(chain, shape, tensors):
    """chain(x) = M x for one random x."""
    x = NUMBERS.standard_normal((1, *shape))
    store = TensorStore(tensors, torch.float64)
    y = torch.from_numpy(x)
    after = shape
    for op in chain:
        y = apply(op, [y], store)
        after = output_shape(op, (after,), tensors)
    assert tuple(y.shape[1:]) == after
    product = compose(chain, shape, tensors)
    assert product.shape == (math.prod(after), math.prod(shape))
    np.testing.assert_allclose(product @ x.ravel(), y.numpy().ravel(), atol=1e-12)


SIZES = st.integers(1, 7)
SHAPES = st.tuples(SIZES, SIZES, SIZES)


@st.composite
def windows(draw, rank):
    """Kernel, stride and padding; at most half the kernel is padding, as torch asks of pools."""
    kernel = draw(st.tuples(*[st.integers(1, 4)] * rank))
    stride = draw(st.tuples(*[st.integers(1, 3)] * rank))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return kernel, stride, padding


@given(st.data(), st.integers(1, 3))
def test_conv(data, rank):
    groups = data.draw(st.integers(1, 3))
    inside, outside = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    kernel, stride, padding = data.draw(windows(rank))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * rank))
    sizes = data.draw(st.tuples(*[st.integers(1, 6)] * rank))
    spans = zip(sizes, kernel, padding, dilation, strict=True)
    assume(all(n + 2 * p > d * (k - 1) for n, k, p, d in spans))
    weight = NUMBERS.standard_normal((outside * groups, inside, *kernel))
    op = Conv(Ref("w"), None, stride, padding, dilation, groups)
    check([op], (inside * groups, *sizes), {"w": weight})


@given(st.data(), st.integers(1, 3))
def test_conv_transpose(data, rank):
    groups = data.draw(st.integers(1, 3))
    inside, outside = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    kernel, stride, padding = data.draw(windows(rank))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * rank))
    more = tuple(
        data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
    )
    sizes = data.draw(st.tuples(*[st.integers(1, 4)] * rank))
    op = ConvTranspose(Ref("w"), None, stride, padding, more, dilation, groups)
    tensors = {"w": NUMBERS.standard_normal((inside * groups, outside, *kernel))}
    shape = (inside * groups, *sizes)
    assume(min(output_shape(op, (shape,), tensors)) > 0)
    check([op], shape, tensors)


@pytest.mark.slow
@given(st.data(), st.sampled_from(["average", "sum"]), st.booleans(), st.booleans(), SHAPES)
def test_pool(data, kind, ceil, count_padding, shape):
    kernel, stride, padding = data.draw(windows(2))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * 2)) if kind == "sum" else (1, 1)
    spans = zip(shape[1:], kernel, padding, dilation, strict=True)
    assume(all(n + 2 * p > d * (k - 1) for n, k, p, d in spans))
    op = Pool(kind, kernel, stride, padding, dilation, ceil, count_padding)
    check([op], shape, {})


@given(st.data(), st.booleans(), SHAPES)
def test_a_sum_pool_is_torchs_average_pool_with_divisor_1(data, ceil, shape):
    kernel, stride, padding = data.draw(windows(2))
    assume(all(n + 2 * p >= k for n, k, p in zip(shape[1:], kernel, padding, strict=True)))
    x = torch.from_numpy(NUMBERS.standard_normal((2, *shape)))
    y = apply(Pool("sum", kernel, stride, padding, ceil=ceil), [x], TensorStore({}, x.dtype))
    torch.testing.assert_close(y, F.avg_pool2d(x, kernel, stride, padding, ceil, True, 1))


@given(SHAPES, st.tuples(SIZES, SIZES), st.sampled_from(["average", "sum"]))
def test_adaptive_pool(shape, size, kind):
    check([AdaptivePool(size, kind)], shape, {})


@given(st.lists(SIZES, min_size=1, max_size=3), SIZES)
def test_dense(shape, rows):
    weight = NUMBERS.standard_normal((rows, shape[-1]))
    check([Dense(Ref("w"))], tuple(shape), {"w": weight})


@given(SHAPES, st.sampled_from(["mean", "sum"]), st.sets(st.integers(0, 2)), st.booleans())
def test_reduce(shape, kind, axes, keep):
    assume(axes)
    check([Reduce(kind, tuple(axes), keep)], shape, {})


@given(SHAPES, st.permutations(range(3)))
def test_permute(shape, axes):
    check([Permute(tuple(axes))], shape, {})


@given(SHAPES, st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 3))
def test_pad(shape, widths):
    check([Pad(widths)], shape, {})


@given(SHAPES, st.integers(0, 2), st.data())
def test_slice(shape, axis, data):
    start = data.draw(st.integers(0, shape[axis] - 1))
    stop = data.draw(st.integers(start + 1, shape[axis]))
    check([Slice(axis, start, stop, data.draw(st.integers(1, 3)))], shape, {})


@given(SHAPES, st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_upsample(shape, factors):
    check([Upsample(factors)], shape, {})


@given(SHAPES, st.sampled_from([(), (1,), (-1, 1, 1), (-1, -1, -1)]))
def test_scale(shape, pattern):
    if not pattern:
        check([Scale(-1.5)], shape, {})
    else:
        size = [shape[i + 3 - len(pattern)] if n == -1 else n for i, n in enumerate(pattern)]
        check([Scale(Ref("f"))], shape, {"f": NUMBERS.standard_normal(size)})


@given(SHAPES)
def test_reshape_identity_broadcast(shape):
    c, h, w = shape
    check([Reshape((c * h, w))], shape, {})
    check([Identity("dropout")], shape, {})
    check([Broadcast((4, h, w))], (1, h, w), {})


@given(SHAPES, SHAPES)
def test_sparse_and_a_chain(shape, after):
    full = NUMBERS.standard_normal((math.prod(after), math.prod(shape)))
    full[NUMBERS.random(full.shape) < 0.7] = 0
    from scipy.sparse import csr_matrix

    stored = csr_matrix(full)
    tensors = {"d": stored.data, "i": stored.indices, "p": stored.indptr}
    first = Sparse(Ref("d"), Ref("i"), Ref("p"), after)
    check([first], shape, tensors)
    check([Pad(((0, 0), (1, 0), (0, 2))), Permute((2, 0, 1)), Scale(2.0)], shape, tensors)


def test_zeros_are_not_stored():
    weight = np.array([[[[0.0, 2.0]]]])
    stored = matrix(Conv(Ref("w")), (1, 1, 3), {"w": weight})
    assert stored.nnz == 2


def test_a_stored_zero_stays_where_it_is():
    tensors = {"d": np.array([0.0, 1.0, 2.0]), "i": np.array([1, 0, 1]), "p": np.array([0, 1, 3])}
    before = {name: tensor.copy() for name, tensor in tensors.items()}
    for dtype in (np.float64, np.int16):
        tensors["d"] = tensors["d"].astype(dtype)
        assert compose([Sparse(Ref("d"), Ref("i"), Ref("p"), (2,))], (2,), tensors).nnz == 2
        assert all(np.array_equal(before[name], tensors[name]) for name in before)


@pytest.mark.parametrize("op", [Elementwise("relu"), Pool("max", (2, 2), (2, 2))])
def test_what_is_not_linear_has_no_matrix(op):
    with pytest.raises(TypeError, match="is no linear map"):
        matrix(op, (1, 4, 4), {})
