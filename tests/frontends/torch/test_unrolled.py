"""Modules whose steps do not follow those of the input: every step is recorded, then rolled up."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.diagnostics import SnnccError

T = 5


def drawn(*shape: int, seed: int = 0, p: float = 0.5) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < p).double()


def analog(*shape: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return 3 * torch.rand(*shape, generator=source, dtype=torch.float64)


class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


class Net(nn.Module):
    """Two dense layers; ``update`` makes spikes and a membrane of a current and a membrane."""

    def __init__(self, update: Callable[..., tuple[Tensor, object]], start: object) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 4)
        nn.init.normal_(self.a.weight, std=0.8)
        nn.init.normal_(self.b.weight, std=0.8)
        self.update, self.start = update, start

    def begin(self, x: Tensor, size: int) -> object:
        return torch.zeros(x.shape[-2], size, dtype=x.dtype) if self.start == "zeros" else (
            self.start)  # fmt: skip


class OnImage(Net):
    """A loop over the same image."""

    def forward(self, x: Tensor) -> Tensor:
        v, w, out = self.begin(x, 16), self.begin(x, 4), 0
        for _ in range(T):
            spikes, v = self.update(self.a(x), v)
            more, w = self.update(self.b(spikes), w)
            out = out + more
        return out / T


class Listed(Net):
    """The same, and the outputs are put together."""

    def forward(self, x: Tensor) -> Tensor:
        v, out = self.begin(x, 16), []
        current = self.a(x)
        for _ in range(T):
            spikes, v = self.update(current, v)
            out.append(self.b(spikes))
        return torch.stack(out).mean(0)


class Summed(Listed):
    """The same, and the outputs are added up at the end."""

    def forward(self, x: Tensor) -> Tensor:
        v, out = self.begin(x, 16), []
        for _ in range(T):
            spikes, v = self.update(self.a(x), v)
            out.append(self.b(spikes))
        return sum(out) / T


class LayerByLayer(Net):
    """Each layer has its own loop over time."""

    def layer(self, xs: list[Tensor], size: int) -> list[Tensor]:
        v, out = self.begin(xs[0], size), []
        for x in xs:
            spikes, v = self.update(x, v)
            out.append(spikes)
        return out

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.stack(self.layer([self.a(x)] * T, 16))
        return torch.stack(self.layer(list(self.b(hidden)), 4)).sum(0)


class OnSteps(Net):
    """A loop over the steps of the input."""

    def forward(self, x: Tensor) -> Tensor:
        v, w, out = self.begin(x, 16), self.begin(x, 4), []
        for frame in x:
            spikes, v = self.update(self.a(frame), v)
            more, w = self.update(self.b(spikes), w)
            out.append(more)
        return torch.stack(out)


class Written(OnSteps):
    """The same, and the outputs are written into a tensor."""

    def forward(self, x: Tensor) -> Tensor:
        v = self.begin(x, 16)
        out = torch.zeros(x.shape[1], x.shape[0], 4, dtype=x.dtype)
        for t in range(x.shape[0]):
            spikes, v = self.update(self.a(x[t]), v)
            out[:, t] = self.b(spikes)
        return out.mean(1)


class OneStep(Net):
    """One step; membranes are kept on the module."""

    def __init__(self, update: Callable[..., tuple[Tensor, object]], start: object) -> None:
        super().__init__(update, None if start == "zeros" else start)
        self.states: dict[str, object] = {}

    def reset(self) -> None:
        self.states = {}

    def forward(self, x: Tensor) -> Tensor:
        spikes, self.states["a"] = self.update(self.a(x), self.states.get("a", self.start))
        more, self.states["b"] = self.update(self.b(spikes), self.states.get("b", self.start))
        return more


def hard(x, v):
    u = x if v is None else 0.5 * v + x
    z = Step.apply(u - 1.0)
    return z, u * (1 - z)


def soft(x, v):
    u = x if v is None else 0.75 * v + x
    z = (u >= 1.0).to(u.dtype)
    return z, u - z


def charging(x, v):
    u = x / 2 if v is None else v + (x - v) / 2
    z = torch.heaviside(u - 1.0, torch.tensor(1.0, dtype=u.dtype))
    return z, torch.where(z > 0, torch.zeros_like(u), u)


def late(x, v):
    if v is None:
        return (x > 1.0).to(x.dtype), x
    r = (v > 1.0).to(v.dtype)
    u = 0.5 * v + x - r
    return (u > 1.0).to(u.dtype), u


def spike_before(x, state):
    v, z = (0.0, 0.0) if state is None or isinstance(state, float) else state
    u = v * 0.5 * (1 - z) + x
    z = Step.apply(u - 0.75)
    return z, (u, z)


UPDATES = [hard, soft, charging, late]
PLACES = [OnImage, Listed, Summed, LayerByLayer, OnSteps, Written, OneStep]


def answer(module: nn.Module, x: Tensor, steps: int | None) -> Tensor:
    """What the module returns, of several calls the mean."""
    module = copy.deepcopy(module).double()
    with torch.no_grad():
        if steps is None:
            return module(x)
        return torch.stack([module(x) for _ in range(steps)]).mean(0)


def agrees(module: nn.Module, place: type[Net]) -> None:
    """The program computes what the module does, on other numbers and other numbers of samples."""
    of_steps = place in (OnSteps, Written)
    options = {"layout": "TN" if of_steps else "N", "input": "spike" if of_steps else "analog"}
    steps = T if place is OneStep else None
    example = drawn(T, 3, 8) if of_steps else analog(3, 8)
    inputs = [drawn(T, n, 8, seed=n, p=n / 8) if of_steps else analog(n, 8, seed=n)
              for n in (1, 3, 7)]  # fmt: skip
    program = snncc.compile(
        copy.deepcopy(module), example, "reference", time_steps=steps, **options
    )
    assert len(program.network.populations) >= 1
    for x in inputs:
        want = answer(module, x, steps)
        want = want.mean(0) if place is OnSteps else want
        assert torch.allclose(program.run(x).logits, want, rtol=0, atol=1e-12)


NONE = list(product(PLACES, UPDATES, [None]))
NUMBERS = list(
    product([OnImage, Listed, LayerByLayer, OneStep], [hard, soft, charging], [0.0, 0.5, "zeros"])
)


@pytest.mark.parametrize(("place", "update", "start"), [*NONE[::5], *NUMBERS[::7]])
def test_how_membranes_begin(place, update, start):
    agrees(place(update, start).double().eval(), place)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "update", "start"), [*NONE, *NUMBERS])
def test_more_beginnings_of_membranes(place, update, start):
    agrees(place(update, start).double().eval(), place)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_the_spike_of_the_step_before_is_a_state(place):
    agrees(place(spike_before, None).double().eval(), place)


def refused(module: nn.Module, x: Tensor, **options: object) -> list[str]:
    try:
        snncc.compile(module, x, "reference", **options)
    except SnnccError as error:
        return [finding.code for finding in error.findings]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, T))  # the first may be one that begins with 0.5
def test_a_step_with_another_threshold_is_refused(at):
    class Differs(Net):
        def forward(self, x):
            v, out = self.begin(x, 16), 0
            for t in range(T):
                spikes, v = self.update(self.a(x) + (0.25 if t == at else 0.0), v)
                out = out + self.b(spikes)
            return out

    assert refused(Differs(hard, None).double().eval(), analog(3, 8), layout="N")


@pytest.mark.parametrize("at", range(T - 1))
def test_a_step_that_is_left_out_is_refused(at):
    class LeavesOut(Net):
        def forward(self, x):
            v, out = self.begin(x, 16), 0
            for t in range(T):
                spikes, v = self.update(self.a(x), v)
                out = out + self.b(spikes) if t != at else out
            return out

    assert refused(LeavesOut(hard, None).double().eval(), analog(3, 8), layout="N")


def test_steps_that_are_weighted_are_refused():
    class Weighted(Net):
        def forward(self, x):
            v, out = self.begin(x, 16), 0
            for t in range(T):
                spikes, v = self.update(self.a(x), v)
                out = out + (t + 1) * self.b(spikes)
            return out

    assert refused(Weighted(hard, None).double().eval(), analog(3, 8), layout="N")


def test_too_few_steps_say_so():
    class Two(Net):
        def forward(self, x):
            v, out = self.begin(x, 16), 0
            for _ in range(2):
                spikes, v = self.update(self.a(x), v)
                out = out + self.b(spikes)
            return out

    assert refused(Two(hard, None).double().eval(), analog(3, 8), layout="N")
