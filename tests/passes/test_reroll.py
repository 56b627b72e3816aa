"""Loops that were written down step by step: what repeats is one step, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import (
    AllSteps,
    AtStep,
    Constant,
    Delay,
    Elementwise,
    Input,
    OverTime,
    Scale,
    Spiking,
)
from snncc.passes.reroll import Reroll

STATIC = Signal((2,), "static", axes=("N", "F"))


class Unrolled:
    """A Graph of two neurons in the making, every step by itself."""

    def __init__(self, given: bool = True) -> None:
        self.nodes: list[Node] = []
        rate = "step" if given else "static"
        axes = ("T", "N", "F") if given else ("N", "F")
        self.nodes.append(Node("x", Input("analog"), (), Signal((2,), rate, axes=axes)))
        self._given = given

    def add(self, op, *inputs: str, signal: Signal = STATIC) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(Node(name, op, inputs, signal))
        return name

    def number(self, value: float) -> str:
        name = f"number:{value}"
        if name not in {node.name for node in self.nodes}:
            self.nodes.append(Node(name, Constant(value), (), Signal((), "static")))
        return name

    def at(self, step: int) -> str:
        return self.add(AtStep(step), "x") if self._given else "x"

    def joined(self, names: list[str]) -> str:
        signal = Signal((2,), "step", axes=("T", "N", "F"))
        return self.add(AllSteps(), *names, signal=signal)

    def graph(self, head: str, steps: int | None) -> Graph:
        return Graph.build(self.nodes, {}, {"y": head}, time_steps=steps)


def fired(made: Unrolled, membrane: str) -> tuple[str, str]:
    """The spikes of a membrane, and what is left of it."""
    spikes = made.add(Elementwise("ge"), membrane, made.number(1.0))
    kept = made.add(Elementwise("sub"), made.number(1.0), spikes)
    return spikes, made.add(Elementwise("mul"), membrane, kept)


def a_loop(steps: int, start: float | None, given: bool, decay: float = 0.5, first: str = "add"):
    """v ← decay·v + x, fires and is reset; ``start`` None: the first membrane is x."""
    made = Unrolled(given)
    left = None if start is None else made.number(start)
    spikes = []
    for step in range(steps):
        current = made.at(step)
        if left is None:
            membrane = current
        else:
            kept = made.add(Scale(decay), left)
            if step == 0 and first == "constant":
                kept = made.number(decay * start)
            membrane = made.add(Elementwise("add"), kept, current)
        fires, left = fired(made, membrane)
        spikes.append(fires)
    return made, spikes


def by_hand(x: np.ndarray, steps: int, start: float, decay: float) -> np.ndarray:
    v, out = np.full(x.shape[1:], start), []
    for step in range(steps):
        v = decay * v + x[step]
        out.append((v >= 1.0).astype(float))
        v = v * (1 - out[-1])
    return np.stack(out)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("start", [None, 0.0, 0.75])
@pytest.mark.parametrize("first", ["add", "constant"])
@pytest.mark.parametrize("summed", [True, False])
def test_a_loop_is_one_step_with_a_delay(given, start, first, summed):
    steps = 5
    made, spikes = a_loop(steps, start, given, first=first)
    if summed:
        total = made.number(0.0)
        for each in spikes:
            total = made.add(Elementwise("add"), total, each)
        graph = made.graph(total, steps if given else None)
    else:
        graph = made.graph(made.joined(spikes), steps if given else None)
    outcome = Reroll()(graph)
    assert outcome.ok, outcome.findings
    rolled = outcome.form
    assert rolled.time_steps == steps
    assert len(rolled.of_type(Delay)) == 1
    assert not rolled.of_type(AtStep, AllSteps)
    assert len(rolled.of_type(OverTime)) == summed
    x = 2 * torch.rand(steps if given else 1, 3, 2, generator=torch.Generator().manual_seed(1))
    x = x.double()
    got = run_graph(rolled, {"x": x if given else x[0]})
    frames = x.expand(steps, 3, 2).numpy()
    want = by_hand(frames, steps, start or 0.0, 0.5)
    assert np.array_equal(got[rolled.heads["y"]].numpy(), want.sum(0) if summed else want)


def changed(made: Unrolled, name: str, op) -> None:
    place = next(i for i, node in enumerate(made.nodes) if node.name == name)
    node = made.nodes[place]
    made.nodes[place] = Node(name, op, node.inputs, node.signal)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("start", [None, 0.0])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_step_that_does_something_else_is_not_rolled_up(given, start, data):
    """Whatever op of whatever step is another one, the values stay or it is refused."""
    steps = 5
    made, spikes = a_loop(steps, start, given)
    names = [n.name for n in made.nodes if isinstance(n.op, Scale | Elementwise)]
    name = data.draw(st.sampled_from(names))
    node = next(n for n in made.nodes if n.name == name)
    other = Scale(0.25) if isinstance(node.op, Scale) else Elementwise(
        {"ge": "gt", "sub": "add", "mul": "sub", "add": "sub"}[node.op.function])  # fmt: skip
    changed(made, name, other)
    before = made.graph(made.joined(spikes), steps if given else None)
    outcome = Reroll()(before)
    if not outcome.ok:
        return
    x = torch.randint(0, 9, (steps if given else 1, 9, 2), dtype=torch.float64) / 4
    got = run_graph(outcome.form, {"x": x if given else x[0]})[outcome.form.heads["y"]]
    assert torch.equal(got, plainly(before, x))


def plainly(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    """The steps of the head, each node worked out by itself."""
    values: dict[str, torch.Tensor] = {}
    for node in graph.nodes.values():
        match node.op:
            case Input():
                values[node.name] = x[0]
            case AtStep(step=step):
                values[node.name] = x[step]
            case Constant(value=value):
                values[node.name] = torch.full_like(x[0], float(value))
            case AllSteps():
                values[node.name] = torch.stack([values[n] for n in node.inputs])
            case Scale(factor=factor):
                values[node.name] = values[node.inputs[0]] * factor
            case Elementwise(function=function):
                one, two = (values[n] for n in node.inputs)
                values[node.name] = {
                    "add": torch.add, "sub": torch.sub, "mul": torch.mul,
                    "ge": lambda a, b: (a >= b).double(), "gt": lambda a, b: (a > b).double(),
                }[function](one, two)  # fmt: skip
    return values[graph.heads["y"]]


def test_calls_of_a_neuron_are_one_neuron():
    made = Unrolled(given=False)
    spikes = []
    for _ in range(4):
        spikes.append(made.add(Spiking(), "x"))
    outcome = Reroll()(made.graph(made.joined(spikes), None))
    assert outcome.ok, outcome.findings
    assert len(outcome.form.neurons) == 1


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (1, 0, 2, 3), (0, 1, 2), (0, 1, 2, 2)])
def test_steps_in_another_order_are_refused(order):
    made, spikes = a_loop(4, 0.0, given=True)
    outcome = Reroll()(made.graph(made.joined([spikes[step] for step in order]), 4))
    assert [finding.code for finding in outcome.findings] == ["SNN318"]


def test_a_step_that_is_read_alone_is_refused():
    made, spikes = a_loop(4, 0.0, given=True)
    alone = made.add(Elementwise("add"), spikes[1], spikes[3])
    outcome = Reroll()(made.graph(alone, 4))
    assert [finding.code for finding in outcome.findings] == ["SNN318"]


def test_a_neuron_that_is_called_behind_the_loop_too_is_refused():
    made = Unrolled(given=True)
    spikes = [made.add(Spiking(), made.at(step)) for step in range(4)]
    last = made.add(Spiking(), spikes[-1])
    outcome = Reroll()(made.graph(last, 4))
    assert [finding.code for finding in outcome.findings] == ["SNN318"]


def test_two_loops_one_after_the_other():
    """The second reads all steps of the first."""
    made, spikes = a_loop(5, None, given=True)
    whole = made.joined(spikes)
    left, out = None, []
    for step in range(5):
        current = made.add(AtStep(step), whole)
        membrane = current if left is None else made.add(Elementwise("add"), left, current)
        fires, left = fired(made, membrane)
        out.append(fires)
    outcome = Reroll()(made.graph(made.joined(out), 5))
    assert outcome.ok, outcome.findings
    assert len(outcome.form.of_type(Delay)) == 2
