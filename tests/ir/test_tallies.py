"""Tallies that follow from others, against the sums of a run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.ir.interpreter import run_graph
from snncc.ir.tallies import tallied, tallies
from snncc.ir.text import parse_graph

STEPS, SAMPLES = 3, 4

GRAPH = """
graph g {{
  %a = input{{kind='spike'}} : step [2,4,4] {{0,1}}
  %b = input{{kind='spike'}} : step [2,4,4] {{0,1}}
  %s = input{{kind='count'}} : static [2,4,4] {{0..3}}
  %two = constant{{value=2.0}} : static [] {{2}}
  {body}
  head out = %x
  tensor @w float64 [3,2,3,3]
  tensor @c float64 [3]
  tensor @d float64 [5,4]
  tensor @m float64 [2] = [0.5, -1.0]
  tensor @v float64 [2] = [1.0, 4.0]
}}
"""

AFFINE = {
    "conv": "%x = conv{weight=@w, bias=@c, padding=(1, 1)} %a : step [3,4,4] real",
    "dense": "%x = dense{weight=@d} %a : step [2,4,5] real",
    "norm": "%x = norm{mean=@m, variance=@v, scale=None, shift=@m, epsilon=1e-05} %a"
    " : step [2,4,4] real",
    "pool": "%x = pool{kind='average', kernel=(2, 2), stride=(2, 2)} %a : step [2,2,2] real",
    "add": "%x = elementwise{function='add'} %a %b : step [2,4,4] {0..2}",
    "one minus": "%x = elementwise{function='sub'} %two %a : step [2,4,4] {1,2}",
    "twice": "%x = elementwise{function='mul'} %two %a : step [2,4,4] {0,2}",
    "half": "%x = elementwise{function='div'} %a %two : step [2,4,4] {0,0.5}",
    "negative": "%x = elementwise{function='neg'} %a : step [2,4,4] {-1,0}",
    "static beside steps": "%x = elementwise{function='add'} %a %s : step [2,4,4] {0..4}",
    "static": "%x = elementwise{function='add'} %s %s : static [2,4,4] {0..6}",
    "repeat": "%x = repeat %s : step [2,4,4] {0..3}",
    "concat": "%x = concat{axis=0} %a %b : step [4,4,4] {0,1}",
    "sum over time": "%x = overtime{kind='sum'} %a : final [2,4,4] {0..3}",
    "mean over time": "%x = overtime{kind='mean'} %a : final [2,4,4] real",
    "several": "%n = elementwise{function='sub'} %two %a : step [2,4,4] {1,2}\n"
    "  %y = elementwise{function='add'} %n %b : step [2,4,4] {1..3}\n"
    "  %x = conv{weight=@w, bias=@c} %y : step [3,2,2] real",
}

BACK = {
    "or": "%n = elementwise{function='sub'} %two %a : step [2,4,4] {1,2}\n"
    "  %x = elementwise{function='mul'} %n %b : step [2,4,4] {0..2}\n"
    "  %y = elementwise{function='sub'} %two %x : step [2,4,4] {0..2}",
    "sum less product": "%s2 = elementwise{function='add'} %a %b : step [2,4,4] {0..2}\n"
    "  %x = elementwise{function='mul'} %a %b : step [2,4,4] {0,1}\n"
    "  %y = elementwise{function='sub'} %s2 %x : step [2,4,4] {0,1}",
}

OTHER = {
    "product": "%x = elementwise{function='mul'} %a %b : step [2,4,4] {0,1}",
    "and": "%x = elementwise{function='and'} %a %b : step [2,4,4] {0,1}",
    "through a number": "%x = elementwise{function='div'} %two %a : step [2,4,4] real",
    "largest": "%x = pool{kind='max', kernel=(2, 2), stride=(2, 2)} %a : step [2,2,2] {0,1}",
    "last": "%x = overtime{kind='last'} %a : final [2,4,4] {0,1}",
    "delay": "%x = delay %a : step [2,4,4] {0,1}",
}


def made(body):
    generator = np.random.default_rng(0)
    shapes = {"w": (3, 2, 3, 3), "c": (3,), "d": (5, 4)}
    tensors = {name: generator.integers(-4, 5, shape) / 4 for name, shape in shapes.items()}
    graph = parse_graph(GRAPH.format(body=body), tensors)
    spikes = torch.from_numpy(generator.integers(0, 2, (2, STEPS, SAMPLES, 2, 4, 4))).double()
    counts = torch.from_numpy(generator.integers(0, 4, (SAMPLES, 2, 4, 4))).double()
    return graph, {"a": spikes[0], "b": spikes[1], "s": counts}


def summed(graph, name, value):
    axes = (0, 1) if graph.nodes[name].signal.rate == "step" else (0,)
    return value.sum(axes)


@pytest.mark.parametrize("body", AFFINE.values(), ids=AFFINE)
def test_a_tally_goes_through_what_is_affine(body):
    graph, inputs = made(body)
    assert tallied(graph, ["x"], inputs) == {"x"}
    known = {name: summed(graph, name, value) for name, value in inputs.items()}
    found = tallies(graph, ["x"], known, SAMPLES, STEPS)["x"]
    expected = summed(graph, "x", run_graph(graph, inputs, keep={"x"})["x"])
    assert found.shape == graph.nodes["x"].signal.shape
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("body", BACK.values(), ids=BACK)
def test_a_tally_goes_back_to_what_alone_is_unknown(body):
    graph, inputs = made(body)
    values = run_graph(graph, inputs, keep={"x", "y"})
    given = {**inputs, "y": values["y"]}
    assert tallied(graph, ["x"], inputs) == frozenset()
    assert tallied(graph, ["x"], given) == {"x"}
    known = {name: summed(graph, name, value) for name, value in given.items()}
    found = tallies(graph, ["x"], known, SAMPLES, STEPS)["x"]
    assert torch.equal(found, summed(graph, "x", values["x"]))


@pytest.mark.parametrize("body", OTHER.values(), ids=OTHER)
def test_a_tally_ends_where_it_is_not(body):
    graph, inputs = made(body)
    assert tallied(graph, ["x", "a"], inputs) == {"a"}


def test_what_is_known_needs_nothing_before_it():
    graph, _ = made(OTHER["product"])
    known = {"x": torch.ones(2, 4, 4)}
    assert tallied(graph, ["x", "a"], known) == {"x"}
    assert tallies(graph, ["x"], known, SAMPLES, STEPS)["x"].equal(torch.ones(2, 4, 4).double())
