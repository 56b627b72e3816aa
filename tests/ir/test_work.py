"""AC and MAC by hand, on networks small enough to count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.ir.interpreter import run_graph, run_network
from snncc.ir.text import parse_graph, parse_network
from snncc.ir.work import CMOS_45NM, GraphMeter, NetworkMeter, Operations, Work

NETWORK = """
network small {
  source %in [1,3,3] count
  neuron %a [2,3,3] {threshold=1.5}
    %in -> %a > conv{weight=@w, padding=(1, 1)}
  relay %r [2,3,3] {decay=0.0}
    %a -> %r
  readout %out [4] {}
    %r -> %out > reshape{shape=(18,)} > dense{weight=@fc}
  tensor @w float64 [2,1,3,3]
  tensor @fc float64 [4,18]
}
"""

HYBRID = """
network hybrid steps=5 {
  encoder %e [2,4,4] static
    graph stem {
      %image = input{kind='analog'} : static [1,4,4] real
      %conv = conv{weight=@w, padding=(1, 1)} %image : static [2,4,4] real
      %bn = norm{mean=@m, variance=@v, scale=None, shift=None, epsilon=1e-05} %conv : static [2,4,4] real
      head current = %bn
      tensor @w float64 [2,1,3,3]
      tensor @m float64 [2] = [0.0, 0.0]
      tensor @v float64 [2] = [1.0, 1.0]
    }
  neuron %a [2,4,4] {}
    %e -> %a
  readout %out [2,4,4] {}
    %a -> %out
}
"""  # noqa: E501


def tensors(**shapes):
    return {name: np.ones(shape) for name, shape in shapes.items()}


def sums(values):
    """(T, N, *shape) over steps and samples."""
    return {name: value.sum((0, 1)) for name, value in values.items()}


def test_an_event_costs_its_count_times_its_synapses():
    network = parse_network(NETWORK, tensors(w=(2, 1, 3, 3), fc=(4, 18)))
    events = torch.zeros(2, 3, 1, 3, 3)
    events[0, 0, 0, 0, 0] = 3  # a corner: 4 positions in 2 channels
    events[1, 2, 0, 1, 1] = 1  # the centre: 9 positions in 2 channels
    run = run_network(network, {"in": events})
    work = NetworkMeter(network)(sums(run.spikes), samples=3, steps=2)
    fired = int(run.spikes["a"].sum())
    assert fired == 2 * 4  # the corner's targets get 3; the centre's get 1 and stay below
    assert work.samples == 3
    assert work.parts["in -> a"] == Operations(ac=3 * 8 + 18)
    assert work.parts["a -> r"] == Operations(ac=fired)
    assert work.parts["r -> out"] == Operations(ac=4 * fired)
    assert work.parts["a"] == work.parts["r"] == Operations(updates=2 * 3 * 18)
    assert work.total == Operations(ac=42 + fired + 4 * fired, updates=2 * 2 * 3 * 18)


def test_an_encoder_is_dense_work_on_the_host_once_a_sample():
    network = parse_network(HYBRID, tensors(w=(2, 1, 3, 3)))
    run = run_network(network, {"image": torch.ones(3, 1, 4, 4)})
    work = NetworkMeter(network)(sums(run.spikes), samples=3, steps=5)
    assert work.parts["e"] == Operations(mac=3 * 2 * 16 * 9)
    assert work.parts["a -> out"] == Operations(ac=int(run.spikes["a"].sum()))


GRAPH = """
graph g {{
  %in = input{{kind='{kind}'}} : step [1,3,3] {values}
  %two = constant{{value=2.0}} : static [] {{2}}
  %x = {op} : step {shape} real
  %sn = spiking %x : step {shape} {{0,1}}
  head out = %sn
  tensor @w float64 [2,1,3,3]
  tensor @m float64 [1] = [0.0]
  tensor @v float64 [1] = [1.0]
}}
"""
NORM = "norm{mean=@m, variance=@v, scale=None, shift=None, epsilon=1e-05}"
POOL = "kernel=(2, 2), stride=(1, 1)"
STEPS, SAMPLES = 2, 3


@pytest.mark.parametrize(
    ("op", "shape", "by_spikes", "on_reals"),
    [
        ("conv{weight=@w, padding=(1, 1)} %in", "[2,3,3]", "fan-out", Operations(mac=2 * 9 * 9)),
        (f"pool{{kind='average', {POOL}}} %in", "[1,2,2]", "fan-out", Operations(mac=16)),
        (f"pool{{kind='max', {POOL}}} %in", "[1,2,2]", "fan-out", Operations(ac=16)),
        ("reduce{kind='mean', axes=(1, 2)} %in", "[1]", "each", Operations(mac=9)),
        ("elementwise{function='add'} %in %in", "[1,3,3]", "both", Operations(ac=9)),
        ("elementwise{function='mul'} %in %in", "[1,3,3]", "both", Operations(mac=9)),
        ("elementwise{function='mul'} %in %two", "[1,3,3]", "free", Operations(mac=9)),
        ("elementwise{function='sub'} %two %in", "[1,3,3]", "each", Operations(ac=9)),
        ("elementwise{function='relu'} %in", "[1,3,3]", "free", Operations()),
        ("scale{factor=0.5} %in", "[1,3,3]", "free", Operations(mac=9)),
        (f"{NORM} %in", "[1,3,3]", "dense", Operations(mac=9)),
    ],
)
def test_an_op_is_ac_on_spikes_and_dense_on_reals(op, shape, by_spikes, on_reals):
    weights = tensors(w=(2, 1, 3, 3))
    analog = parse_graph(GRAPH.format(kind="analog", values="real", op=op, shape=shape), weights)
    meter = GraphMeter(analog, only=["x"])
    assert not meter.reads
    dense = Work(SAMPLES, {"x": on_reals}).total
    each_time = Operations(dense.ac * STEPS * SAMPLES, dense.mac * STEPS * SAMPLES)
    assert meter({}, SAMPLES, STEPS).total == each_time

    counts = torch.zeros(STEPS, SAMPLES, 1, 3, 3)
    counts[0, 1, 0, 0, 0], counts[1, 2, 0, 1, 1] = 2, 1
    fan = {"fan-out": {"conv": 2 * 8 + 18, "pool": 2 * 1 + 4}.get(op.partition("{")[0]),
           "each": 3, "both": 6, "free": 0}  # fmt: skip
    events = parse_graph(GRAPH.format(kind="count", values="{0..2}", op=op, shape=shape), weights)
    meter = GraphMeter(events, only=["x"])
    values = run_graph(events, {"in": counts}, keep=meter.reads)
    expected = each_time if by_spikes == "dense" else Operations(ac=fan[by_spikes])
    assert meter(sums(values), SAMPLES, STEPS).total == expected


def test_a_norm_that_follows_a_layer_is_free():
    text = """
    graph g {
      %in = input{kind='analog'} : static [1,3,3] real
      %conv = conv{weight=@w, padding=(1, 1)} %in : static [1,3,3] real
      %cast = identity %conv : static [1,3,3] real
      %bn = NORM %cast : static [1,3,3] real
      %again = NORM %bn : static [1,3,3] real
      %sn = spiking %again : step [1,3,3] {0,1}
      %mean = overtime{kind='mean'} %sn : final [1,3,3] real
      head out = %mean
      tensor @w float64 [1,1,3,3]
      tensor @m float64 [1] = [0.0]
      tensor @v float64 [1] = [1.0]
    }
    """.replace("NORM", NORM)
    graph = parse_graph(text, tensors(w=(1, 1, 3, 3)))
    meter = GraphMeter(graph)
    spikes = torch.zeros(4, 2, 1, 3, 3)
    spikes[0, 0, 0, 0, 0] = spikes[3, 1, 0, 2, 2] = 1
    work = meter(sums({"sn": spikes}), samples=2, steps=4)
    assert work.parts == {
        "conv": Operations(mac=2 * 81),
        "again": Operations(mac=2 * 9),
        "sn": Operations(updates=2 * 4 * 9),
        "mean": Operations(ac=2),
    }


def test_work_of_more_samples_adds_up_and_has_an_energy():
    one = Work(1, {"a": Operations(ac=3), "b": Operations(mac=2)})
    two = Work(2, {"b": Operations(mac=5, updates=1)})
    both = one + two
    assert both == Work(3, {"a": Operations(ac=3), "b": Operations(mac=7, updates=1)})
    assert both.of(["b"]).total == Operations(mac=7, updates=1)
    assert CMOS_45NM(both.total) == pytest.approx(3 * 0.9e-12 + 7 * 4.6e-12)


@pytest.mark.slow
def test_the_macs_of_the_paper():
    """arXiv 2301.11929, ImageNet at 224²: a DSNN-18 takes 0.20 G MAC, its stem conv 0.118 G."""
    from snncc.frontends.torch import trace
    from snncc.nn import DualStreamResNet

    network = DualStreamResNet(
        3, 1000, [64, 128, 256, 512], [2, 2, 2, 2], time_steps=4, stem_kernel=7, stem_stride=2,
        stem_pool=True,
    )  # fmt: skip
    graph = trace(network.eval(), torch.randn(1, 3, 224, 224))
    meter = GraphMeter(graph)
    silence = {name: torch.zeros(graph.nodes[name].signal.shape) for name in meter.reads}
    work = meter(silence, samples=1, steps=4)
    assert round(work.total.mac / 1e9, 2) == 0.20
    (stem,) = (ops.mac for name, ops in work.parts.items() if name.startswith("stem."))
    assert stem == 112 * 112 * 64 * 3 * 7 * 7
