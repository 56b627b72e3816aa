"""Random spiking networks with something in them that a recording may get wrong.

``draw(seed)`` slips one element of the table in ``hostile_kinds``, sometimes two, into a network of
``hostile_hosts``; the same seed draws the same. ``print(hostile)`` reads as a program. All weights
and inputs are small multiples of a power of two, so that every sum is exact and no spike hangs on
rounding; where an element has other numbers, ``exact`` is false.
"""

from __future__ import annotations

import ast
import copy
import functools
import math
import pickle
import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hostile_hosts
import numpy as np
import torch
from hostile_hosts import Counting, Host, Place, Plan, Shared
from hostile_kinds import KINDS, Kind
from torch import Tensor, nn
from torch.nn import functional as F

TWO = 0.15
"""How often there are two elements."""

NAMES: dict[str, Any] = vars(hostile_hosts) | {
    "F": F, "copy": copy, "functools": functools, "math": math, "np": np,
    "pickle": pickle, "random": random,
}  # fmt: skip
"""What the texts may use."""


@dataclass(frozen=True)
class Element:
    """An entry of the table with its choices made."""

    kind: Kind
    text: str

    @property
    def setup(self) -> Callable[..., Any]:
        source = self.text if self.kind.place == "setup" else self.kind.setup or "pass"
        return _function(source, "net")

    @property
    def slip(self) -> Callable[..., Tensor]:
        return _function(self.text, "net, a, x")

    def __str__(self) -> str:
        once = f"{self.kind.setup}\n" if self.kind.setup else ""
        text = textwrap.indent(once + self.text, "    ")
        return f"  {self.kind.name}, {self.kind.place}:\n{text}"


@dataclass(frozen=True)
class Hostile:
    """A network made anew by each ``make()``, an example, and inputs to compare it on.

    ``options`` are those of compile. ``steps`` is T for a module of one step, which is called T
    times; its inputs have T in front, unless it is shown the same at each step.
    """

    seed: int
    plan: Plan
    elements: tuple[Element, ...]
    example: Tensor
    inputs: tuple[Tensor, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def make(self) -> nn.Module:
        Shared.calls = Counting.calls = 0
        module = Host(self.plan).double().eval()
        for element in self.elements:
            element.setup(module)
            if element.kind.place != "setup":
                module.slips.setdefault(element.kind.place, []).append(element.slip)
        return module.double()

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(element.kind.name for element in self.elements)

    @property
    def steps(self) -> int | None:
        return self.plan.steps if self.plan.style == "single" else None

    @property
    def harmless(self) -> bool:
        return all(element.kind.harmless for element in self.elements)

    @property
    def exact(self) -> bool:
        return all(element.kind.exact for element in self.elements)

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.plan}; compile(…, {self.options})"
        return "\n".join([head, *map(str, self.elements)])


def draw(seed: int) -> Hostile:
    """The network of ``seed``; seeds in a row go through the whole table."""
    dice = random.Random(seed)
    kinds = [KINDS[seed % len(KINDS)]]
    if dice.random() < TWO:
        kinds.append(dice.choice(KINDS))
    plan = _plan(kinds, dice)
    if plan is None:
        plan = _plan(kinds[:1], dice)
        kinds = kinds[:1]
    assert plan is not None, f"no network for {kinds[0].name}"
    elements = tuple(Element(kind, _chosen(kind, plan, dice)) for kind in kinds)
    options: dict[str, Any] = {"input": plan.input, "layout": plan.layout}
    options["target"] = "loihi" if dice.random() < 0.25 else "reference"
    if plan.style == "single":
        options["time_steps"] = plan.steps
    source = torch.Generator().manual_seed(seed)
    example = _data(plan, dice.choice([2, 3, 4]), (0.4,), source)
    if plan.style == "single" and not plan.static:
        example = example[0]
    return Hostile(seed, plan, elements, example, _inputs(plan, source), options)


