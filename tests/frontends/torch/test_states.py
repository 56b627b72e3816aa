"""What a module holds, what changed of it, and whether that reaches what it yields."""

from __future__ import annotations

import itertools
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from snncc.frontends.torch.flow import Flow, Mark, Used
from snncc.frontends.torch.states import changed, digest, held, restore

COUNT = 0


class Holder:
    def __init__(self) -> None:
        self.number, self.items = 1, [1, 2]


class Keeps(nn.Module):
    shared: ClassVar[list[int]] = [0]

    def __init__(self) -> None:
        super().__init__()
        self.number, self.log, self.table, self.holder = 1, [1.0], {"a": 1}, Holder()
        self.register_buffer("mean", torch.zeros(2))
        self.inner = nn.Linear(2, 2)
        seen = 0

        def closure() -> int:
            nonlocal seen
            seen += 1
            return seen

        self.closure = closure

    def forward(self, x, past=[0]):  # noqa: B006 - a default that is shared on purpose
        global COUNT
        COUNT += 1
        past[0] += 1
        return self.inner(x)


def count(keeps: Keeps) -> None:
    keeps.number += 1


CHANGES = {
    "number": count,
    "log[0]": lambda keeps: keeps.log.__setitem__(0, 2.0),
    "log": lambda keeps: keeps.log.append(2.0),
    "table['a']": lambda keeps: keeps.table.__setitem__("a", 2),
    "holder.number": lambda keeps: setattr(keeps.holder, "number", 2),
    "holder.items[1]": lambda keeps: keeps.holder.items.__setitem__(1, 0),
    "mean": lambda keeps: keeps.mean.add_(1),
    "inner.weight": lambda keeps: (
        keeps.inner.weight.data.add_(1) is None
        or setattr(keeps.inner, "weight", nn.Parameter(torch.ones(2, 2)))
    ),
    "seen (closure)": lambda keeps: keeps.closure(),
    "COUNT (global)": lambda keeps: keeps(torch.ones(2)),
    "Keeps.shared[0]": lambda keeps: keeps.shared.__setitem__(0, keeps.shared[0] + 1),
    "default 1 of forward[0]": lambda keeps: keeps(torch.ones(2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_has_a_name(name):
    keeps = Keeps()
    before = held(keeps)
    assert changed(before, held(keeps)) == []
    with torch.no_grad():
        CHANGES[name](keeps)
    assert name in changed(before, held(keeps))


def test_what_changed_is_put_back():
    keeps = Keeps()
    before = held(keeps)
    count(keeps)
    keeps.log.append(3.0)
    keeps.table["b"] = 3
    keeps.holder.number = 5
    keeps.closure()
    keeps(torch.ones(2))
    restore(before, held(keeps))
    assert changed(before, held(keeps)) == []
    assert (keeps.number, keeps.log, keeps.table) == (1, [1.0], {"a": 1})
    assert keeps.closure() == 1


def test_a_digest_is_of_values_shape_and_dtype():
    x = torch.tensor([[1.0, 2.0]])
    assert digest(x) == digest(x.clone())
    different = {digest(y) for y in (x, x.T, x.double(), -x, x.bfloat16())}
    assert len(different) == 5


# -- does it reach an output? ---------------------------------------------------------------------


def reached(keeps: nn.Module, forward, names: list[str]) -> str | None:
    """The name of what reached the output of ``forward``, or was asked of."""
    flow = Flow(held(keeps), names)
    try:
        with flow:
            y = forward(keeps, torch.ones(2))
    except Used as error:
        return error.name
    return flow.reached([y])


def statistic(keeps, x):
    keeps.number += 1
    keeps.mean.mul_(0.5).add_(x, alpha=0.5)
    keeps.log.append(f"{keeps.number}")
    return x * 2


def rewritten(keeps, x):
    keeps.mean.zero_().add_(2)
    keeps.mean[:] = 3
    return x * keeps.mean


HARMLESS = {
    "a statistic": statistic,
    "written anew": rewritten,
    "replaced": lambda keeps, x: setattr(keeps, "number", 3) or x * keeps.number,
    "shown": lambda keeps, x: x * len(f"{keeps.number}"),
}
USED = {
    "a factor": (lambda keeps, x: x * keeps.number, "number"),
    "a factor in front": (lambda keeps, x: (1 + 2 * keeps.number) * x, "number"),
    "an argument": (lambda keeps, x: torch.add(x, x, alpha=keeps.number), "number"),
    "an index": (lambda keeps, x: x * [1, 2, 3][keeps.number % 3], "number"),
    "a number of it": (lambda keeps, x: x * float(keeps.number), "number"),
    "a term": (lambda keeps, x: x + 0 * keeps.mean.sum(), "mean"),
    "a write": (lambda keeps, x: x.clone().add_(keeps.mean), "mean"),
    "a part": (lambda keeps, x: torch.cat([x, keeps.mean[:1]]), "mean"),
    "a branch on a tensor": (lambda keeps, x: x if keeps.mean.sum() > 3 else 2 * x, "mean"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_nobody_reads_does_no_harm(name):
    assert reached(Keeps(), HARMLESS[name], ["number", "mean"]) is None


@pytest.mark.parametrize("name", USED)
def test_what_is_read_is_found(name):
    forward, which = USED[name]
    assert reached(Keeps(), forward, ["number", "mean"]) == which


@pytest.mark.parametrize("otherwise", [False, True])
def test_a_question_is_answered_both_ways(otherwise):
    keeps = Keeps()
    flow = Flow(held(keeps), ["number"], otherwise)
    with flow:
        answers = (keeps.number > 100, keeps.number == 1, bool(keeps.number), keeps.number % 2 == 0)
    assert answers == ((True, False, False, True) if otherwise else (False, True, True, False))
    assert flow.asked == "number"


def test_a_mark_adds_up():
    mark = (2 + Mark(3, "n", Flow({}, ()))) * 4 - 1
    assert isinstance(mark, Mark)
    assert (mark.value, f"{mark:d}", str(mark)) == (19, "19", "19")


DRAWN = {
    "itertools.count": lambda: itertools.count(1),
    "itertools.cycle": lambda: itertools.cycle([1, 2]),
    "an iterator of a list": lambda: iter([1, 2, 3, 4]),
    "enumerate": lambda: enumerate("abcd"),
    "a range": lambda: iter(range(9)),
    "random": lambda: random.Random(0),
    "numpy's generator": lambda: np.random.default_rng(0),
    "numpy's old generator": lambda: np.random.RandomState(0),
    "torch's generator": lambda: torch.Generator().manual_seed(0),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_read_item_by_item_is_seen_to_change(name):
    keeps = Keeps()
    keeps.source = DRAWN[name]()
    before = held(keeps)
    assert not changed(before, held(keeps))
    match keeps.source:
        case random.Random() | np.random.Generator():
            keeps.source.random()
        case np.random.RandomState():
            keeps.source.rand()
        case torch.Generator():
            torch.rand(1, generator=keeps.source)
        case _:
            next(keeps.source)
    assert changed(before, held(keeps)) == ["source"]
    with pytest.raises(Used, match="source"):
        Flow(held(keeps), ["source"])
