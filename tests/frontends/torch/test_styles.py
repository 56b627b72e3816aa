"""Neurons as research code writes them: each equation, each place of its state, each time axis.

Nothing is registered. Every program is held against the module on other inputs and other numbers of
samples, and its answers are the module's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import snncc
from snncc.diagnostics import SnnccError

T, F, H, C = 6, 7, 12, 3

State = object
Update = Callable[[nn.Module, Tensor, State], tuple[Tensor, State]]


class Step(torch.autograd.Function):
    """With setup_context, as torch now recommends it."""

    @staticmethod
    def forward(u):
        return (u > 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (u,) = ctx.saved_tensors
        return grad * (u.abs() < 0.5)


@torch.jit.script
def scripted(u: Tensor) -> Tensor:
    return (u > 0).to(u.dtype)


def or_zero(v: State) -> Tensor:
    return 0.0 if v is None else v


def hard(net, x, v):
    u = 0.5 * or_zero(v) + x
    z = Step.apply(u - 1.0)
    return z, u * (1 - z)


def hard_where(net, x, v):
    u = 0.75 * or_zero(v) + x
    z = (u >= 1.0).to(u.dtype)
    return z, torch.where(z.bool(), torch.zeros_like(u), u)


def hard_filled(net, x, v):
    u = 0.75 * or_zero(v) + x
    z = torch.heaviside(u - 1.0, torch.tensor(1.0, dtype=u.dtype))
    return z, u.masked_fill(z > 0, 0.0)


def hard_times_spike(net, x, v):
    u = 0.5 * or_zero(v) + x
    z = torch.where(u > 1.0, 1.0, 0.0).to(u.dtype)
    return z, u - u * z


def hard_written(net, x, v):
    u = 0.5 * or_zero(v) + x
    z = torch.zeros_like(u)
    z[u > 1.0] = 1.0
    v = u.clone()
    v[u > 1.0] = 0.0
    return z, v


def soft(net, x, v):
    u = 0.9 * or_zero(v) + x
    z = Step.apply(u - 1.0)
    return z, u - 1.0 * z


def soft_of_the_step_before(net, x, state):
    v, z = (0.0, 0.0) if state is None else state
    u = 0.75 * (v - 1.0 * z) + x
    z = Step.apply(u - 1.0)
    return z, (u, z)


def stbp(net, x, state):
    v, z = (0.0, 0.0) if state is None else state
    u = v * 0.5 * (1.0 - z) + x
    z = Step.apply(u - 0.5)
    return z, (u, z)


def snntorch_subtract(net, x, v):
    v = or_zero(v) if v is not None else torch.zeros_like(x)
    r = (v > 1.0).to(x.dtype)
    u = 0.75 * v + x - 1.0 * r
    return (u > 1.0).to(x.dtype), u


def snntorch_zero(net, x, v):
    v = torch.zeros_like(x) if v is None else v
    r = (v > 1.0).to(x.dtype)
    u = (0.75 * v + x) * (1 - r)
    return (u > 1.0).to(x.dtype), u


def input_gain(net, x, v):
    v = torch.zeros_like(x) if v is None else v
    u = v + (x - v) / 2.0
    z = Step.apply(u - 0.5)
    return z, u * (1 - z)


def resting(net, x, v):
    v = torch.full_like(x, -0.5) if v is None else v
    u = v - (v - -0.5) / 2.0 + x
    z = Step.apply(u - 1.0)
    return z, u * (1 - z) + -0.5 * z


def half_full(net, x, v):
    v = torch.full_like(x, 0.5) if v is None else v
    u = v + x
    z = (u >= 1.0).to(u.dtype)
    return z, u - z


def height(net, x, v):
    u = or_zero(v) + x
    z = Step.apply(u / 2.0 - 1.0)
    return z * 2.0, u - z * 2.0


def synaptic(net, x, state):
    c, v = (0.0, 0.0) if state is None else state
    c = 0.5 * c + x
    u = 0.75 * v + c
    z = Step.apply(u - 1.0)
    return z, (c, u * (1 - z))


def learnt(net, x, v):
    u = or_zero(v) * torch.sigmoid(net.decay) + x
    z = Step.apply(u - net.threshold)
    return z, u - z * net.threshold


def levels(net, x, state):
    vs, total, left = state or [0.0, 0.0], 0.0, []
    for v, threshold in zip(vs, (0.5, 1.5), strict=True):
        u = 0.25 * v + x
        z = (u > threshold).to(u.dtype)
        left.append(u * (1 - z))
        total = total + z
    return total, left


def with_a_scripted_step(net, x, v):
    u = 0.5 * or_zero(v) + x
    z = scripted(u - 1.0)
    return z, u * (1 - z)


UPDATES = [
    hard, hard_where, hard_filled, hard_times_spike, hard_written, soft, soft_of_the_step_before,
    stbp, snntorch_subtract, snntorch_zero, input_gain, resting, half_full, height, synaptic,
    learnt, levels,
]  # fmt: skip


class Base(nn.Module):
    """dense, neurons, dense."""

    layout, input, steps = "TN", "spike", None

    def __init__(self, update: Update) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.fc, self.out, self.update = nn.Linear(F, H), nn.Linear(H, C), update
        nn.init.normal_(self.fc.weight, std=0.8)
        self.decay = nn.Parameter(torch.tensor(0.25))
        self.threshold = nn.Parameter(torch.linspace(0.5, 1.5, H))


class InForward(Base):
    def forward(self, x):
        state, total = None, 0
        for t in range(x.shape[0]):
            z, state = self.update(self, self.fc(x[t]), state)
            total = total + self.out(z)
        return total / x.shape[0]


class TimeSecond(Base):
    layout = "NT"

    def forward(self, x):
        state, zs = None, []
        for current in self.fc(x).unbind(1):
            z, state = self.update(self, current, state)
            zs.append(z)
        return self.out(torch.stack(zs, 1)).mean(1)


class Neuron(nn.Module):
    def __init__(self, net: Base) -> None:
        super().__init__()
        self.decay, self.threshold, self.update = net.decay, net.threshold, net.update

    def forward(self, x):
        state, zs = None, []
        for t in range(x.size(0)):
            z, state = self.update(self, x[t], state)
            zs.append(z)
        return torch.stack(zs)


class OwnLoop(Base):
    def __init__(self, update):
        super().__init__(update)
        self.neuron = Neuron(self)

    def forward(self, x):
        return self.out(self.neuron(self.fc(x))).mean(0)


class Folded(OwnLoop):
    """Dense layers see T·N samples."""

    def forward(self, x):
        steps, samples = x.shape[:2]
        y = self.neuron(self.fc(x.flatten(0, 1)).view(steps, samples, H))
        return self.out(y.flatten(0, 1)).view(steps, samples, C).sum(0)


class OnImage(Base):
    layout, input = "N", "analog"

    def forward(self, x):
        state, zs = None, []
        for _ in range(T):
            z, state = self.update(self, self.fc(x), state)
            zs.append(self.out(z))
        return torch.stack(zs).mean(0)


class OneStep(Base):
    layout, input, steps = "N", "analog", T

    def __init__(self, update):
        super().__init__(update)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, x):
        z, self.state = self.update(self, self.fc(x), self.state)
        return self.out(z)


class OneStepOnSpikes(OneStep):
    input = "spike"


PLACES = [InForward, TimeSecond, OwnLoop, Folded, OnImage, OneStep, OneStepOnSpikes]


def drawn(place: type[Base], samples: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    lead = {"TN": (T, samples), "NT": (samples, T), "N": (samples,)}[place.layout]
    values = torch.rand(*lead, F, generator=source)
    return 3 * values if place.input == "analog" else (values < 0.1 + seed / 10).float()


def answer(module: nn.Module, x: Tensor, steps: int | None) -> Tensor:
    """In float64; of a module of one step the mean of its calls."""
    module = copy.deepcopy(module).double()
    with torch.no_grad():
        if steps is None:
            return module(x.double())
        return torch.stack([module(x.double()) for _ in range(steps)]).mean(0)


def holds(place: type[Base], update: Update) -> None:
    module = place(update).eval()
    program = snncc.compile(
        copy.deepcopy(module), drawn(place, 3, 0), "reference", layout=place.layout,
        input=place.input, time_steps=place.steps,
    )  # fmt: skip
    assert len(program.graph.neurons) == (2 if update is levels or place is AddedSpikes else 1)
    for seed, samples in ((1, 1), (4, 3), (8, 8)):
        x = drawn(place, samples, seed)
        want = answer(module, x, place.steps)
        assert torch.allclose(program.run(x).logits, want, rtol=0, atol=1e-9)


DIAGONAL = [
    (place, update)
    for number, (place, update) in enumerate(product(PLACES, UPDATES))
    if number % 5 == 0
]


@pytest.mark.parametrize(("place", "update"), DIAGONAL)
def test_code_as_it_is_written(place, update):
    holds(place, update)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "update"), [each for each in product(PLACES, UPDATES) if each not in DIAGONAL]
)
def test_more_code_as_it_is_written(place, update):
    holds(place, update)


@pytest.mark.parametrize("place", [InForward, OnImage])
def test_a_scripted_step_function(place):
    holds(place, with_a_scripted_step)


class ReadBack(Base):
    """The spikes of the step before are read from where they were written."""

    def forward(self, x):
        steps, samples, _ = x.shape
        u, out = x.new_zeros(samples, H), x.new_zeros(steps, samples, H)
        for t in range(x.shape[0]):
            u = 0.25 * u * (1 - out[max(t - 1, 0)]) + self.fc(x[t])
            out[t] = (u > 0.5).to(u.dtype)
        return self.out(out).mean(0)


class AddedSpikes(Base):
    """Spikes of one neuron in the current of another, which is reset to 0 at once."""

    def forward(self, x):
        u = v = x.new_zeros(x.shape[1], H)
        total = 0
        for t in range(x.shape[0]):
            current = self.fc(x[t])
            u = u + current
            s = Step.apply(u - 1.0)
            u = (1 - s) * u
            v = v + current + s
            z = Step.apply(v - 1.0)
            v = (1 - z) * v
            total = total + self.out(z)
        return total / x.shape[0]


class Einsum(Base):
    """Weights by ``einsum``, in both orders of their axes."""

    def forward(self, x):
        currents, v, zs = torch.einsum("tbi,oi->tbo", x, self.fc.weight), 0.0, []
        for current in currents:
            v = 0.5 * v + current
            z = Step.apply(v - 1.0)
            v = v * (1 - z)
            zs.append(z)
        return torch.einsum("tbh,ho->tbo", torch.stack(zs), self.out.weight.t()).mean(0)


class RateOfSpikes(Base):
    """The spikes of the only neurons are added up."""

    def forward(self, x):
        v, total = 0.0, 0.0
        for t in range(x.shape[0]):
            v = v + self.fc(x[t])
            z = Step.apply(v - 1.0)
            v = v - z
            total = total + z
        return total / x.shape[0]


class ConvOnImage(Base):
    """A convolution in a loop over the same image."""

    layout, input = "N", "analog"

    def __init__(self, update):
        super().__init__(update)
        self.conv = nn.Conv1d(1, 2, 3, padding=1)

    def forward(self, x):
        v = None
        total = 0
        for _ in range(T):
            current = self.conv(x.unsqueeze(1)).flatten(1)
            v = current if v is None else 0.5 * v + current
            z = Step.apply(v - 1.0)
            v = v * (1 - z)
            total = total + z
        return total


class InADict(Base):
    """Thresholds are tensors in a dict."""

    def __init__(self, update):
        super().__init__(update)
        self.thresholds = {"fc": torch.tensor(0.75), "more": [torch.tensor(0.5)]}

    def forward(self, x):
        v, zs = 0.0, []
        for t in range(x.shape[0]):
            v = v + self.fc(x[t])
            z = (v > self.thresholds["fc"]).to(v.dtype)
            v = v - z * self.thresholds["more"][0]
            zs.append(z)
        return self.out(torch.stack(zs)).mean(0)


@pytest.mark.parametrize(
    "place", [ReadBack, AddedSpikes, Einsum, RateOfSpikes, ConvOnImage, InADict]
)
def test_what_was_found_in_public_code(place):
    holds(place, hard)


def test_a_number_of_samples_that_is_fixed_is_named():
    class Fixed(Base):
        def forward(self, x):
            v, total = torch.zeros(2, H), 0
            for t in range(x.shape[0]):
                z, v = self.update(self, self.fc(x[t]), v)
                total = total + self.out(z)
            return total

    with pytest.raises(SnnccError, match="runs on 2 samples and not on 3.*x.shape"):
        snncc.compile(Fixed(hard).eval(), drawn(Fixed, 2, 0), layout="TN", input="spike")
