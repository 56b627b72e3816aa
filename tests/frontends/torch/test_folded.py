"""Time and samples in one axis: T blocks of N samples, or N blocks of T steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.torch import trace

T, N = 4, 3
IMAGE = 3 * torch.rand(N, 2, 6, 6)
EVENTS = (torch.rand(T, N, 2, 6, 6) < 0.5).float()


class Net(nn.Module):
    """``fold`` puts steps into the axis of samples, ``take`` reads them out of it."""

    def __init__(self, fold: Any, fire: Any, take: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.sn = nn.Conv2d(2, 3, 3), nn.Linear(48, 4), snncc.nn.LIF()
        nn.init.normal_(self.conv.weight, std=0.4)
        self.fold, self.fire, self.take = fold, fire, take

    def forward(self, x: torch.Tensor) -> Any:
        y = self.fire(self, self.conv(self.fold(x)))
        return self.take(self, y.flatten(1))


def written(net: Net, y: torch.Tensor) -> torch.Tensor:
    steps: Any = y.view(T, -1, *y.shape[1:])
    v, out = 0.0, []
    for t in range(T):
        v = 0.5 * v + steps[t]
        z = (v > 1.0).to(y.dtype)
        v = v * (1 - z)
        out.append(z)
    return torch.cat(out, 0)


def known(net: Net, y: torch.Tensor) -> torch.Tensor:
    return net.sn(3 * y.unflatten(0, (T, y.shape[0] // T))).flatten(0, 1)


def samples_first(net: Net, y: torch.Tensor) -> torch.Tensor:
    """N blocks of T steps."""
    steps = y.view(y.shape[0] // T, T, *y.shape[1:]).transpose(0, 1)
    return net.sn(3 * steps).transpose(0, 1).flatten(0, 1)


def by_slices(net: Net, y: torch.Tensor) -> torch.Tensor:
    y, n = net.fc(y), y.shape[0] // T
    return sum(y[t * n : (t + 1) * n] for t in range(T))


def by_chunk(net: Net, y: torch.Tensor) -> torch.Tensor:
    out: Any = 0
    for step in y.chunk(T):
        out = out + net.fc(step)
    return out / T


FOLDS = {
    "cat": lambda x: torch.cat([x] * T),
    "concat of a tuple": lambda x: torch.concat((x,) * T, dim=0),
    "repeat": lambda x: x.repeat(T, 1, 1, 1),
    "tile": lambda x: x.tile(T, 1, 1, 1),
    "flatten": lambda x: x.unsqueeze(0).expand(T, -1, -1, -1, -1).flatten(0, 1),
    "stack": lambda x: torch.stack([x] * T).view(-1, *x.shape[1:]),
}
TAKES = {
    "slices": by_slices,
    "the last slice": lambda net, y: net.fc(y)[-(y.shape[0] // T) :],
    "chunk": by_chunk,
    "split": lambda net, y: sum(net.fc(s) for s in y.split(y.shape[0] // T)),
    "split into sizes": lambda net, y: sum(net.fc(s) for s in y.split([y.shape[0] // T] * T)),
    "tensor_split": lambda net, y: sum(net.fc(s) for s in y.tensor_split(T)),
    "narrow": lambda net, y: sum(
        net.fc(y.narrow(0, t * (y.shape[0] // T), y.shape[0] // T)) for t in range(T)
    ),
    "view": lambda net, y: net.fc(y).view(T, -1, 4).mean(0),
}
BY_SAMPLE = {
    "repeat_interleave": lambda x: x.repeat_interleave(T, 0),
    "repeat_interleave by name": lambda x: torch.repeat_interleave(x, T, dim=0),
    "expand": lambda x: x.unsqueeze(1).expand(-1, T, -1, -1, -1).flatten(0, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("fire", [written, known])
@pytest.mark.parametrize("fold", FOLDS)
def test_a_static_image_in_blocks(agree: Any, fold: str, fire: Any) -> None:
    agree(Net(FOLDS[fold], fire, TAKES["view"]).eval(), IMAGE, layout="N")


@pytest.mark.parametrize("take", TAKES)
def test_steps_taken_out_of_blocks(agree: Any, take: str) -> None:
    agree(Net(FOLDS["cat"], known, TAKES[take]).eval(), IMAGE, layout="N")


def test_events_in_blocks(agree: Any) -> None:
    net = Net(lambda x: x.flatten(0, 1), written, by_slices)
    agree(net.eval(), EVENTS, layout="TN", input="spike")


@pytest.mark.parametrize("fold", BY_SAMPLE)
def test_each_sample_and_its_steps(agree: Any, fold: str) -> None:
    def strided(net: Net, y: torch.Tensor) -> torch.Tensor:
        return sum(net.fc(y[t::T]) for t in range(T))

    agree(Net(BY_SAMPLE[fold], samples_first, strided).eval(), IMAGE, layout="N")


def test_the_answer_of_many_samples_and_of_one() -> None:
    net = Net(FOLDS["repeat"], written, by_slices).eval()
    program = snncc.compile(net, IMAGE, "loihi", layout="N")
    for count in (1, 4, 9):
        image = 3 * torch.rand(count, 2, 6, 6)
        with torch.no_grad():
            expected = net.double()(image.double())
        assert torch.allclose(program.run(image).logits, expected, atol=1e-9)


# -- what must stay refused ----------------------------------------------------------------------

WRONG = {
    "another number of blocks": lambda net, y: sum(net.fc(s) for s in y.chunk(T + 1)),
    "halves": lambda net, y: sum(net.fc(s) for s in y.chunk(2)),
    "a number of samples": lambda net, y: net.fc(y[:2]) + net.fc(y[2:4]),
    "up to so many samples": lambda net, y: net.fc(y[-(y.shape[0] // T) :][:5]),
    "a step and so many more": lambda net, y: net.fc(y[3 * (y.shape[0] // T) - 1 : -1]),
    "a step cut off by the end": lambda net, y: net.fc(
        y[3 * (y.shape[0] // T) : 3 * (y.shape[0] // T) + 5]
    ),
    "no step": lambda net, y: net.fc(y[1 : y.shape[0] // T + 1]),
    "samples of two steps": lambda net, y: net.fc(y[::T]),
    "sizes that are not those of steps": lambda net, y: net.fc(y.split([1, y.shape[0] - 1])[0]),
    "pieces of two": lambda net, y: sum(net.fc(s) for s in y.split(2)),
    "indices of two": lambda net, y: net.fc(y.tensor_split([2])[0]),
    "all, if they are few": lambda net, y: net.fc(y[: 16 * T]).view(T, -1, 4).mean(0),
}


@pytest.mark.parametrize("take", WRONG)
def test_what_is_no_step(take: str) -> None:
    with pytest.raises(SnnccError, match="SNN112|SNN301|SNN315|SNN318|SNN314"):
        trace(Net(FOLDS["cat"], known, WRONG[take]).eval(), IMAGE, layout="N")


WRONG_FOLDS = {
    "other images": lambda x: torch.cat([x, x + 1, x, x]),
    "one is a constant": lambda x: torch.cat([x, x, x, torch.zeros_like(x)]),
    "each sample T times": lambda x: x.repeat_interleave(T, 0),
    "each sample as often as it says": lambda x: x.repeat_interleave(
        torch.tensor([T] * x.shape[0]), 0
    ),
    "as many times as there are samples": lambda x: torch.cat([x] * (x.shape[0] + 1)),
}


@pytest.mark.parametrize("fold", WRONG_FOLDS)
def test_what_is_no_block_of_a_step(fold: str) -> None:
    """``known`` takes blocks of samples, a step each."""
    with pytest.raises(SnnccError, match="SNN112|SNN301|SNN315|SNN318|SNN314"):
        trace(Net(WRONG_FOLDS[fold], known, by_chunk).eval(), IMAGE, layout="N")


def test_events_are_not_repeated() -> None:
    net = Net(lambda x: torch.cat([x.flatten(0, 1)] * 2), known, by_chunk)
    with pytest.raises(SnnccError, match="SNN112"):
        trace(net.eval(), EVENTS, layout="TN", input="spike")


def test_steps_of_another_length_than_the_blocks() -> None:
    net = Net(lambda x: x.repeat(T + 1, 1, 1, 1)[: T * x.shape[0]], known, by_chunk)
    with pytest.raises(SnnccError, match="SNN"):
        trace(net.eval(), IMAGE, layout="N")