def _plan(kinds: list[Kind], dice: random.Random) -> Plan | None:
    """A network that all ``kinds`` fit, if there is any."""
    for _ in range(200):
        library = dice.choice(["snncc", "snncc", "sj", "sj", "snntorch"])
        styles = {
            "snncc": ["multi"],
            "sj": ["multi", "loop", "single"],
            "snntorch": ["loop", "single"],
        }
        style = dice.choice(styles[library])
        layout = "N" if style == "single" else dice.choice(["TN", "TN", "NT", "N"])
        static = layout == "N" and style != "single"
        kind = "analog" if static else dice.choice(["spike", "spike", "spike", "count", "analog"])
        image = dice.random() < 0.35
        plan = Plan(
            dice.randrange(2**32), library, style, layout, kind, image,
            dice.randint(3, 5), dice.choice([4, 6]), dice.random() < 0.3,
            readout=not image and dice.random() < 0.5,
        )  # type: ignore[arg-type]  # fmt: skip
        if all(_fits(each, plan) for each in kinds):
            return plan
    return None


def _fits(kind: Kind, plan: Plan) -> bool:
    return (
        plan.input in kind.inputs
        and plan.style in kind.styles
        and plan.library in kind.libraries
        and plan.layout in kind.layouts
        and kind.image in (None, plan.image)
    )


def _chosen(kind: Kind, plan: Plan, dice: random.Random) -> str:
    text = dice.choice(kind.texts)
    for name, values in kind.choices.items():
        text = text.replace(f"{{{name}}}", str(dice.choice(values)))
    return text.replace("{N}", str(_sample_axis(kind.place, plan)))


def _sample_axis(place: Place, plan: Plan) -> int:
    if place == "input":
        return 1 if plan.layout == "TN" else 0
    return 1 if plan.style == "multi" or (place == "output" and plan.style == "loop") else 0


@functools.cache
def _function(source: str, parameters: str) -> Callable[..., Any]:
    """A function with ``source`` as its body, or as what it returns."""
    try:
        ast.parse(source, mode="eval")
        source = f"return {source}"
    except SyntaxError:
        pass
    code = f"def slip({parameters}):\n{textwrap.indent(source, '    ')}\n"
    space: dict[str, Any] = {}
    exec(compile(code, "<hostile>", "exec"), NAMES, space)
    return space["slip"]


# -- inputs --------------------------------------------------------------------------------------


def _inputs(plan: Plan, source: torch.Generator) -> tuple[Tensor, ...]:
    """Full, empty and in between; one sample, a few and twenty."""
    return (
        _data(plan, 3, (0.5,), source),
        _data(plan, 20, (0.0, 0.1, 0.5, 0.9, 1.0), source),
        _data(plan, 1, (1.0,), source),
        _data(plan, 2, (0.0,), source),
        _data(plan, 5, (0.9, 1.0), source),
    )


def _data(plan: Plan, samples: int, rates: tuple[float, ...], source: torch.Generator) -> Tensor:
    """Samples of these rates in turn; a larger rate makes larger counts and currents, too."""
    lead = () if plan.static else (plan.steps,)
    size = (*lead, samples, *plan.shape)
    rate = torch.tensor(rates, dtype=torch.float64)[torch.arange(samples) % len(rates)]
    rate = rate.view(-1, *[1] * len(plan.shape))
    chance = torch.rand(size, generator=source, dtype=torch.float64)
    if plan.input == "analog":
        values = torch.round((chance * 2 - 1 + rate.pow(2) / 2) * 4 * (1 + 15 * (rate >= 0.9))) / 4
    elif plan.input == "count":
        wide = torch.where(rate >= 0.9, 255.0, 4.0)
        values = torch.where(
            rate == 1, 255.0, torch.floor(chance * rate * wide * 1.2).clamp(max=255)
        )
    else:
        values = (chance < rate).to(torch.float64)
    if plan.layout == "NT":
        values = values.transpose(0, 1).contiguous()
    return values
