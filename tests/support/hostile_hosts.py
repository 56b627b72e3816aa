"""Small spiking networks with places for a hostile element, and what such elements may use."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

import snncc
from snncc.ir.ops import Spiking
from snncc.nn import IF, LIF, PLIF

Place = Literal["setup", "input", "current", "spikes", "output"]
"""Once on the ready module; on the input of forward; between a layer and the first neuron; between
the first neuron and the next layer; on what forward returns."""

Slip = Callable[["Host", Tensor, Tensor], Tensor]
"""From the network, the value at the place and the input of the step to another value."""


@dataclass(frozen=True)
class Plan:
    """What a network is made of; the same plan makes the same network."""

    seed: int
    library: Literal["snncc", "sj", "snntorch"]
    style: Literal["multi", "loop", "single"]
    """All steps in one call of a neuron; a loop over the steps in forward; one step per call."""
    layout: Literal["TN", "NT", "N"]
    input: Literal["spike", "count", "analog"]
    image: bool
    steps: int
    features: int
    norm: bool
    readout: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, 4, 4) if self.image else (self.features,)

    @property
    def static(self) -> bool:
        """Whether the same input is shown at each step."""
        return self.layout == "N" and self.input == "analog"

    def __str__(self) -> str:
        return (
            f"{self.library}, {self.style}, {self.layout}, {self.input} {self.shape}, "
            f"T={self.steps}{', norm' if self.norm else ''}{', readout' if self.readout else ''}"
        )


class Host(nn.Module):
    """Layer, norm, neuron, layer, neuron, readout; every weight a multiple of 1/8.

    Beside them lie parts that elements may use: ``rare`` fires on nearly full inputs only, when it
    reads ``total``; ``seen`` is an empty list, ``calls`` 0, ``table`` a buffer of ones.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        dice = random.Random(plan.seed)
        self.plan = plan
        self.first, self.second = _layer(plan, dice, 0.4), _layer(plan, dice, 0.2)
        self.norm = _norm(plan, dice) if plan.norm else nn.Identity()
        self.sn, self.out = _neuron(plan, dice, (0.5, 1.0, 1.5)), _neuron(plan, dice, (0.5, 0.75))
        self.total = _layer(plan, None, 1.0)
        weight = self.total.weight
        full = weight[0].numel() * plan.steps * {"spike": 1, "count": 200, "analog": 12}[plan.input]
        self.rare = _plain(plan, round(full * 0.8) + 0.5)
        self.head = nn.Linear(plan.shape[-1], 3, bias=False)
        _fill(self.head, dice, 0.2)
        self.register_buffer("table", torch.ones(plan.shape[-1]))
        self.seen: list[Any] = []
        self.box: dict[str, Any] = {}
        self.calls, self.t = 0, 0
        self.slips: dict[str, list[Slip]] = {}
        self._states: dict[int, Tensor | None] = {}

    def forward(self, x: Tensor) -> Tensor:
        plan = self.plan
        x = self._slipped("input", x, x)
        if plan.layout == "NT":
            x = x.transpose(0, 1)
        self._states.clear()
        if plan.style == "single":
            y = self.step(x)
        elif plan.style == "multi":
            y = self.step(x.unsqueeze(0).repeat(plan.steps, *[1] * x.dim()) if plan.static else x)
        else:
            answers = []
            for t in range(plan.steps):
                self.t = t
                answers.append(self.step(x if plan.static else x[t]))
            y = torch.stack(answers)
        return self._slipped("output", y, x)

    def step(self, x: Tensor) -> Tensor:
        current = self.each(self.norm, self.each(self.first, x))
        spikes = self.fire(self.sn, self._slipped("current", current, x))
        y = self.fire(self.out, self.each(self.second, self._slipped("spikes", spikes, x)))
        return self.head(y) if self.plan.readout else y

    def each(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """A function of (N, …) on every step."""
        if self.plan.style != "multi":
            return function(x)
        return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def fire(self, neuron: nn.Module, x: Tensor) -> Tensor:
        if self.plan.library != "snntorch":
            return neuron(x)
        if self.plan.style == "single":
            return neuron(x).to(x)
        state = self._states.get(id(neuron))
        spikes, state = neuron(x, neuron.init_leaky().to(x) if state is None else state)
        self._states[id(neuron)] = state
        return spikes.to(x)

    def full(self, x: Tensor) -> Tensor:
        """Spikes that are 0 unless the input is nearly full for all steps."""
        return self.fire(self.rare, self.each(self.total, x))

    def _slipped(self, place: str, value: Tensor, x: Tensor) -> Tensor:
        for slip in self.slips.get(place, ()):
            value = slip(self, value, x)
        return value


def reset(module: nn.Module) -> None:
    """Known neurons forget what they saw; nothing else does."""
    for part in module.modules():
        home = type(part).__module__
        if "spikingjelly" in home and hasattr(part, "reset"):
            part.reset()
        elif "snntorch" in home and hasattr(part, "mem"):
            part.mem = torch.zeros(0)


# -- parts ---------------------------------------------------------------------------------------


def _fill(layer: nn.Module, dice: random.Random, mean: float) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            eighths = [round(dice.gauss(8 * mean, 5)) for _ in range(parameter.numel())]
            parameter.copy_(torch.tensor(eighths).view(parameter.shape) / 8)


def _layer(plan: Plan, dice: random.Random | None, mean: float) -> nn.Module:
    """From the shape of the input to the same shape; all ones without ``dice``."""
    if plan.image:
        layer: nn.Module = nn.Conv2d(2, 2, 3, padding=1, bias=dice is not None)
    else:
        layer = nn.Linear(plan.features, plan.features, bias=dice is not None)
    if dice is None:
        nn.init.ones_(layer.weight)
    else:
        _fill(layer, dice, mean)
    return layer


def _norm(plan: Plan, dice: random.Random) -> nn.Module:
    """One whose factors are powers of two, so that it folds into weights and thresholds exactly."""
    if plan.image:
        norm: nn.Module = nn.BatchNorm2d(2, eps=0.0)
    else:
        norm = nn.BatchNorm1d(plan.features, eps=0.0)
    _fill(norm, dice, 0.0)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([dice.choice([0.5, 1.0, 2.0, -1.0]) for _ in norm.weight]))
        norm.running_mean.fill_(dice.choice([0.0, 0.25, -0.5]))
        norm.running_var.fill_(dice.choice([0.25, 1.0, 4.0]))
    return norm


