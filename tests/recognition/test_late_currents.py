"""Synaptic currents of every order: read before or after they are renewed, begun anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.interpreter import run_graph, run_network
from snncc.ir.ops import Constant, Delay, Dense, Elementwise, Identity, Input, Op, Ref, Scale
from snncc.passes.lower import Lower
from snncc.passes.recognise_neurons import RecogniseNeurons

NEURONS, INPUTS = 4, 5


class Writer:
    """Nodes one after the other, each named by what it is."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.signal = Signal((NEURONS,), "step")

    def add(self, name: str, op: Op, *inputs: str, signal: Signal | None = None) -> str:
        self.nodes.append(Node(name, op, inputs, signal or self.signal))
        return name

    def number(self, name: str, value: float) -> str:
        return self.add(name, Constant(value), signal=Signal((), "static"))

    def total(self, name: str, *parts: tuple[str, float]) -> str:
        """A sum of values, each with its factor."""
        total = ""
        for i, (part, factor) in enumerate(p for p in parts if p[1]):
            scaled = part if factor == 1 else self.add(f"{name}.{i}", Scale(factor), part)
            total = self.add(f"{name}+{i}", Elementwise("add"), total, scaled) if total else scaled
        return self.add(name, Identity(), total)


def written(
    decay: float, fade: float, order: str, reset: str, starts: tuple[float, float], extra: float,
    constants: tuple[float, float], keep: float, tensors: dict[str, np.ndarray],
) -> Graph:  # fmt: skip
    """A membrane v and its current c, whose order is the order of their two lines."""
    w = Writer()
    w.add("x", Input("spike"), signal=Signal((INPUTS,), "step"))
    w.add("a", Dense(Ref("w"), Ref("b")), "x")
    w.number("one", 1.0)
    w.number("k", constants[0])
    w.number("q", constants[1])
    w.add("v'", Delay(starts[0]), "v")
    w.add("c'", Delay(starts[1]), "c")
    w.total("c", ("c'", fade), ("a", 1.0), ("k", 1.0))
    read = {"after": "c", "before": "c'"}.get(order, "c'")
    if order == "retimed":  # the state is what the next step would compute from this one
        w.add("h", Identity(), "v'")
    else:
        w.total("h", ("v'", decay), (read, 1.0), ("a", extra), ("q", 1.0))
    w.add("s", Elementwise("ge"), "h", "one")
    if reset == "soft":
        w.total("left", ("h", 1.0), ("s", -1.0))
    elif reset == "none":
        w.add("left", Identity(), "h")
    else:
        w.total("part", ("h", keep - 1))
        w.add("lost", Elementwise("mul"), "part", "s")
        w.add("left", Elementwise("add"), "h", "lost")
    if order == "retimed":
        w.total("v", ("left", decay), ("c", 1.0), ("q", 1.0))
    else:
        w.add("v", Identity(), "left")
    w.add("out", Dense(Ref("readout")), "s", signal=Signal((2,), "step"))
    heads = {"out": "out", "membrane": "left", "current": "c"}
    return Graph.build(w.nodes, tensors, heads)


QUARTERS = st.sampled_from([0.0, 0.0, 0.25, -0.5, 1.5])


CURRENTS = st.tuples(
    st.integers(0, 99999), st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from([0.5, 1.0, -0.5]),
    st.sampled_from(["after", "before", "retimed"]), st.sampled_from(["soft", "hard", "none"]),
    st.tuples(QUARTERS, QUARTERS), QUARTERS, st.tuples(QUARTERS, QUARTERS),
    st.sampled_from([0.0, 0.5]), st.booleans(),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(CURRENTS)
def test_a_current_is_what_it_was_wherever_it_is_read(drawn):
    is_what_it_was(*drawn)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(CURRENTS)
def test_many_currents_are_what_they_were(drawn):
    is_what_it_was(*drawn)


def is_what_it_was(seed, decay, fade, order, reset, starts, extra, constants, keep, biased):
    rng = np.random.default_rng(seed)
    tensors = {
        "w": rng.integers(-4, 8, (NEURONS, INPUTS)) / 8,
        "b": rng.integers(-2, 3, NEURONS) / 8 * biased,
        "readout": rng.integers(-4, 4, (2, NEURONS)) / 8,
    }
    graph = written(decay, fade, order, reset, starts, extra, constants, keep, tensors)
    outcome = RecogniseNeurons()(graph)
    assert not outcome.findings
    (neuron,) = outcome.form.neurons
    assert neuron.op.current_decay == fade
    x = {"x": torch.from_numpy(rng.random((7, 3, INPUTS)) < 0.5).double()}
    wanted = run_graph(graph, x, keep={"s", "h"})
    found = run_graph(outcome.form, x, keep={"s"})
    for name in wanted.keys() - {"h"}:
        assert torch.equal(wanted[name], found[name]), name
    spikes = outcome.form.keep(outcome.form.ancestors("out"), {"out": "out"})
    run = run_network(Lower()(spikes).form, x)
    only_ties(run.spikes["s"], wanted["s"], wanted["h"])


def only_ties(spikes, wanted, membrane):
    """The first spikes that differ lie on the threshold: a start of 2/3 is rounded."""
    differs = (spikes != wanted).int()
    first = differs * (differs.cumsum(0) == 1)
    assert ((membrane[first.bool()] - 1.0).abs() < 1e-14).all()


@pytest.mark.parametrize("order", ["before", "retimed"])
def test_the_input_of_a_late_current_comes_through_a_delay(order):
    tensors = {
        "w": np.eye(NEURONS, INPUTS),
        "b": np.ones(NEURONS),
        "readout": np.ones((2, NEURONS)),
    }
    graph = written(0.5, 0.5, order, "soft", (0.0, 0.0), 0.0, (0.0, 0.0), 0.0, tensors)
    form = RecogniseNeurons()(graph).form
    (neuron,) = form.neurons
    (current,) = neuron.inputs
    assert form.nodes[current].op == Delay(1.0)  # the bias, which is there without spikes
    assert form.nodes[current].inputs == ("a",)
    assert neuron.op.current_initial == -2.0  # so that the first input is none
