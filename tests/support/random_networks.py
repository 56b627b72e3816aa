"""Random spiking networks as torch modules, drawn so that each must compile.

``draw(seed)`` is a network and inputs for it; the same seed draws the same network, and a smaller
``size`` the same network without its last steps, so that a failure is made small by making
``size`` small. ``print(sample)`` reads as a program.

A quarter of the networks are *dyadic*: every number is a small multiple of a power of two and every
sum exact, so that not even a tie is allowed. Membranes land on their thresholds all the time there.
In the others thresholds are drawn from an interval, and a tie is a coincidence.
"""

from __future__ import annotations

import itertools
import math
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.nn import IF, LIF, PLIF

Kind = Literal["spike", "count", "current", "mixed", "host"]
"""What a value is: 0 or 1; a whole number up to ``top``; linear in spikes; linear in spikes and
the analog input; of the analog input alone."""

Shape = tuple[int, ...]

HEADS = 5
"""So many values the readout takes at most."""


@dataclass(frozen=True)
class Value:
    """What the generator knows of a value: its features, and what they can be."""

    shape: Shape
    kind: Kind
    top: int = 1
    fired: bool = False
    """Whether a neuron lies before it."""


@dataclass(frozen=True)
class Step:
    """One line of the program: ``run(network, *arguments)``."""

    text: str
    arguments: tuple[int, ...]
    run: Callable[..., Tensor]