def _plain(plan: Plan, threshold: float) -> nn.Module:
    """Integrate and fire."""
    if plan.library == "sj":
        from spikingjelly.activation_based import neuron

        return neuron.IFNode(threshold, step_mode="m" if plan.style == "multi" else "s")
    if plan.library == "snntorch":
        import snntorch

        return snntorch.Leaky(1.0, threshold, init_hidden=plan.style == "single")
    return IF(threshold)


def _neuron(plan: Plan, dice: random.Random, thresholds: tuple[float, ...]) -> nn.Module:
    threshold, soft = dice.choice(thresholds), dice.random() < 0.4
    kind = dice.choice(["IF", "IF", "LIF", "PLIF"])
    if plan.library == "snntorch":
        import snntorch

        return snntorch.Leaky(
            dice.choice([0.5, 0.75, 1.0]), threshold, init_hidden=plan.style == "single",
            reset_mechanism="subtract" if soft else "zero",
        )  # fmt: skip
    if plan.library == "sj":
        from spikingjelly.activation_based import neuron

        options: dict[str, Any] = {
            "v_threshold": threshold, "v_reset": None if soft else 0.0,
            "step_mode": "m" if plan.style == "multi" else "s",
        }  # fmt: skip
        makers = {"IF": neuron.IFNode, "LIF": neuron.LIFNode, "PLIF": neuron.ParametricLIFNode}
        if kind != "IF":
            options["decay_input"] = dice.random() < 0.5
        return makers[kind](**options)
    resets: dict[str, Any] = {"threshold": threshold, "reset": "soft" if soft else "hard"}
    if kind == "IF":
        return IF(**resets)
    maker = LIF if kind == "LIF" else PLIF
    return maker(2.0, decay_input=dice.random() < 0.5, **resets)


def set_threshold(neuron: nn.Module, value: float) -> None:
    """By the name it has in the neuron's library."""
    home = type(neuron).__module__
    if "spikingjelly" in home:
        neuron.v_threshold = value
    elif "snntorch" in home:
        neuron.threshold = torch.tensor(value)
    else:
        neuron.threshold = value


def set_surrogate(neuron: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
    """What turns the membrane above its threshold into a spike."""
    home = type(neuron).__module__
    name = (
        "surrogate_function" if "spikingjelly" in home
        else "spike_grad" if "snntorch" in home
        else "surrogate"
    )  # fmt: skip
    if isinstance(getattr(neuron, name), nn.Module) and not isinstance(function, nn.Module):
        function = Called(function)
    setattr(neuron, name, function)


class Called(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Own(nn.Module):
    """A neuron of ours, and what is said of it: v ← charge(v, i); z = fire(v); v ← after(v, z)."""

    def __init__(
        self,
        charge: Callable[..., Tensor] = lambda v, i, t: v + i,
        fire: Callable[..., Tensor] = lambda v, t: v >= 1.0,
        after: Callable[..., Tensor] = lambda v, z, t: v * (1 - z),
        start: float = 0.0,
        **said: Any,
    ) -> None:
        super().__init__()
        self.charge, self.fire, self.after, self.start = charge, fire, after, start
        self.said = Spiking(**({"threshold": 1.0} | said))

    def forward(self, x: Tensor) -> Tensor:
        v, out = torch.full_like(x[0], self.start), []
        for t, current in enumerate(x):
            v = self.charge(v, current, t)
            z = self.fire(v, t).to(v)
            v = self.after(v, z, t)
            out.append(z)
        return torch.stack(out)


snncc.register_neuron(Own, lambda own: snncc.NeuronModule(own.said, True, keeps_state=False))


class Sub(IF):
    """A subclass that does nothing else."""


class Inverting(IF):
    """A subclass that fires where its parent does not."""

    def forward(self, x: Tensor) -> Tensor:
        return 1 - super().forward(x)


class Odd(torch.autograd.Function):
    """Forward adds one half and rounds down, whatever its users think it does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.floor(x + 0.5)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Counting(torch.autograd.Function):
    """Its third call doubles."""

    calls = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        Counting.calls += 1
        return x * 2 if Counting.calls > 2 else x * 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Doubling(torch.Tensor):
    """A tensor that adds twice."""

    def __add__(self, other: Any) -> Tensor:
        return super().__add__(other).mul(2)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Shared:
    """What all networks share."""

    calls = 0

    @classmethod
    def bump(cls) -> int:
        cls.calls += 1
        return cls.calls


@torch.jit.script
def scripted(a: Tensor, x: Tensor) -> Tensor:
    return a * 2 + x


@torch.jit.script
def scripted_branch(a: Tensor, x: Tensor) -> Tensor:
    if bool(x.sum() > 0.95 * x.numel()):
        return 1 - a
    return a
