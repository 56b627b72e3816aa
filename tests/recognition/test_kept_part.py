"""A hard reset that leaves a part of the membrane: v ← v_reset + keep·(h − v_reset)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.reference.fused import Simulator
from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.interpreter import TensorStore, run_graph, run_network
from snncc.ir.interpreter.written import Written
from snncc.ir.ops import Identity, Input, Ref, Spiking
from snncc.ir.text import parse_graph, parse_network, print_graph, print_network
from snncc.passes.lower import Lower
from snncc.pipeline import with_reset

NEURONS = 6


def one(op: Spiking, **tensors: np.ndarray) -> Graph:
    signal = Signal((NEURONS,), "step")
    nodes = [
        Node("x", Input("count"), (), signal),
        Node("s", op, ("x",), signal),
        Node("out", Identity(), ("s",), signal),
    ]
    return Graph.build(nodes, tensors, {"out": "out"})


@pytest.mark.parametrize("when", ["now", "next"])
@given(
    st.lists(st.integers(-8, 16), min_size=1, max_size=8), st.sampled_from([0.5, 0.25, -0.5, 1.0]),
    st.sampled_from([0.0, 0.25, -0.5]), st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 2.0]),
)  # fmt: skip
def test_a_neuron_does_what_its_definition_says(when, quarters, keep, rest, decay, initial):
    op = Spiking(decay=decay, v_reset=rest, initial=initial, when=when, keep=keep)
    cell, v = Written(op, (), TensorStore({}, torch.float64)), initial
    for x in (q / 4 for q in quarters):
        late, h = v >= 1, decay * v + x
        if when == "next" and late:
            h = rest + keep * (h - rest)
        v = rest + keep * (h - rest) if when == "now" and h >= 1 else h
        s, found = cell(torch.tensor(x, dtype=torch.float64))
        assert (bool(s), float(found), float(cell.v)) == (h >= 1, h, v)


DYADIC = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, -0.5])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 999), st.sampled_from(["now", "next"]),
    st.lists(DYADIC, min_size=NEURONS, max_size=NEURONS),
    st.sampled_from([0.0, 0.25, -0.5]), st.sampled_from([0.0, 1.5]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_graph_network_and_both_float_backends_are_equal(
    seed, when, kept, rest, initial, strict, each
):
    keep = Ref("keep") if each else kept[0]
    decay_or_leak = {"decay": 0.75} if seed % 2 else {"leak": 0.5}
    op = Spiking(
        threshold=1.0, v_reset=rest, initial=initial, strict=strict, when=when, keep=keep,
        **decay_or_leak,
    )  # fmt: skip
    graph = one(op, **({"keep": np.array(kept)} if each else {}))
    counts = np.random.default_rng(seed).integers(0, 3, (7, 3, NEURONS))
    x = {"x": torch.from_numpy(counts / 1.0)}
    wanted = run_graph(graph, x)["out"]
    network = Lower()(graph).form
    found = run_network(network, x)
    assert torch.equal(found.spikes["s"], wanted)
    for dtype in (torch.float64,) if strict else (torch.float64, torch.float32):
        inputs = {name: value.to(dtype) for name, value in x.items()}
        spikes = Simulator(network, dtype)(inputs).spikes["s"]
        assert torch.equal(spikes.double(), wanted)
    again = parse_network(print_network(network), dict(network.tensors))
    assert again.places == network.places
    assert parse_graph(print_graph(graph), dict(graph.tensors)).nodes == graph.nodes


def test_another_reset_keeps_nothing():
    (neuron,) = with_reset(one(Spiking(keep=0.5)), "hard").neurons
    assert neuron.op == Spiking()
