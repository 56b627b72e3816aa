"""Writes into tensors that a recording sees, and those that it must refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.torch import trace
from snncc.ir.ops import Pad

T, N = 4, 3
EVENTS = (torch.rand(T, N, 2, 6, 6) < 0.5).float()
FLAT = (torch.rand(T, N, 8) < 0.5).float()


class Net(nn.Module):
    """Spikes of what ``write`` makes of a convolution's current (T·N, 3, 6, 6)."""

    def __init__(self, write: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.next, self.sn = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 3), snncc.nn.LIF()
        self.register_buffer("c", torch.rand(3))
        self.fc, self.write = nn.Linear(64, 4), write

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.write(self, 3 * self.conv(x.flatten(0, 1)))
        y = self.sn((2 * self.next(y)).unflatten(0, x.shape[:2]))
        return self.fc(y[..., :4, :4].flatten(2)).mean(0)


def border(net: Net, y: torch.Tensor) -> torch.Tensor:
    y = F.pad(y, [1] * 4)
    c = net.c.view(1, -1, 1, 1)
    y[:, :, 0] = c.squeeze(-1)
    y[:, :, -1:] = c
    y[..., :1] = c
    y[..., -1] = c[..., 0]
    return y


def row_of_ones(net: Net, y: torch.Tensor) -> torch.Tensor:
    y[:, 1, 2:4] = 1.0
    return y


def silenced(net: Net, y: torch.Tensor) -> torch.Tensor:
    y[:, 0] = 0
    return y


def every_other(net: Net, y: torch.Tensor) -> torch.Tensor:
    y[..., ::2] = net.c.view(-1, 1, 1)
    return y


def over_the_edge(net: Net, y: torch.Tensor) -> torch.Tensor:
    """Into the zeros of a padding and beside them."""
    y = F.pad(y, [1] * 4)
    y[..., :2] = 0.5
    y[:, :, -1:] = 0.25
    return y


def padded(net: Net, y: torch.Tensor) -> torch.Tensor:
    return F.pad(y, [1, 0, 2, 1], value=0.75)