class Drawn(nn.Module):
    """Runs its steps in order; values are (T, N, *features), or (T·N, *features) if ``flat``."""

    def __init__(self, layout: str, steps: int, flat: bool) -> None:
        super().__init__()
        self.layout, self.time_steps, self.flat = layout, steps, flat
        self.layers = nn.ModuleDict()
        self.program: list[Step] = []
        self.start: Callable[[Drawn, Tensor], Tensor] = lambda network, x: x
        self.end: Callable[..., object] = lambda network, values: values[-1]

    def forward(self, x: Tensor) -> object:
        x = self.start(self, x)
        values = [x.flatten(0, 1) if self.flat else x]
        for step in self.program:
            values.append(step.run(self, *(values[i] for i in step.arguments)))
        return self.end(self, values)

    @property
    def lead(self) -> int:
        """How many axes come before the features."""
        return 1 if self.flat else 2

    def layer(self, name: str, x: Tensor) -> Tensor:
        return self.each_step(self.layers[name], x)

    def each_step(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """A function of (N, *features) on every step."""
        if self.flat:
            return function(x)
        return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def neuron(self, name: str, x: Tensor) -> Tensor:
        neuron = self.layers[name]
        if self.flat:
            return neuron(x.unflatten(0, (self.time_steps, -1))).flatten(0, 1)
        return neuron(x)


class Standardised(nn.Module):
    """A conv that standardises its weights whenever it runs (Qiao et al. 2019), as OTTT's does."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.gain = nn.Parameter(torch.ones(len(conv.weight), 1, 1, 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.conv.weight
        mean = weight.mean(dim=[1, 2, 3], keepdim=True)
        variance = torch.var(weight, dim=[1, 2, 3], keepdim=True, unbiased=False)
        weight = (weight - mean) / (variance * weight[0].numel() + 1e-4) ** 0.5 * self.gain
        conv = self.conv
        return F.conv2d(x, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


@dataclass(frozen=True)
class Sample:
    """A network, an example to trace it with and other inputs to compare it on."""

    seed: int
    size: int
    module: Drawn
    example: Tensor
    inputs: Tensor
    kind: Literal["spike", "count", "analog"]
    layout: Literal["TN", "N", "NT"]
    dyadic: bool
    values: tuple[Value, ...] = field(repr=False)

    def __str__(self) -> str:
        form = "flat" if self.module.flat else "steps apart"
        lines = [
            f"seed {self.seed}, size {self.size}: T={self.module.time_steps}, {self.layout}, "
            f"{self.kind} {self.values[0].shape}, {form}{', dyadic' if self.dyadic else ''}"
        ]
        for number, (step, value) in enumerate(
            zip(self.module.program, self.values[1:], strict=True), 1
        ):
            arguments = ", ".join(f"v{i}" for i in step.arguments)
            lines.append(f"  v{number} = {step.text}({arguments})  # {value.kind} {value.shape}")
        return "\n".join(lines)


def draw(seed: int, size: int = 10) -> Sample:
    """The network of ``seed`` with about ``size`` steps."""
    return _Drawing(seed, size).sample()


class _Drawing:
    """A network in the making."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size
        self.random = random.Random(seed)
        self.torch = torch.Generator().manual_seed(seed)
        self.dyadic = self.chance(0.25)
        self.layout = self.random.choice(["TN", "TN", "N", "NT"])
        self.input = "analog" if self.layout == "N" else self.random.choice(
            ["spike", "spike", "spike", "count", "analog"])  # fmt: skip
        self.steps = self.random.randint(1, 6)
        self.module = Drawn(self.layout, self.steps, self.chance(0.4))
        self.values: list[Value] = []

    # -- chance ------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def number(self, *choices: float) -> float:
        return self.random.choice(choices)

    def bound(self, low: float, *more: float) -> float:
        """One of the numbers if dyadic, else any between the first and the last."""
        return self.number(low, *more) if self.dyadic else self.random.uniform(low, more[-1])

    def tensor(self, shape: Shape, spread: float, centre: float = 0.0) -> Tensor:
        values = centre + spread * torch.randn(shape, generator=self.torch, dtype=torch.float64)
        return torch.round(values * 16) / 16 if self.dyadic else values

    def factors(self, shape: Shape) -> Tensor:
        """Some negative, some zero; exact to divide by if dyadic."""
        values = self.tensor(shape, 0.7, 0.5)
        return values.sign() * 2 ** torch.round(values * 2) if self.dyadic else values

    def having(self, *kinds: Kind, rank: int = 0, top: int = 999) -> list[int]:
        """Values of these kinds, with at least ``rank`` feature axes."""
        return [
            i
            for i, v in enumerate(self.values)
            if v.kind in kinds and len(v.shape) >= rank and v.top <= top
        ]

    def one(self, *kinds: Kind, rank: int = 0, top: int = 999) -> int | None:
        """One of them, recent ones and those nobody reads more often."""
        found = self.having(*kinds, rank=rank, top=top)
        read = {i for each in self.module.program for i in each.arguments}
        unread = [i for i in found if i not in read]
        return self.random.choice(found[-4:] + found + 3 * unread) if found else None

    def several(self, count: int, *kinds: Kind, top: int = 999) -> list[int]:
        """Up to ``count`` values of one shape."""
        first = self.one(*kinds, top=top)
        if first is None:
            return []
        alike = [
            i
            for i in self.having(*kinds, top=top)
            if self.values[i].shape == self.values[first].shape
        ]
        return [first, *self.random.sample(alike, min(count - 1, len(alike)))]

    # -- building ----------------------------------------------------------------------------

    def add(self, text: str, arguments: list[int], kind: Kind, shape: Shape,
            run: Callable[..., Tensor], top: int = 1) -> int:  # fmt: skip
        self.module.program.append(Step(text, tuple(arguments), run))
        fired = text.startswith("neuron") or any(self.values[i].fired for i in arguments)
        self.values.append(Value(shape, kind, top, fired))
        return len(self.values) - 1

    def named(self, layer: nn.Module, what: str) -> str:
        name = f"{what}{len(self.module.layers)}"
        self.module.layers[name] = layer.double()
        return name

    def hold(self, tensor: Tensor, what: str) -> str:
        """A constant of the network."""
        name = f"{what}{sum(1 for _ in self.module.buffers())}"
        self.module.register_buffer(name, tensor)
        return name

    def sample(self) -> Sample:
        shape = self.first()
        for _ in range(self.size):
            self.random.choices(*zip(*_STEPS, strict=True))[0](self)
        self.finish()
        self.module.eval()
        example, inputs = self.data(shape, 2), self.data(shape, self.random.randint(1, 3))
        return Sample(
            self.seed, self.size, self.module, example, inputs, self.input, self.layout,
            self.dyadic, tuple(self.values),
        )  # fmt: skip

    def first(self) -> Shape:
        """The input, and what turns it into (T, N, *features)."""
        channels = self.random.randint(1, 3)
        shape = self.random.choice([
            (channels, self.random.randint(3, 7), self.random.randint(3, 7)),
            (channels, self.random.randint(3, 7), self.random.randint(3, 7)),
            (channels, self.random.randint(4, 9)),
            (self.random.randint(3, 12),),
        ])  # fmt: skip
        kinds: dict[str, tuple[Kind, int]] = {
            "spike": ("spike", 1), "count": ("count", 255), "analog": ("host", 1),
        }  # fmt: skip
        kind, top = kinds[self.input]
        self.values.append(Value(shape, kind, top))
        if self.layout == "NT":
            self.module.start = lambda network, x: x.transpose(0, 1)
        elif self.layout == "N":
            before = self.chance(0.5)
            if before:
                name = self.weighted(shape)[0] if len(shape) > 1 else None
            if before and name is not None:
                with torch.no_grad():
                    after = self.module.layers[name](torch.zeros(1, *shape, dtype=torch.float64))
                self.values[0] = Value(tuple(after.shape[1:]), "host")
                self.module.start = lambda network, x: _repeated(network, network.layers[name](x))
            else:
                self.module.start = _repeated
        return shape

    def data(self, shape: Shape, samples: int) -> Tensor:
        lead = {"TN": (self.steps, samples), "NT": (samples, self.steps), "N": (samples,)}
        size = (*lead[self.layout], *shape)
        if self.input == "analog":
            values = torch.randn(size, generator=self.torch, dtype=torch.float64)
            return torch.round(values * 16) / 16 if self.dyadic else values
        rate = torch.full(size, 0.4, dtype=torch.float64)
        if self.input == "count":
            return torch.poisson(rate * 2, self.torch)
        return (torch.rand(size, generator=self.torch, dtype=torch.float64) < rate).double()

    # -- the end -----------------------------------------------------------------------------

    def finish(self) -> None:
        """A neuron on each value nobody reads, and a readout of those spikes."""
        read = {i for each in self.module.program for i in each.arguments}
        loose = [i for i in range(len(self.values)) if i not in read]
        chosen = []
        for i in loose[-HEADS:]:
            spikes = self.values[i].kind in ("spike", "count") and self.values[i].fired
            chosen.append(i if spikes else self.fire(i))
        width = sum(math.prod(self.values[i].shape) for i in chosen)
        head = self.named(nn.Linear(width, 3), "head")
        way = self.random.choice(["mean", "sum", "steps", "flat mean", "softmax"])
        auxiliary = None
        if self.chance(0.2):
            source = self.random.choice(chosen)
            width = math.prod(self.values[source].shape)
            auxiliary = (source, self.named(nn.Linear(width, 2), "auxiliary"))
        self.module.end = lambda network, values: _read_out(
            network, values, chosen, head, way, auxiliary
        )
        self.module.eval()

    # -- linear ------------------------------------------------------------------------------

    def weighted(self, shape: Shape) -> tuple[str, str]:
        """A conv, transposed conv or dense layer for features of ``shape``."""
        rank = len(shape) - 1
        if rank not in (1, 2) or self.chance(0.1):
            layer: nn.Module = nn.Linear(shape[-1], self.random.randint(2, 6), self.chance(0.6))
            self.fill(layer)
            return self.named(layer, "linear"), "linear"
        channels = shape[0]
        groups = self.random.choice([g for g in (1, 1, 2, 3) if channels % g == 0])
        out = groups * self.random.randint(1, max(1, 4 // groups))
        size = self.random.choice([1, 1, 2]) if max(shape[1:]) > 4 else 1
        stride = tuple(self.random.choice([1, 1, size + 1]) for _ in range(rank))
        dilation = tuple(self.random.choice([1, 1, 2]) for _ in range(rank))
        if self.chance(0.2) and math.prod(shape[1:]) <= 36:
            kernel = tuple(self.random.randint(1, 3) for _ in range(rank))
            extra = tuple(self.random.randint(0, max(s, d) - 1) for s, d in zip(
                stride, dilation, strict=True))  # fmt: skip
            padding = tuple(self.random.randint(0, 1) for _ in kernel)
            after = [
                (n - 1) * s - 2 * p + d * (k - 1) + e + 1
                for n, s, p, d, k, e in zip(
                    shape[1:], stride, padding, dilation, kernel, extra, strict=True)
            ]  # fmt: skip
            if min(after) > 0:
                up = (nn.ConvTranspose1d, nn.ConvTranspose2d)[rank - 1]
                layer = up(channels, out, kernel, stride, padding, extra, groups,
                           self.chance(0.5), dilation)  # fmt: skip
                self.fill(layer)
                return self.named(layer, "up"), "conv_transpose"
        padding = tuple(self.random.randint(0, 2) for _ in range(rank))
        kernel = tuple(
            self.random.randint(1, max(1, min(3, (n + 2 * p - 1) // d + 1)))
            for n, p, d in zip(shape[1:], padding, dilation, strict=True)
        )
        conv = (nn.Conv1d, nn.Conv2d)[rank - 1]
        layer = conv(channels, out, kernel, stride, padding, dilation, groups, self.chance(0.5))
        self.fill(layer)
        if rank == 2 and not self.dyadic and self.chance(0.15):
            layer = Standardised(layer)
        return self.named(layer, "conv"), "conv"

    def fill(self, layer: nn.Module) -> None:
        """Weights that make neurons fire now and then."""
        with torch.no_grad():
            weight = layer.weight
            inputs = weight[0].numel() if not isinstance(
                layer, nn.ConvTranspose1d | nn.ConvTranspose2d) else weight.shape[0]  # fmt: skip
            layer.weight = nn.Parameter(
                self.tensor(tuple(weight.shape), 1.5 / math.sqrt(inputs), 0.5 / math.sqrt(inputs))
            )
            if layer.bias is not None:
                layer.bias = nn.Parameter(self.tensor(tuple(layer.bias.shape), 0.4, 0.3))

    def norm(self, channels: int, rank: int) -> str:
        norm = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[rank](
            channels, eps=self.number(1e-5, 1e-3), affine=self.chance(0.9)
        )
        self.measured(norm)
        if norm.affine:
            gamma = self.tensor((channels,), 1.0, 0.3)
            norm.weight = nn.Parameter(torch.where(self.zeros(channels, 0.15), 0.0, gamma))
            norm.bias = nn.Parameter(self.tensor((channels,), 0.4, 0.3))
        return self.named(norm, "bn")

    def measured(self, norm: nn.Module) -> None:
        channels = norm.running_mean.numel()
        norm.running_mean = self.tensor((channels,), 0.3)
        norm.running_var = 0.05 + self.tensor((channels,), 1.0) ** 2

    def zeros(self, size: int, share: float) -> Tensor:
        return torch.rand(size, generator=self.torch) < share

    def fire(self, source: int) -> int:
        """A neuron on ``source``, now and then one that is called elsewhere too."""
        known = [name for name in self.module.layers if name.startswith("neuron")]
        name = self.random.choice(known) if known and self.chance(0.1) else self.neuron()
        return self.add(
            f"neuron {name} {self.module.layers[name]}", [source], "spike",
            self.values[source].shape, lambda network, x: network.neuron(name, x),
        )  # fmt: skip

    def neuron(self) -> str:
        kinds = ("IF", "LIF") if self.dyadic else ("IF", "LIF", "PLIF")
        kind = self.random.choice(kinds)
        reset = self.random.choice(["hard", "hard", "soft"])
        threshold = self.bound(0.5, 1.0, 1.0, 1.75)
        rest = self.number(0.0, 0.0, -0.5, 0.25) if reset == "hard" else 0.0
        options = {"threshold": threshold, "v_reset": rest, "reset": reset}
        if kind == "IF":
            neuron: nn.Module = IF(**options)
        elif kind == "LIF":
            tau = self.number(2.0, 4.0) if self.dyadic else self.number(1.0, 1.5, 2.0, 3.3)
            neuron = LIF(tau, self.chance(0.5), **options)
        else:
            neuron = PLIF(self.number(1.3, 2.0, 5.0), self.chance(0.5), **options)
        return self.named(neuron, "neuron")


def _repeated(network: Drawn, x: Tensor) -> Tensor:
    return x.unsqueeze(0).repeat(network.time_steps, *[1] * x.dim())


def _read_out(network: Drawn, values: list[Tensor], chosen: list[int], head: str, way: str,
              auxiliary: tuple[int, str] | None) -> object:  # fmt: skip
    parts = [values[i].flatten(network.lead) for i in chosen]
    x = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
    if network.flat:
        x = x.unflatten(0, (network.time_steps, -1))
    y: Tensor = network.layers[head](x.mean(0) if way == "flat mean" else x)
    if way in ("mean", "softmax"):
        y = y.mean(0)
    elif way == "sum":
        y = y.sum(0)
    elif way == "steps" and network.layout == "NT":
        y = y.transpose(0, 1)
    if way == "softmax":
        y = y.softmax(-1)
    if auxiliary is None:
        return y
    source, layer = auxiliary
    return y, torch.relu(network.layers[layer](values[source].flatten(network.lead)))


# -- steps -------------------------------------------------------------------------------------

_STEPS: list[tuple[Callable[[_Drawing], object], float]] = []


def step(weight: float) -> Callable[[Callable[[_Drawing], object]], Callable[[_Drawing], object]]:
    """Enter a kind of step; ``weight``: how often it is drawn."""

    def enter(function: Callable[[_Drawing], object]) -> Callable[[_Drawing], object]:
        _STEPS.append((function, weight))
        return function

    return enter


def _moved(value: Value) -> Kind:
    return value.kind


def _summed(value: Value) -> Kind:
    """The kind of a real linear map of the value."""
    return {"spike": "current", "count": "current"}.get(value.kind, value.kind)  # type: ignore[return-value]


_ANY: tuple[Kind, ...] = ("spike", "count", "current", "mixed", "host")
_LINEAR: tuple[Kind, ...] = ("spike", "count", "current", "host")


@step(8)
def layer_norm_neuron(d: _Drawing) -> object:
    """weighted layer, maybe a norm, a neuron"""
    source = d.one("spike", "spike", "count", "current", "host")
    if source is None:
        return None
    y = weighted_layer(d, source)
    if not d.dyadic and d.chance(0.6):
        y = batch_norm(d, y)
    return d.fire(y)


def weighted_layer(d: _Drawing, source: int) -> int:
    value = d.values[source]
    if math.prod(value.shape) > 400 and len(value.shape) > 1:
        source = d.add(
            "mean over the last axis", [source], _summed(value), value.shape[:-1],
            lambda network, x: x.mean(-1),
        ) if not d.dyadic else d.add(
            "first of the last axis", [source], value.kind, value.shape[:-1],
            lambda network, x: x[..., 0], value.top,
        )  # fmt: skip
        value = d.values[source]
    alike = [
        name for name, layer in d.module.layers.items()
        if isinstance(layer, nn.Conv1d | nn.Conv2d)
        and layer.weight.dim() == len(value.shape) + 1
        and layer.in_channels == value.shape[0]
        and all(n + 2 * p > e * (k - 1) for n, p, e, k in zip(
            value.shape[1:], layer.padding, layer.dilation, layer.kernel_size, strict=True))
    ]  # fmt: skip
    if alike and d.chance(0.3):
        name, what = d.random.choice(alike), "shared"
    else:
        name, what = d.weighted(value.shape)
    layer = d.module.layers[name]
    with torch.no_grad():
        after = layer(torch.zeros(1, *value.shape, dtype=torch.float64)).shape[1:]
    return d.add(
        f"{what} {layer}", [source], _summed(value), tuple(after),
        lambda network, x: network.layer(name, x),
    )  # fmt: skip


def batch_norm(d: _Drawing, source: int) -> int:
    value = d.values[source]
    if len(value.shape) > 3:
        return source
    name = d.norm(value.shape[0], len(value.shape) - 1)
    return d.add(
        f"batch norm {d.module.layers[name]}", [source], _summed(value), value.shape,
        lambda network, x: network.layer(name, x),
    )  # fmt: skip


@step(3)
def only_layer(d: _Drawing) -> object:
    source = d.one(*_LINEAR)
    return None if source is None else weighted_layer(d, source)


@step(2)
def only_norm(d: _Drawing) -> object:
    source = d.one(*_ANY)
    return None if source is None or d.dyadic else batch_norm(d, source)


@step(3)
def only_neuron(d: _Drawing) -> object:
    source = d.one("current", "mixed", "host", "current", "spike")
    return None if source is None else d.fire(source)


@step(4)
def merge(d: _Drawing) -> object:
    """Several contributions, each with its own norm, into one neuron."""
    first = d.one(*_LINEAR)
    if first is None:
        return None
    shape = d.values[first].shape
    alike = [i for i in d.having(*_LINEAR) if d.values[i].shape == shape]
    parts = [d.random.choice(alike) for _ in range(d.random.randint(2, 3))]
    if len(shape) in (2, 3):
        conv = (nn.Conv1d, nn.Conv2d)[len(shape) - 2]
        for n, part in enumerate(parts):
            if d.values[part].kind == "host" or d.chance(0.3):
                continue
            layer = conv(shape[0], shape[0], 3, padding=1)
            d.fill(layer)
            name = d.named(layer, "conv")
            parts[n] = d.add(
                f"conv {layer}", [part], "current", shape,
                lambda network, x, name=name: network.layer(name, x),
            )  # fmt: skip
    if not d.dyadic:
        parts = [batch_norm(d, part) if d.chance(0.6) else part for part in parts]
    return d.fire(addition(d, parts))


def addition(d: _Drawing, parts: list[int]) -> int:
    values = [d.values[i] for i in parts]
    kinds = {v.kind for v in values}
    if kinds <= {"spike", "count"}:
        kind: Kind = "count"
    elif kinds == {"host"}:
        kind = "host"
    else:
        kind = "mixed" if kinds & {"host", "mixed"} else "current"
    top = sum(v.top for v in values) if kind == "count" else 1
    return d.add(
        "add", parts, kind, values[0].shape, lambda network, *xs: reduce(operator.add, xs), top
    )


@step(3)
def add(d: _Drawing) -> object:
    parts = d.several(d.random.randint(2, 3), *_ANY)
    return addition(d, parts) if len(parts) > 1 else None


@step(2)
def scale(d: _Drawing) -> object:
    """By a number, or by one number per channel, or minus a constant and over another."""
    source = d.one(*_ANY)
    if source is None:
        return None
    value = d.values[source]
    kind: Kind = _summed(value)
    which = d.random.randint(0, 3)
    if which == 0:
        factor = d.number(0.5, -1.0, 2.0, 0.25) if d.dyadic else d.number(0.5, -1.3, 2.0, 0.1)
        return d.add(f"times {factor}", [source], kind, value.shape,
                     lambda network, x: x * factor)  # fmt: skip
    size = (value.shape[0], *[1] * (len(value.shape) - 1))
    spread = d.factors(size)
    shift = d.hold(d.tensor(size, 0.4), "shift")
    if which == 1:
        factor_ = d.hold(spread, "factor")
        return d.add("times one number per channel", [source], kind, value.shape,
                     lambda network, x: x * getattr(network, factor_))  # fmt: skip
    if which == 2:
        return d.add("minus one number per channel", [source], kind, value.shape,
                     lambda network, x: x - getattr(network, shift))  # fmt: skip
    if d.dyadic:
        return None
    # A norm written out, its epsilon outside the root (tdBN).
    variance = d.hold(spread.abs() + 0.1, "variance")
    gamma = d.hold(d.tensor(size, 1.0), "gamma")
    return d.add(
        "tdBN by hand", [source], kind, value.shape,
        lambda network, x: (x - getattr(network, shift))
        / (torch.sqrt(getattr(network, variance)) + 1e-3) * getattr(network, gamma),
    )  # fmt: skip


@step(2)
def average_pool(d: _Drawing) -> object:
    source = d.one(*_ANY, rank=2)
    if source is None:
        return None
    value = d.values[source]
    rank = len(value.shape) - 1
    if rank > 2:
        return None
    kernel = tuple(d.random.randint(1, min(3, n)) for n in value.shape[1:])
    if d.dyadic:
        kernel = tuple(d.random.choice([k for k in (1, 2, 4) if k <= n]) for n in value.shape[1:])
    stride = tuple(d.random.randint(1, 3) for _ in kernel)
    padding = tuple(d.random.randint(0, k // 2) for k in kernel)
    ceil, counting = d.chance(0.4), d.chance(0.5)
    if d.dyadic:
        ceil, counting = False, True
    pool = (F.avg_pool1d, F.avg_pool2d)[rank - 1]
    if rank == 2 and d.chance(0.3):
        options: dict[str, object] = {"divisor_override": d.random.choice([1, 2])}
    else:
        options = {}
    run = lambda x: pool(x, kernel, stride, padding, ceil, counting, **options)  # noqa: E731
    after = tuple(run(torch.zeros(1, *value.shape)).shape[1:])
    return d.add(
        f"average pool k={kernel} s={stride} p={padding} ceil={ceil} counting={counting} {options}",
        [source], _summed(value), after, lambda network, x: network.each_step(run, x),
    )  # fmt: skip


@step(1)
def adaptive_pool(d: _Drawing) -> object:
    source = d.one(*_ANY, rank=2)
    if source is None or d.dyadic or len(d.values[source].shape) > 3:
        return None
    value = d.values[source]
    size = tuple(d.random.randint(1, n) for n in value.shape[1:])
    pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d)[len(size) - 1]
    return d.add(
        f"adaptive average pool to {size}", [source], _summed(value), (value.shape[0], *size),
        lambda network, x: network.each_step(lambda y: pool(y, size), x),
    )  # fmt: skip


@step(1)
def mean_over_space(d: _Drawing) -> object:
    source = d.one(*_ANY, rank=2)
    if source is None:
        return None
    value = d.values[source]
    keep, total = d.chance(0.5), d.dyadic or d.chance(0.3)
    axes = d.random.choice([(-1,), (-2, -1)]) if len(value.shape) > 2 else (-1,)
    kept = tuple(1 if i - len(value.shape) in axes else n for i, n in enumerate(value.shape)
                 if keep or i - len(value.shape) not in axes)  # fmt: skip
    what = "sum" if total else "mean"
    return d.add(
        f"{what} over {axes} keep={keep}", [source], _summed(value), kept,
        lambda network, x: x.sum(axes, keep) if total else x.mean(axes, keep),
    )  # fmt: skip


# -- moving ------------------------------------------------------------------------------------


@step(1.5)
def move(d: _Drawing) -> object:
    """Reshape, flatten, permute, pad, upsample."""
    source = d.one(*_ANY, rank=2)
    if source is None:
        return None
    value = d.values[source]
    shape, kind, top = value.shape, value.kind, value.top
    which = d.random.choice(["flatten", "permute", "pad", "upsample", "reshape"])
    if which == "flatten":
        return d.add("flatten", [source], kind, (math.prod(shape),),
                     lambda network, x: x.flatten(network.lead), top)  # fmt: skip
    if which == "permute":
        order = list(range(len(shape)))
        d.random.shuffle(order)
        return d.add(
            f"permute {order}", [source], kind, tuple(shape[i] for i in order),
            lambda network, x: x.permute(
                *range(network.lead), *(i + network.lead for i in order)),
            top,
        )  # fmt: skip
    if which == "pad":
        widths = [d.random.randint(0, 2) for _ in range(2 * (len(shape) - 1))]
        sides = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
        after = (shape[0], *(n + a + b for n, (a, b) in zip(shape[1:], sides, strict=True)))
        return d.add(f"pad {widths}", [source], kind, after,
                     lambda network, x: F.pad(x, widths), top)  # fmt: skip
    if which == "upsample" and len(shape) in (2, 3) and math.prod(shape) <= 64:
        factors = [d.random.randint(1, 2) for _ in shape[1:]]
        after = (shape[0], *(n * f for n, f in zip(shape[1:], factors, strict=True)))
        return d.add(
            f"upsample {factors}", [source], kind, after,
            lambda network, x: network.each_step(
                lambda y: F.interpolate(y, scale_factor=[float(f) for f in factors]), x),
            top,
        )  # fmt: skip
    after = (shape[0] * shape[1], *shape[2:])
    return d.add(f"reshape to {after}", [source], kind, after,
                 lambda network, x: x.reshape(*x.shape[: network.lead], *after), top)  # fmt: skip


@step(1.5)
def part(d: _Drawing) -> object:
    """Slice, chunk, split or select along a feature axis."""
    source = d.one(*_ANY)
    if source is None or max(d.values[source].shape) < 2:
        return None
    value = d.values[source]
    axis = d.random.choice([i for i, n in enumerate(value.shape) if n > 1])
    back, size = axis - len(value.shape), value.shape[axis]
    which = d.random.choice(["slice", "chunk", "split", "narrow"])
    with_size = lambda n: (*value.shape[:axis], n, *value.shape[axis + 1 :])  # noqa: E731
    if which == "slice":
        start, stride = d.random.randint(0, size - 1), d.random.randint(1, 2)
        index = (slice(start, None, stride), *[slice(None)] * (-back - 1))
        return d.add(f"[{start}::{stride}] of axis {back}", [source], value.kind,
                     with_size(len(range(start, size, stride))),
                     lambda network, x: x[(..., *index)], value.top)  # fmt: skip
    if which == "narrow":
        start = d.random.randint(0, size - 1)
        length = d.random.randint(1, size - start)
        return d.add(f"narrow {start}, {length} of axis {back}", [source], value.kind,
                     with_size(length),
                     lambda network, x: x.narrow(back, start, length), value.top)  # fmt: skip
    each = -(-size // 2) if which == "chunk" else d.random.randint(1, size)
    number = d.random.randrange(-(-size // each))
    after = min(each, size - number * each)
    cut = (lambda x: x.chunk(2, back)) if which == "chunk" else (lambda x: x.split(each, back))
    return d.add(f"{which} {number} of axis {back}", [source], value.kind, with_size(after),
                 lambda network, x: cut(x)[number], value.top)  # fmt: skip


@step(1.5)
def concat(d: _Drawing) -> object:
    first = d.one("spike", "count", "current", top=4)
    if first is None:
        return None
    shape = d.values[first].shape
    axis = d.random.randrange(len(shape))
    other = [
        i
        for i in d.having("spike", "count", "current", top=4)
        if len(d.values[i].shape) == len(shape)
        and all(a == b for j, (a, b) in enumerate(zip(shape, d.values[i].shape, strict=True))
                if j != axis)
    ]  # fmt: skip
    parts = [first, *d.random.sample(other, min(len(other), d.random.randint(1, 2)))]
    values = [d.values[i] for i in parts]
    kinds = {v.kind for v in values}
    kind: Kind = "current" if "current" in kinds else "count" if "count" in kinds else "spike"
    length = sum(v.shape[axis] for v in values)
    after = (*shape[:axis], length, *shape[axis + 1 :])
    back = axis - len(shape)
    return d.add(f"cat along {back}", parts, kind, after,
                 lambda network, *xs: torch.cat(xs, back), max(v.top for v in values))  # fmt: skip


# -- functions of spikes ---------------------------------------------------------------------------

_GATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "and": lambda a, b: a * b,
    "iand": lambda a, b: a * (1.0 - b),
    "or": lambda a, b: a + b - a * b,
    "xor": lambda a, b: a * (1 - b) + b * (1 - a),
    "clamp": lambda a, b: torch.clamp(a + b, max=1),
    "logical and": lambda a, b: torch.logical_and(a, b).to(a.dtype),
    "logical or": lambda a, b: (a.bool() | b.bool()).double(),
    "logical xor": lambda a, b: torch.logical_xor(a.bool(), b.bool()).double(),
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "not": lambda a, b: 1 - a,
    "differ": lambda a, b: (a - b).abs(),
    "less": lambda a, b: (a < b).double(),
}


@step(6)
def gate(d: _Drawing) -> object:
    parts = d.several(2, "spike")
    if not parts:
        return None
    parts = [*parts, parts[0]][:2]
    name = d.random.choice(list(_GATES))
    return d.add(name, parts, "spike", d.values[parts[0]].shape,
                 lambda network, a, b: _GATES[name](a, b))  # fmt: skip


@step(2)
def choice(d: _Drawing) -> object:
    """where(a, b, c), and any other function of up to four spikes by its terms."""
    parts = d.several(3, "spike")
    if len(parts) < 2:
        return None
    shape = d.values[parts[0]].shape
    if d.chance(0.4):
        a, b, c = [*parts, *parts][:3]
        return d.add("where", [a, b, c], "spike", shape,
                     lambda network, a, b, c: torch.where(a.bool(), b, c))  # fmt: skip
    parts = d.several(4, "spike")
    shape = d.values[parts[0]].shape
    terms = [t for t in itertools.product((0, 1), repeat=len(parts)) if d.chance(0.4)]

    def run(network: Drawn, *xs: Tensor) -> Tensor:
        total = xs[0] * 0
        for term in terms:
            total = total + reduce(
                operator.mul, (x if bit else 1 - x for x, bit in zip(xs, term, strict=True))
            )
        return total

    return d.add(f"sum of the minterms {terms}", parts, "spike", shape, run)


@step(2)
def at_least(d: _Drawing) -> object:
    """[Σ w·s ≥ θ]: majority, at least k, of any number of spikes and counts."""
    parts = d.several(d.random.randint(1, 9), "spike", "count", top=9)
    if not parts:
        return None
    weights = [d.number(1, 1, 1, 2, -1) for _ in parts]
    bound = d.random.randint(0, max(1, int(sum(abs(w) for w in weights))))
    how = d.random.choice(["ge", "gt", "le", "lt", "clamp"])

    def run(network: Drawn, *xs: Tensor) -> Tensor:
        total = reduce(operator.add, (x * w for x, w in zip(xs, weights, strict=True)))
        if how == "clamp":
            return total.clamp(0, 1)
        return getattr(torch, how)(total, bound).to(total.dtype)

    return d.add(f"{how} {bound} of the sum with weights {weights}", parts, "spike",
                 d.values[parts[0]].shape, run)  # fmt: skip


@step(1)
def compare_current(d: _Drawing) -> object:
    """A threshold without memory on a current."""
    source = d.one("current", "mixed")
    if source is None:
        return None
    bound = d.bound(-0.5, 0.25, 1.0)
    how = d.random.choice(["ge", "gt", "le", "lt"])
    return d.add(f"{how} {bound}", [source], "spike", d.values[source].shape,
                 lambda network, x: getattr(x, how)(bound).double())  # fmt: skip


@step(1)
def function_of_counts(d: _Drawing) -> object:
    """A function of one or two small counts."""
    parts = d.several(2, "count", "spike", top=4)
    if not parts:
        return None
    parts = [*parts, parts[0]][:2]
    top = [d.values[i].top for i in parts]
    low = d.random.randint(0, 2)
    functions: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
        "minimum": (torch.minimum, min(top)),
        "maximum": (torch.maximum, max(top)),
        f"clamp to {low}, {low + 1}": (lambda a, b: a.clamp(low, low + 1), low + 1),
        "product": (lambda a, b: a * b, top[0] * top[1]),
        "equal": (lambda a, b: (a == b).double(), 1),
        f"relu of minus {low}": (lambda a, b: torch.relu(a - low), max(1, top[0])),
        "square": (lambda a, b: a**2, top[0] ** 2),
    }
    name = d.random.choice(list(functions))
    function, highest = functions[name]
    kind: Kind = "spike" if highest == 1 and "equal" in name else "count"
    return d.add(name, parts, kind, d.values[parts[0]].shape,
                 lambda network, a, b: function(a, b), highest)  # fmt: skip


@step(2.5)
def max_pool(d: _Drawing) -> object:
    source = d.one("spike", "spike", "count", rank=2, top=4)
    if source is None:
        return None
    value = d.values[source]
    rank = len(value.shape) - 1
    if rank > 2:
        return None
    if d.chance(0.25):
        size = tuple(d.random.randint(1, n) for n in value.shape[1:])
        adaptive = (F.adaptive_max_pool1d, F.adaptive_max_pool2d)[rank - 1]
        return d.add(
            f"adaptive max pool to {size}", [source], value.kind, (value.shape[0], *size),
            lambda network, x: network.each_step(lambda y: adaptive(y, size), x), value.top,
        )  # fmt: skip
    kernel = tuple(d.random.randint(1, min(3, n)) for n in value.shape[1:])
    stride = tuple(d.random.randint(1, 3) for _ in kernel)
    padding = tuple(d.random.randint(0, k // 2) for k in kernel)
    dilation = tuple(
        d.random.choice([1, 2]) if k > 1 and n + 2 * p > 2 * (k - 1) and n > 2 else 1
        for n, k, p in zip(value.shape[1:], kernel, padding, strict=True)
    )
    ceil = d.chance(0.4)
    pool = (F.max_pool1d, F.max_pool2d)[rank - 1]
    run = lambda x: pool(x, kernel, stride, padding, dilation, ceil)  # noqa: E731
    after = tuple(run(torch.zeros(1, *value.shape)).shape[1:])
    return d.add(
        f"max pool k={kernel} s={stride} p={padding} d={dilation} ceil={ceil}",
        [source], value.kind, after, lambda network, x: network.each_step(run, x), value.top,
    )  # fmt: skip
