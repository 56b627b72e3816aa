"""Few spikes as lists, and what adds up what they name, against torch on the same spikes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from snncc.backends.reference import events
from snncc.backends.reference.events import additions, listed, windows
from snncc.backends.reference.workspace import Workspace
from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.ops import AdaptivePool, Conv, Dense, Pool, Ref, Reshape, Scale
from snncc.ir.shapes import output_shape

RATES = [0.0, 0.1, 1.0]


def fired(rate, *shape):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(shape, generator=generator) < rate).float()


def whole(*shape):
    """Whole weights, so that every sum of them is exact."""
    return np.random.default_rng(0).integers(-4, 5, shape).astype(float)


def frames_of(values, shape):
    """(B, C, H, W) or (B, C) with the channels last, flat, and their (H, W, C)."""
    if len(shape) == 1:
        return values.reshape(-1).numpy(), (1, 1, *shape)
    return values.permute(0, 2, 3, 1).reshape(-1).numpy(), (*shape[1:], shape[0])


@pytest.mark.parametrize("channels", [1, 16, 63, 64, 65, 100, 128, 130])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_list_names_what_is_not_zero_line_by_line(channels, rate, kind):
    values = fired(rate, 3, 2, 5, channels).numpy().astype(kind)
    found = listed(values.reshape(-1), 3, (2, 5, channels), values.size, Workspace(), "x")
    lines = values.reshape(6, -1)
    expected = np.concatenate([np.flatnonzero(line) for line in lines])
    assert found.count == len(expected) == np.count_nonzero(values)
    assert (found.fired[: found.count] == expected).all()
    ends = np.cumsum(values.reshape(-1, channels).sum(1))
    assert (found.first == [0, *ends]).all()


@pytest.mark.parametrize("spare", [0, -1])
def test_a_spike_more_than_most_is_too_many(spare):
    values = fired(0.2, 2, 3, 4, 70).numpy()
    most = int(values.sum()) + spare
    found = listed(values.reshape(-1), 2, (3, 4, 70), most, Workspace(), "x")
    assert (found is not None) == (spare == 0)


def check(map, shape, tensors, samples, rate, monkeypatch):
    """The additions of a map, and the interpreter's own ops, on the same spikes."""
    monkeypatch.setattr(events, "DENSITY", 10.0)
    adding = additions(map, shape, tensors)
    x = fired(rate, samples, *shape)
    work = Workspace()
    found = listed(*(lambda v, s: (v, samples, s))(*frames_of(x, shape)), x.numel(), work, "x")
    y = torch.from_numpy(adding(found, work, "y"))
    expected, left = x, len(map) - len(adding.rest)
    for op in map[:left]:
        expected = apply(op, [expected], TensorStore(tensors, torch.float32))
    assert tuple(expected.shape[1:]) == adding.yields
    flat, _ = frames_of(expected, adding.yields)
    assert torch.equal(y.reshape(-1), torch.from_numpy(flat))
    assert rate == 0 or bool(y.any())


@pytest.mark.parametrize("targets", [10, 16, 32, 48, 64, 72, 128])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [1, 3])
def test_a_convolution(monkeypatch, targets, rate, samples):
    tensors = {"w": whole(targets, 17, 3, 3)}
    check((Conv(Ref("w"), padding=(1, 1)),), (17, 5, 6), tensors, samples, rate, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2), (3, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 2)])
def test_the_window_of_a_convolution(monkeypatch, kernel, stride, padding, dilation):
    tensors = {"w": whole(32, 20, *kernel)}
    conv = Conv(Ref("w"), stride=stride, padding=padding, dilation=dilation)
    check((conv,), (20, 9, 10), tensors, 2, 0.2, monkeypatch)


POOLS = [
    Pool("average", (2, 2), (2, 2)),
    Pool("average", (4, 2), (2, 2), (2, 1)),
    Pool("average", (2, 2), (3, 3)),
    Pool("sum", (3, 3), (2, 2), (1, 1), ceil=True),
    Pool("sum", (2, 3), (1, 2), (1, 0), (2, 2)),
]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("after", ["convolution", "dense"])
def test_a_pool_joins_lists(monkeypatch, pool, rate, after):
    shape = (20, 7, 8)
    _, height, width = pooled = output_shape(pool, (shape,), {})
    tensors = {"w": whole(16, 20, 2, 2), "d": whole(10, math.prod(pooled))}
    rest = {
        "convolution": (Conv(Ref("w"), padding=(1, 1)), Scale(3.0)),
        "dense": (Reshape((20 * height * width,)), Dense(Ref("d"))),
    }[after]
    check((pool, *rest), shape, tensors, 2, rate, monkeypatch)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("shape", [(30,), (16, 3, 2)])
