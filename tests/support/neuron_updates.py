"""Random neurons that are written as arithmetic, as torch code, and whether one of ours is each.

A draw is an update equation: `RESETS` × `QUESTIONS` × charges × decays × gains × currents ×
beginnings × levels. Where the state lives and who calls the update is its `Place`; another one is
another row of `PLACES`.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

STEPS, INPUTS, NEURONS, OUTPUTS = 5, 6, 4, 3

Fire = Callable[[Tensor, Any], Tensor]


class Surrogate(torch.autograd.Function):
    """The step as research code writes it."""

    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


def _masked(v: Tensor, theta: Any) -> Tensor:
    out = torch.zeros_like(v)
    out[v - theta > 0] = 1.0
    return out


def _heaviside(at_zero: float) -> Fire:
    return lambda v, theta: torch.heaviside(v - theta, torch.tensor(at_zero, dtype=v.dtype))


QUESTIONS: Mapping[str, tuple[Fire, bool]] = {
    "v >= θ": (lambda v, theta: (v >= theta).to(v.dtype), False),
    "v - θ >= 0": (lambda v, theta: (v - theta >= 0).to(v.dtype), False),
    "v > θ": (lambda v, theta: (v > theta).to(v.dtype), True),
    "v - θ > 0": (lambda v, theta: (v - theta > 0).to(v.dtype), True),
    "θ - v <= 0": (lambda v, theta: (theta - v <= 0).to(v.dtype), False),
    "-v < -θ": (lambda v, theta: (-v < -theta).to(v.dtype), True),
    "not v < θ": (lambda v, theta: torch.logical_not(v < theta).to(v.dtype), False),
    "2(v - θ) > 0": (lambda v, theta: (2 * (v - theta) > 0).to(v.dtype), True),
    "heaviside 1": (_heaviside(1.0), False),
    "heaviside 0": (_heaviside(0.0), True),
    "autograd": (lambda v, theta: Surrogate.apply(v - theta), False),
    "mask": (_masked, True),
    "1 - (v < θ)": (lambda v, theta: 1 - (v < theta).to(v.dtype), False),
    "where": (lambda v, theta: torch.where(v >= theta, torch.ones_like(v), torch.zeros_like(v)),
              False),
    "relu of the sign": (lambda v, theta: torch.relu(torch.sign(v - theta)), True),
    "sign above 0": (lambda v, theta: (torch.sign(v - theta) > 0).to(v.dtype), True),
}  # fmt: skip
"""How a spike is asked for, and whether at the threshold there is none."""


@dataclass(frozen=True)
class Reset:
    """What spikes do to a membrane.

    ``before(v, s, m)`` is what the charge reads, from the membrane and the spikes of the step
    before; ``charged(h, s, m)`` the membrane behind it, before it is compared; ``after(v, s, m)``
    what is left. ``asks_first``: a neuron in which the membrane at the beginning must say the
    spike of the step before.
    """

    before: Callable[[Tensor, Tensor, Update], Tensor] = lambda v, s, m: v
    charged: Callable[[Tensor, Tensor, Update], Tensor] = lambda h, s, m: h
    after: Callable[[Tensor, Tensor, Update], Tensor] = lambda v, s, m: v
    asks_first: bool = False


def _set(v: Tensor, s: Tensor, m: Update) -> Tensor:
    v = v.clone()
    v[s > 0] = m.rest
    return v


RESETS: Mapping[str, Reset] = {
    "none": Reset(),
    "hard": Reset(after=lambda v, s, m: v * (1 - s)),
    "hard, v - v s": Reset(after=lambda v, s, m: v - v * s),
    "hard, where": Reset(after=lambda v, s, m: torch.where(s > 0, torch.zeros_like(v), v)),
    "hard, masked_fill": Reset(after=lambda v, s, m: v.masked_fill(s > 0, 0.0)),
    "hard, of the step before": Reset(before=lambda v, s, m: v * (1 - s)),
    "to a value": Reset(after=lambda v, s, m: v * (1 - s) + m.rest * s),
    "to a value, where": Reset(after=lambda v, s, m: torch.where(s > 0, m.rest, v)),
    "to a value, by a mask": Reset(after=_set),
    "to a value, of the step before": Reset(before=lambda v, s, m: v * (1 - s) + m.rest * s),
    "soft": Reset(after=lambda v, s, m: v - m.theta * s),
    "soft, by an amount": Reset(after=lambda v, s, m: v - m.amount * s),
    "soft, of the step before": Reset(before=lambda v, s, m: v - m.amount * s),
    "soft, late": Reset(charged=lambda h, s, m: h - m.theta * s, asks_first=True),
    "soft, late, by an amount": Reset(charged=lambda h, s, m: h - m.amount * s, asks_first=True),
    "hard, late": Reset(charged=lambda h, s, m: h * (1 - s), asks_first=True),
    "to a value, late": Reset(charged=lambda h, s, m: h * (1 - s) + m.rest * s, asks_first=True),
    "a part": Reset(after=lambda v, s, m: v * (1 - m.part * s)),
    "a part, where": Reset(after=lambda v, s, m: torch.where(s > 0, m.part * v, v)),
    "a part, of the step before": Reset(before=lambda v, s, m: v * (1 - m.part * s)),
    "a part, late": Reset(charged=lambda h, s, m: h * (1 - m.part * s), asks_first=True),
    "a part and a value": Reset(after=lambda v, s, m: torch.where(s > 0, m.part * v + m.rest, v)),
}  # fmt: skip


class Update(nn.Module):
    """One drawn neuron: `begin` makes its state, a call is one step of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        dyadic = rng.random() < 0.5

        def number(low: float, high: float) -> float:
            x = rng.uniform(low, high)
            return round(x * 8) / 8 if dyadic else x

        def numbers(low: float, high: float) -> Tensor:
            return torch.tensor([number(low, high) for _ in range(NEURONS)])

        self.dyadic = dyadic
        self.reset_name = rng.choice(list(RESETS))
        self.question = rng.choice(list(QUESTIONS))
        self.charge = rng.choice(["d v + x", "d v + x", "d v + x", "v + (x - v) / τ",
                                  "v - (v - r) / τ + x", "v + x"])  # fmt: skip
        self.each = rng.choice(["one", "one", "neuron", "learnt"])
        decay = number(0.25, 0.95)
        self.register_buffer("decays", numbers(0.25, 0.95))
        self.leak = nn.Parameter(numbers(-1, 2))
        self.decay = decay
        self.tau = rng.choice([2.0, 4.0]) if dyadic else rng.uniform(1.5, 5)
        self.gain = rng.choice([1.0, 1.0, 0.5, 2.0 if dyadic else 1 / 3])
        self.theta = max(number(0.25, 1.5), 0.125)
        self.amount = rng.choice([self.theta, max(number(0.25, 1.5), 0.125)])
        self.rest = rng.choice([number(-0.5, 0.2), number(-0.5, 0.2), 0.0])
        self.part = rng.choice([0.5, 0.25, 0.75]) if dyadic else rng.uniform(0.1, 0.9)
        self.constant = rng.choice([0.0, 0.0, number(-0.2, 0.3)])
        self.biased = rng.random() < 0.2
        self.bias = nn.Parameter(numbers(-0.2, 0.3))
        self.start = rng.choice([0.0, 0.0, number(-1, 1), 2.0 if dyadic else 1.9])
        self.spike = float(rng.random() < 0.15)
        self.current = rng.choice(["none"] * 6 + ["first", "first", "last"])
        self.fade = rng.choice([0.5, 0.25]) if dyadic else rng.uniform(0.2, 0.9)
        self.current_start = rng.choice([0.0, 0.0, number(-1, 1)])
        self.current_constant = rng.choice([0.0, 0.0, number(-0.1, 0.1)])
        self.own = rng.choice([0.0, 0.0, 0.0, number(-0.5, 0.5)])
        self.reset = RESETS[self.reset_name]
        self.fire = QUESTIONS[self.question][0]

    def begin(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Membrane, spikes and current."""
        return (
            torch.full_like(like, self.start), torch.full_like(like, self.spike),
            torch.full_like(like, self.current_start),
        )  # fmt: skip

    def charged(self, v: Tensor, x: Tensor) -> Tensor:
        decay = {"one": self.decay, "neuron": self.decays, "learnt": torch.sigmoid(self.leak)}
        match self.charge:
            case "v + x":
                return v + x
            case "v + (x - v) / τ":
                return v + (x - v) / self.tau
            case "v - (v - r) / τ + x":
                return v - (v - self.rest) / self.tau + x
        return decay[self.each] * v + x

    def forward(
        self, state: tuple[Tensor, Tensor, Tensor], x: Tensor
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        v, s, c = state
        if self.gain != 1:
            x = self.gain * x
        if self.current == "first":
            c = self.fade * c + x
            if self.current_constant:
                c = c + self.current_constant
            x = c
        elif self.current == "last":
            x, c = c, self.fade * c + x
        if self.biased:
            x = x + self.bias
        if self.constant:
            x = x + self.constant
        if self.own:
            x = x + self.own * s
        h = self.charged(self.reset.before(v, s, self), x)
        h = self.reset.charged(h, s, self)
        s = self.fire(h, self.theta)
        return (self.reset.after(h, s, self), s, c), s

    @property
    def has_form(self) -> bool | None:
        """Whether one of our neurons does what it does; None where that is not known."""
        if self.reset.asks_first and (self.spike or self.start >= self.theta):
            return None  # it would have to say a spike that its membrane does not, or says
        if self.reset.asks_first and self.own:
            return None
        if self.current == "last":
            return None  # it has one, and the recording may lose its steps
        return True

    def __str__(self) -> str:
        told = {
            "reset": self.reset_name, "question": self.question, "charge": self.charge,
            "each": self.each if self.charge == "d v + x" else "", "decay": self.decay,
            "tau": self.tau, "gain": self.gain, "theta": self.theta, "amount": self.amount,
            "rest": self.rest, "part": self.part, "constant": self.constant,
            "biased": self.biased, "start": self.start, "spike": self.spike,
            "current": self.current, "fade": self.fade, "current_start": self.current_start,
            "current_constant": self.current_constant, "own": self.own, "dyadic": self.dyadic,
        }  # fmt: skip
        return ", ".join(f"{name}={value}" for name, value in told.items())


class Network(nn.Module):
    """A layer, drawn neurons on it whose spikes are added up (``levels``), a readout."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        generator = torch.Generator().manual_seed(seed)
        self.levels = nn.ModuleList([Update(seed)])
        if rng.random() < 0.2:
            self.levels.append(Update(seed + 1_000_003))
        self.a, self.b = nn.Linear(INPUTS, NEURONS), nn.Linear(NEURONS, OUTPUTS)
        for layer in (self.a, self.b):
            if rng.random() < 0.3:
                layer.bias = None
            for each in layer.parameters():
                drawn = torch.randn(each.shape, generator=generator) * 0.6
                dyadic = all(level.dyadic for level in self.levels)
                each.data = (drawn * 8).round() / 8 if dyadic else drawn

    @property
    def has_form(self) -> bool | None:
        known = {level.has_form for level in self.levels}
        return None if None in known else True

    @property
    def is_in_step(self) -> bool:
        """Whether the spikes of a step hang on its input; else the recording may be a step ahead,
        and the neurons of the program fire once more than anybody reads."""
        return all(level.current != "last" for level in self.levels)

    def begin(self, like: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        return [level.begin(like) for level in self.levels]

    def step(self, states: list[Any], current: Tensor) -> tuple[list[Any], Tensor]:
        done = [level(state, current) for level, state in zip(self.levels, states, strict=True)]
        total = done[0][1]
        for _, s in done[1:]:
            total = total + s
        return [state for state, _ in done], total


# -- places ----------------------------------------------------------------------------------------


class LoopInForward(Network):
    """forward's own loop over x[t]."""

    def forward(self, x: Tensor) -> Tensor:
        states = self.begin(torch.zeros(x.shape[1], NEURONS))
        out = []
        for t in range(x.shape[0]):
            states, s = self.step(states, self.a(x[t]))
            out.append(self.b(s))
        return torch.stack(out).mean(0)


class _OwnLoop(nn.Module):
    """A neuron module that takes all steps and returns a stack."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.begin, self.step = network.begin, network.step
        self.levels = network.levels

    def forward(self, currents: Tensor) -> Tensor:
        states = self.begin(torch.zeros_like(currents[0]))
        out = []
        for current in currents:
            states, s = self.step(states, current)
            out.append(s)
        return torch.stack(out)


class NeuronWithItsLoop(Network):
    """A neuron module with its own loop between two layers."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.neuron(self.a(x))).mean(0)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.neuron = _OwnLoop(self)


class OnAnImage(Network):
    """forward's own loop over the same input."""

    def forward(self, x: Tensor) -> Tensor:
        states = self.begin(torch.zeros(x.shape[0], NEURONS))
        out = 0
        for _ in range(STEPS):
            states, s = self.step(states, self.a(x))
            out = out + self.b(s)
        return out / STEPS


class OneStep(Network):
    """One step; the states are kept on the module and begin when it is first called."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.states: list[Any] | None = None

    def reset(self) -> None:
        self.states = None

    def forward(self, x: Tensor) -> Tensor:
        current = self.a(x)
        if self.states is None:
            self.states = self.begin(torch.zeros_like(current))
        self.states, s = self.step(self.states, current)
        return self.b(s)


@dataclass(frozen=True)
class Place:
    """Where the state is and who calls the update: a network, and how it is compiled and called.

    ``given``: what it takes of (T, N, …).
    """

    make: Callable[[int], Network]
    options: Mapping[str, Any] = field(default_factory=lambda: {"input": "spike", "layout": "TN"})
    call: Callable[[nn.Module, Tensor], Tensor] = lambda module, x: module(x)
    given: Callable[[Tensor], Tensor] = lambda x: x


ONE_STEP = {"input": "spike", "layout": "N", "time_steps": STEPS}

PLACES: Mapping[str, Place] = {
    "loop in forward": Place(LoopInForward),
    "neuron with its loop": Place(NeuronWithItsLoop),
    "on an image": Place(OnAnImage, {"input": "spike", "layout": "N"}, given=lambda x: x[0]),
    "one step": Place(
        OneStep, ONE_STEP, lambda module, x: torch.stack([module(t) for t in x]).mean(0)
    ),
}


def inputs(seed: int) -> Iterator[Tensor]:
    """The example, and then other inputs and numbers of samples."""
    generator = torch.Generator().manual_seed(seed)
    for samples, rate in ((3, 0.5), (6, 0.3), (1, 0.7), (4, 0.9), (2, 0.0)):
        yield (torch.rand(STEPS, samples, INPUTS, generator=generator) < rate).float()


def answer(place: Place, network: Network, x: Tensor) -> tuple[Tensor, float]:
    """What the network itself says in float64, and how many spikes its neurons had."""
    twin = copy.deepcopy(network).double()
    spikes: list[Tensor] = []
    hooks = [level.register_forward_hook(lambda m, args, out: spikes.append(out[1]))
             for level in twin.levels]  # fmt: skip
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            said = place.call(twin, x.double())
    finally:
        torch.set_default_dtype(before)
        for hook in hooks:
            hook.remove()
    return said, float(sum(each.sum() for each in spikes))
