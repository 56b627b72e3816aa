"""The convolution of an image in one pass, against torch's ops one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.backends.reference.images import TAPS, filter_of
from snncc.backends.reference.workspace import Workspace
from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.ops import Conv, Norm, Ref, Scale

RNG = np.random.default_rng(0)


def tensors(targets, channels, *kernel):
    """Numbers that float32 holds and sums exactly; the variances are squares."""
    return {
        "w": RNG.integers(-4, 5, (targets, channels, *kernel)) / 8,
        "b": RNG.integers(-4, 5, targets) / 8,
        "mean": RNG.integers(-4, 5, targets) / 8,
        "variance": 4.0 ** RNG.integers(-1, 2, targets) - 0.125,
        "scale": RNG.choice([-1.0, 0.0, 2.0], targets),
        "shift": RNG.integers(-4, 5, targets) / 8,
    }


NORM = Norm(Ref("mean"), Ref("variance"), Ref("scale"), Ref("shift"), 0.125)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [16, 32, 48, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [{"padding": (1, 1)}, {"stride": (2, 1), "padding": (0, 2)}, {"bias": Ref("b")}],
)
@pytest.mark.parametrize(
    "norms", [(), (NORM,), (Norm(Ref("mean"), Ref("variance"), None, None, 0.125), NORM)]
)
def test_a_filter(targets, channels, samples, settings, norms):
    values = tensors(targets, channels, 3, 5)
    shape = (channels, 7, 9)
    ops = (Conv(Ref("w"), **settings), *norms)
    images = RNG.integers(-8, 9, (samples, *shape)) / 4
    found = filter_of(ops, shape, values)(images, Workspace(), "y")
    y = torch.from_numpy(images)
    for op in ops:
        y = apply(op, [y], TensorStore(values, torch.float64))
    assert torch.equal(torch.from_numpy(found).permute(0, 3, 1, 2).double(), y)
    assert bool(y.any())


def test_the_deviation_of_a_norm_with_epsilon_outside():
    values = tensors(16, 1, 1, 1) | {"variance": np.full(16, 4.0)}
    norm = Norm(Ref("mean"), Ref("variance"), Ref("scale"), Ref("shift"), 2.0, True)
    ops = (Conv(Ref("w")), norm)
    images = RNG.integers(-8, 9, (1, 1, 2, 2)) / 4
    y = torch.from_numpy(images)
    for op in ops:
        y = apply(op, [y], TensorStore(values, torch.float64))
    found = filter_of(ops, (1, 2, 2), values)(images, Workspace(), "y")
    assert torch.equal(torch.from_numpy(found).permute(0, 3, 1, 2).double(), y)


@pytest.mark.parametrize(
    ("ops", "targets", "channels", "kernel"),
    [
        ((), 16, 3, (3, 3)),
        ((NORM,), 16, 3, (3, 3)),
        ((Conv(Ref("w")), Scale(2.0)), 16, 3, (3, 3)),
        ((Conv(Ref("w")),), 20, 3, (3, 3)),
        ((Conv(Ref("w")),), 16, TAPS // 9 + 1, (3, 3)),
        ((Conv(Ref("w"), dilation=(2, 1)),), 16, 3, (3, 3)),
        ((Conv(Ref("w"), groups=2),), 16, 3, (3, 3)),
        ((Conv(Ref("w"), None, (1,), (0,), (1,)),), 16, 3, (3,)),
    ],
)
def test_what_is_left_to_torch(ops, targets, channels, kernel):
    shape = (channels * max([op.groups for op in ops if isinstance(op, Conv)], default=1), 9, 9)
    values = tensors(targets, channels, *kernel)
    assert filter_of(ops, shape[: len(kernel) + 1], values) is None