def test_a_dense_map(monkeypatch, rate, shape):
    flat = () if len(shape) == 1 else (Reshape((math.prod(shape),)),)
    tensors = {"d": whole(10, math.prod(shape))}
    check((*flat, Dense(Ref("d"))), shape, tensors, 3, rate, monkeypatch)


@pytest.mark.parametrize(
    ("map", "shape"),
    [
        ((), (16, 4, 4)),
        ((Scale(2.0),), (16, 4, 4)),
        ((Conv(Ref("w")),), (8, 4, 4)),
        ((Conv(Ref("w"), groups=2),), (32, 4, 4)),
        ((Conv(Ref("line"), stride=(1,), padding=(0,), dilation=(1,)),), (16, 4)),
        ((Pool("average", (2, 2), (2, 2), ceil=True),), (16, 5, 5)),
        ((Pool("average", (2, 2), (2, 2), (1, 1), count_padding=False),), (16, 4, 4)),
        ((AdaptivePool((2, 2), "sum"),), (16, 4, 4)),
        ((Reshape((32, 8)), Dense(Ref("d"))), (16, 4, 4)),
    ],
)
def test_what_is_not_added_up(map, shape):
    tensors = {"w": whole(16, 16, 3, 3), "line": whole(16, 16, 3), "d": whole(4, 8)}
    assert additions(map, shape, tensors) is None


def test_few_is_a_share_of_what_the_kernel_reads():
    adding = additions((Conv(Ref("w")),), (16, 3, 3), {"w": whole(16, 16, 3, 3)})
    most, work = adding.most(5), Workspace()
    assert most == int(events.DENSITY * 5 * 16 * 9)
    values = torch.zeros(5, 3, 3, 16)
    values.view(-1)[:most] = 1
    few = listed(values.view(-1).numpy(), 5, (3, 3, 16), most, work, "x")
    assert adding(few, work, "y") is not None
    values.view(-1)[most] = 1
    more = listed(values.view(-1).numpy(), 5, (3, 3, 16), values.numel(), work, "x")
    assert adding(more, work, "y") is None


@pytest.mark.parametrize("pool", [*POOLS, Pool("average", (3, 3), (1, 1))])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_pool_of_any_spikes(pool, rate, kind):
    shape = (5, 7, 8)
    x, counting = fired(rate, 2, *shape), windows((pool, Scale(2.0)), shape, {})
    values = x.permute(0, 2, 3, 1).contiguous().numpy().astype(kind)
    y = torch.from_numpy(counting(values, Workspace(), "y")).permute(0, 3, 1, 2)
    expected = apply(pool, [x], TensorStore({}, torch.float32))
    assert tuple(y.shape[1:]) == counting.yields
    assert torch.equal(y, expected)


@pytest.mark.parametrize(
    "map", [(), (Scale(2.0),), (Pool("max", (2, 2), (2, 2)),), (AdaptivePool((2, 2)),)]
)
def test_no_pool_that_counts(map):
    assert windows(map, (5, 7, 8), {}) is None
    assert windows((Pool("sum", (2, 2), (2, 2)),), (7, 8), {}) is None


def test_windows_that_overlap_may_make_many_of_few(monkeypatch):
    monkeypatch.setattr(events, "DENSITY", 0.2)
    tensors, shape = {"w": whole(16, 16, 1, 1)}, (16, 6, 6)
    map = (Pool("sum", (3, 3), (1, 1)), Conv(Ref("w")))
    adding, work = additions(map, shape, tensors), Workspace()
    values = torch.zeros(1, 6, 6, 16)
    values[:, 1:5, 1:5, 0] = 1
    found = listed(values.view(-1).numpy(), 1, (6, 6, 16), adding.most(1), work, "x")
    assert found.count == 16 < adding.most(1) == int(0.2 * 256)
    assert F.avg_pool2d(values.permute(0, 3, 1, 2), 3, 1).count_nonzero() == 16
    assert adding(found, work, "y") is None