def written_whole(net: Net, y: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(y)
    out[...] = y
    return out


def written_by_colon(net: Net, y: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(y)
    out[:] = y
    out[:, :] = 2 * out
    return out


def copied(net: Net, y: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros(y.shape)
    kept.copy_(y)
    return kept + kept.copy_(0.5 * kept)


READ = [
    border, row_of_ones, silenced, every_other, over_the_edge, padded, written_whole,
    written_by_colon, copied,
]  # fmt: skip


@pytest.mark.parametrize("write", READ)
def test_what_is_written_is_what_is_read(agree: Any, write: Any) -> None:
    agree(Net(write).eval(), EVENTS, input="spike", layout="TN")


def test_a_border_is_padding_and_a_bias() -> None:
    graph = trace(Net(border).eval(), EVENTS, input="spike", layout="TN")
    assert any(isinstance(node.op, Pad) for node in graph.nodes.values())
    assert not any(getattr(node.op, "function", "") == "where" for node in graph.nodes.values())


@pytest.mark.parametrize(
    "write",
    [
        lambda net, y: y.__setitem__((slice(None), 0), y[:, 1]) or y,
        lambda net, y: y.__setitem__(0, 0.0) or y,
        lambda net, y: y.__setitem__(slice(0, 100), 0.0) or y,
        lambda net, y: y.__setitem__((slice(None), torch.tensor([0])), 0.0) or y,
        lambda net, y: y[:, :1].copy_(y[:, 1:2]) is None or y,
        lambda net, y: y[:, 0].fill_(0.0) is None or y,
        lambda net, y: torch.zeros_like(y).copy_(y[:1]),
        lambda net, y: y.copy_(torch.zeros_like(y)),
        lambda net, y: y.data.__setitem__((slice(None), 0), 0.0) or y,
        lambda net, y: y.detach().__setitem__((slice(None), 0), 0.0) or y,
        lambda net, y: y.view(-1).__setitem__(slice(0, 3), 0.0) or y,
        lambda net, y: y.__setitem__((slice(None), 0), torch.rand(y.shape[0], 6, 6)) or y,
    ],
    ids=[
        "of what depends on the input", "one sample", "so many samples", "by a list",
        "a copy into a view", "a view filled", "a broadcast copy", "a constant copied into it",
        "through .data", "through detach", "through a view", "another constant a sample",
    ],
)  # fmt: skip
def test_parts_that_cannot_be_read(write: Any) -> None:
    with pytest.raises(SnnccError, match="SNN310|SNN112|SNN301|SNN315"):
        trace(Net(write).eval(), EVENTS, input="spike", layout="TN")


def test_another_view_is_not_what_it_was() -> None:
    def write(net: Net, y: torch.Tensor) -> torch.Tensor:
        before = y.view(y.shape)
        y[:, 0] = 0.0
        return before

    with pytest.raises(SnnccError, match="SNN310"):
        trace(Net(write).eval(), EVENTS, input="spike", layout="TN")


def test_another_view_of_what_was_copied_into() -> None:
    def write(net: Net, y: torch.Tensor) -> torch.Tensor:
        kept = torch.zeros(y.shape)
        part = kept[:, 0]
        kept.copy_(y)
        return y + part.unsqueeze(1)

    with pytest.raises(SnnccError, match="SNN310"):
        trace(Net(write).eval(), EVENTS, input="spike", layout="TN")


# -- steps --------------------------------------------------------------------------------------


class Steps(nn.Module):
    """``fill`` writes the currents of each step somewhere and returns the whole."""

    def __init__(self, fill: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.sn, self.fill = (
            nn.Linear(8, 16),
            nn.Linear(16, 4),
            snncc.nn.LIF(),
            fill,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.sn(3 * self.fill(self, x))).mean(0)


def filling(make: Any, write: Any, back: Any = lambda out: out) -> Any:
    def fill(net: Steps, x: torch.Tensor) -> torch.Tensor:
        out = make(x)
        for t in range(T):
            write(out, t, net.a(x[t]))
        return back(out)

    return fill


def front(out: Any, t: int, s: Any) -> None:
    out[t] = s


def second(out: Any, t: int, s: Any) -> None:
    out[:, t] = s


def last(out: Any, t: int, s: Any) -> None:
    out[..., t] = s


def spelt(out: Any, t: int, s: Any) -> None:
    out[t, :, :] = s


def dotted(out: Any, t: int, s: Any) -> None:
    out[t, ...] = s


def by_range(out: Any, t: int, s: Any) -> None:
    out[t : t + 1] = s.unsqueeze(0)


def folded(out: Any, t: int, s: Any) -> None:
    n = s.shape[0]
    out[t * n : (t + 1) * n] = s


STEPS = {
    "zeros": filling(lambda x: torch.zeros(T, x.shape[1], 16), front),
    "empty": filling(lambda x: torch.empty(T, x.shape[1], 16), front),
    "zeros_like": filling(lambda x: torch.zeros_like(torch.cat([x, x], -1)), front),
    "new_zeros": filling(lambda x: x.new_zeros(T, x.shape[1], 16), spelt),
    "dots": filling(lambda x: torch.empty(T, x.shape[1], 16), dotted),
    "second": filling(
        lambda x: torch.zeros(x.shape[1], T, 16), second, lambda out: out.transpose(0, 1)
    ),
    "last": filling(
        lambda x: torch.zeros(x.shape[1], 16, T), last, lambda out: out.permute(2, 0, 1)
    ),
    "by a range": filling(lambda x: torch.zeros(T, x.shape[1], 16), by_range),
    "folded": filling(
        lambda x: torch.zeros(T * x.shape[1], 16), folded, lambda out: out.view(T, -1, 16)
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_written_one_by_one_are_a_stack(agree: Any, name: str) -> None:
    agree(Steps(STEPS[name]).eval(), FLAT, input="spike", layout="TN")


def reversed_(out: Any, t: int, s: Any) -> None:
    out[T - 1 - t] = s


def but_the_last(out: Any, t: int, s: Any) -> None:
    if t < T - 1:
        out[t] = s


def shifted(out: Any, t: int, s: Any) -> None:
    out[min(t + 1, T - 1)] = s


def half(out: Any, t: int, s: Any) -> None:
    out[t, :, :8] = s[:, :8]


def twice(out: Any, t: int, s: Any) -> None:
    out[t] = s
    out[t] += s


def one_sample(out: Any, t: int, s: Any) -> None:
    out[t, 0] = s[0]


@pytest.mark.parametrize("write", [reversed_, but_the_last, shifted, half, twice, one_sample])
def test_steps_that_are_no_stack(write: Any) -> None:
    fill = filling(lambda x: torch.zeros(T, x.shape[1], 16), write)
    with pytest.raises(SnnccError, match="SNN3|SNN112"):
        trace(Steps(fill).eval(), FLAT, input="spike", layout="TN")


def test_more_places_than_steps() -> None:
    fill = filling(lambda x: torch.zeros(T + 1, x.shape[1], 16), front)
    with pytest.raises(SnnccError, match="4 of 5 steps"):
        trace(Steps(fill).eval(), FLAT, input="spike", layout="TN")


# -- masks and states ---------------------------------------------------------------------------


class Loop(nn.Module):
    """A hand-written neuron whose ``reset`` writes into its membrane."""

    def __init__(self, reset: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.reset = nn.Linear(8, 16), nn.Linear(16, 4), reset
        nn.init.normal_(self.a.weight, std=0.6)

    def forward(self, x: torch.Tensor) -> Any:
        v, out = torch.zeros(x.shape[1], 16), []
        for t in range(x.shape[0]):
            v = 0.5 * v + self.a(x[t])
            z = (v > 1.0).to(v.dtype)
            v = self.reset(v, z)
            out.append(self.b(z))
        return torch.stack(out).mean(0)


def masked(v: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    v[z > 0] = 0.0
    return v


def masked_by_truth(v: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    v[z.bool()] = torch.tensor(0.0)
    return v


def into_a_copy(v: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros_like(v)
    kept.copy_(v * (1 - z))
    return kept


def into_a_whole(v: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    v[...] = v * (1 - z)
    return v


@pytest.mark.slow
@pytest.mark.parametrize("reset", [masked, masked_by_truth, into_a_copy, into_a_whole])
def test_a_membrane_written_in_place(reset: Any) -> None:
    module = Loop(reset).eval()
    program = snncc.compile(module, FLAT, "loihi", input="spike", layout="TN")
    assert program.graph.neurons[0].op.reset == "hard"
    x = (torch.rand(T, 7, 8) < 0.5).float()
    with torch.no_grad():
        expected = module.double()(x.double())
    assert torch.allclose(program.run(x).logits, expected.double(), atol=1e-6)


class Kept(Loop):
    """The membrane is a buffer of the call, which each step copies into."""

    def forward(self, x: torch.Tensor) -> Any:
        v, total = torch.zeros(x.shape[1], 16), 0.0
        for t in range(x.shape[0]):
            v.copy_(0.5 * v + self.a(x[t]))
            z = (v >= 1.0).to(v.dtype)
            v.copy_(v - z)
            total = total + self.b(z)
        return total


def test_a_state_that_is_copied_into() -> None:
    module = Kept(None).eval()
    program = snncc.compile(module, FLAT, "loihi", input="spike", layout="TN")
    assert program.graph.neurons[0].op.reset == "soft"
