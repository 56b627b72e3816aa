"""Loops over time in forward: re-rolled, spike for spike, or refused where the steps differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from snncc.diagnostics import SnnccError
from snncc.frontends.torch import trace
from snncc.ir.graph import Graph
from snncc.ir.ops import Delay
from snncc.nn import LIF

STEPS = 5
STILL, MOVING = torch.rand(3, 2, 8, 8), torch.rand(STEPS, 3, 2, 8, 8)


def form(graph: Graph) -> list[tuple[Any, ...]]:
    """What a Graph computes, whatever its nodes are called."""
    number = {name: index for index, name in enumerate(graph.nodes)}
    return [
        (node.op, [number[n] for n in node.inputs], node.signal.shape, node.signal.rate)
        for node in graph.nodes.values()
    ]


# -- networks of SpikingJelly, one step at a time ------------------------------------------------


class Net(nn.Module):
    """``over_time`` runs ``self.step``, or its parts, as it likes."""

    def __init__(self, neuron: Any, over_time: Callable[[Net, torch.Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.over_time = over_time
        self.stem = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.conv = nn.Sequential(
            neuron.IFNode(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8),
            neuron.LIFNode(tau=2.0), nn.AvgPool2d(2),
        )  # fmt: skip
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(32, 10), neuron.LIFNode(v_reset=None))
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, -1, 3)
                nn.init.normal_(part.bias, 0.5)
            elif isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, 0.3, 0.5)
        self.eval()

    def step(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(self.stem(x)))

    def forward(self, x: torch.Tensor) -> Any:
        return self.over_time(self, x)


def counter(net: Net, x: torch.Tensor) -> torch.Tensor:
    """As SpikingJelly's tutorials do it, the first layers once for all steps."""
    x = net.stem(x)
    out = net.fc(net.conv(x))
    for _ in range(1, STEPS):
        out += net.fc(net.conv(x))
    return out / STEPS


def from_zero(net: Net, x: torch.Tensor) -> torch.Tensor:
    out = 0
    for _ in range(STEPS):
        out = out + net.step(x)
    return out


def from_zeros(net: Net, x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(x.shape[0], 10)
    for _ in range(STEPS):
        out += net.step(x)
    return out / STEPS


def sum_of_list(net: Net, x: torch.Tensor) -> torch.Tensor:
    return sum([net.step(x) for _ in range(STEPS)]) / STEPS


def mean_of_stack(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([net.step(x) for _ in range(STEPS)]).mean(0)


@pytest.mark.slow
@pytest.mark.parametrize("over_time", [counter, from_zero, from_zeros, sum_of_list, mean_of_stack])
def test_a_still_image_at_every_step(spikingjelly, agree, over_time) -> None:
    graph, _ = agree(Net(spikingjelly.module("neuron"), over_time), STILL)
    assert graph.time_steps == STEPS
    assert graph.nodes["stem.0"].signal.rate == "static"
    assert len(graph.neurons) == 3


def by_index(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([net.step(x[t]) for t in range(x.shape[0])])


def by_iteration(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([net.step(frame).unsqueeze(0) for frame in x])


def by_unbind(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([net.step(frame) for frame in x.unbind(0)], dim=1)


def by_split(net: Net, x: torch.Tensor) -> torch.Tensor:
    steps = [net.step(frame.squeeze(0)) for frame in x.split(1)]
    return torch.cat(steps).view(STEPS, -1, 10).mean(0)


def layer_by_layer(net: Net, x: torch.Tensor) -> torch.Tensor:
    stem = torch.stack([net.stem(frame) for frame in x])
    hidden = [net.conv(stem[t]) for t in range(STEPS)]
    return torch.stack([net.fc(h) for h in hidden]).sum(0)


def last_spikes(net: Net, x: torch.Tensor) -> torch.Tensor:
    for frame in x:
        out = net.step(frame)
    return out


def last_spikes_read(net: Net, x: torch.Tensor) -> torch.Tensor:
    for frame in x:
        hidden = net.conv(net.stem(frame))
        net.fc(hidden)
    return torch.softmax(2 * hidden.flatten(1), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "over_time",
    [by_index, by_iteration, by_unbind, by_split, layer_by_layer, last_spikes, last_spikes_read],
)
def test_a_frame_a_step(spikingjelly, agree, over_time) -> None:
    graph, _ = agree(Net(spikingjelly.module("neuron"), over_time), MOVING)
    assert graph.time_steps == STEPS


def test_samples_first(spikingjelly, agree) -> None:
    def over_time(net: Net, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([net.step(x[:, t]) for t in range(STEPS)], 1).sum(1)

    neuron = spikingjelly.module("neuron")
    agree(Net(neuron, over_time), MOVING.transpose(0, 1), layout="NT")


def test_reset_at_the_start_of_forward(spikingjelly, agree) -> None:
    functional = spikingjelly.module("functional")

    def over_time(net: Net, x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return by_index(net, x)

    agree(Net(spikingjelly.module("neuron"), over_time), MOVING)


def test_still_spikes_at_every_step(spikingjelly, agree) -> None:
    agree(Net(spikingjelly.module("neuron"), counter), (STILL < 0.4).float(), input="spike")


@pytest.mark.slow
def test_two_outputs_a_sum_and_the_last(spikingjelly, agree) -> None:
    def over_time(net: Net, x: torch.Tensor) -> Any:
        out: Any = 0
        for frame in x:
            hidden = net.conv(net.stem(frame))
            spikes = net.fc(hidden)
            out = spikes + out
        return {"counts": out, "last": spikes, "hidden": hidden.mean(1)}

    for head in ("counts", "last", "hidden"):
        agree(Net(spikingjelly.module("neuron"), over_time), MOVING, head=head)


def test_the_graph_is_that_of_a_multi_step_module(agree) -> None:
    """One step at a time or all at once: the same ops on the same values."""

    class Steps(nn.Module):
        def __init__(self, looped: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.looped = looped
            self.fc1, self.fc2, self.sn = nn.Linear(6, 8), nn.Linear(8, 4), LIF()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.looped:
                return self.fc2(self.sn(3 * self.fc1(x))).mean(0)
            h = torch.stack([3 * self.fc1(frame) for frame in x])
            return torch.stack([self.fc2(s) for s in self.sn(h)]).mean(0)

    x = torch.rand(STEPS, 3, 6)
    looped, _ = agree(Steps(True), x)
    whole, _ = agree(Steps(False), x)
    assert form(looped) == form(whole)


def test_one_step_is_a_loop_too(spikingjelly, agree) -> None:
    def over_time(net: Small, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([net.sn(9 * net.fc1(frame)) for frame in x])

    graph, _ = agree(Small(spikingjelly.module("neuron"), over_time), torch.rand(1, 3, 8))
    assert graph.time_steps == 1


class Small(nn.Module):
    def __init__(self, neuron: Any, over_time: Callable[[Small, torch.Tensor], Any]) -> None:
        super().__init__()
        self.over_time = over_time
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.sn, self.sn2 = neuron.IFNode(), neuron.IFNode()

    def forward(self, x: torch.Tensor) -> Any:
        return self.over_time(self, x)


# -- values of the step before ---------------------------------------------------------------------


def small(neuron: Any, over_time: Callable[[Small, torch.Tensor], Any]) -> Small:
    """Some weights with which both neurons sometimes fire, fed back or not."""
    torch.manual_seed(0)
    net = Small(neuron, over_time)
    with torch.no_grad():
        for layer in (net.fc1, net.fc2):
            layer.weight *= 3
            layer.bias += 0.5
    return net


def own_spikes(net: Small, x: torch.Tensor) -> torch.Tensor:
    spikes, out = torch.zeros(x.shape[1], 8), []
    for frame in x:
        spikes = net.sn(net.fc1(frame) + net.fc2(spikes))
        out.append(spikes)
    return torch.stack(out)


def own_spikes_from_a_number(net: Small, x: torch.Tensor) -> torch.Tensor:
    spikes, count = 0, 0
    for frame in x:
        spikes = net.sn(0.7 * spikes + net.fc1(frame))
        count = count + spikes
    return count / STEPS


def a_deeper_layers_spikes(net: Small, x: torch.Tensor) -> torch.Tensor:
    deep, out = torch.zeros_like(x[0]), []
    for frame in x:
        deep = net.sn2(net.fc2(net.sn(net.fc1(frame) - deep)))
        out.append(deep)
    return torch.stack(out)


def twice(net: Small, x: torch.Tensor) -> torch.Tensor:
    """One value in two places, a constant 1 before the first step."""
    spikes, out = torch.zeros_like(x[0]), []
    for frame in x:
        now = net.sn(net.fc1(frame))
        out.append(net.sn2(net.fc2(now * (1 - spikes)) - spikes))
        spikes = now
    return torch.stack(out)


def the_frame_before(net: Small, x: torch.Tensor) -> torch.Tensor:
    before, out = torch.zeros_like(x[0]), []
    for frame in x:
        out.append(net.sn(net.fc1(frame) + net.fc2(before)))
        before = frame
    return torch.stack(out)


FED_BACK = [own_spikes, own_spikes_from_a_number, a_deeper_layers_spikes, twice, the_frame_before]


@pytest.mark.parametrize("kind", ["analog", "spike"])
@pytest.mark.parametrize("over_time", FED_BACK)
def test_values_of_the_step_before(spikingjelly, agree, over_time, kind) -> None:
    """Spikes arrive by projections with a delay; what is analog waits on the host."""
    net = small(spikingjelly.module("neuron"), over_time)
    graph, network = agree(net, torch.rand(STEPS, 3, 8).round(), input=kind)
    assert graph.of_type(Delay)
    on_host = over_time is the_frame_before and kind == "analog"
    assert {projection.delay for projection in network.projections} == ({0} if on_host else {0, 1})


def joined_with_the_frame(net: Small, x: torch.Tensor) -> torch.Tensor:
    """The spikes of the step before and the frame are features of one layer."""
    spikes, out = torch.zeros(x.shape[1], 4), []
    for frame in x:
        spikes = net.sn(net.fc1(torch.cat([frame[:, :4], spikes], 1)))[:, :4]
        out.append(net.sn2(net.fc2(torch.cat([spikes, torch.ones(x.shape[1], 4)], dim=1))))
    return torch.stack(out)


def test_what_is_joined_with_the_step_before(spikingjelly, agree) -> None:
    net = small(spikingjelly.module("neuron"), joined_with_the_frame)
    graph, network = agree(net, torch.rand(STEPS, 3, 8).round(), input="spike")
    assert len(graph.of_type(Delay)) == 1
    assert {projection.delay for projection in network.projections} == {0, 1}


@pytest.mark.parametrize("container", ["Linear", "ElementWise"])
def test_recurrent_containers_of_spikingjelly(spikingjelly, agree, container) -> None:
    neuron, layer = spikingjelly.module("neuron"), spikingjelly.module("layer")

    def over_time(net: Small, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([net.sn2(net.fc2(net.sn(net.fc1(frame)))) for frame in x])

    net = small(neuron, over_time)
    if container == "Linear":
        net.sn = layer.LinearRecurrentContainer(neuron.LIFNode(), 8, 8)
        nn.init.normal_(net.sn.rc.weight, 0.2, 0.5)
    else:
        net.sn = layer.ElementWiseRecurrentContainer(neuron.LIFNode(), torch.add)
    graph, network = agree(net, torch.rand(STEPS, 3, 8).round(), input="spike")
    assert len(graph.of_type(Delay)) == 1
    assert {projection.delay for projection in network.projections} == {0, 1}


def a_bias_from_the_second_step_on(net: Small, x: torch.Tensor) -> torch.Tensor:
    back, out = torch.zeros_like(x[0]), []
    for frame in x:
        spikes = net.sn(net.fc1(frame) + back)
        back = net.fc2(spikes)
        out.append(spikes)
    return torch.stack(out)


def test_what_delays_begin_with_is_what_silence_gives(spikingjelly, agree) -> None:
    net = small(spikingjelly.module("neuron"), a_bias_from_the_second_step_on)
    with pytest.raises(SnnccError, match="SNN112.*starts at another value than fc2 has without"):
        agree(net, torch.rand(STEPS, 3, 8))
    nn.init.zeros_(net.fc2.bias)
    agree(net, torch.rand(STEPS, 3, 8))


def from_the_second_step_on(net: Small, x: torch.Tensor) -> torch.Tensor:
    out = []
    for t, frame in enumerate(x):
        h = net.fc1(frame)
        out.append(net.sn(h + out[-1] if t else h))
    return torch.stack(out)


def test_a_first_step_without_what_comes_from_the_one_before(spikingjelly, agree) -> None:
    net = small(spikingjelly.module("neuron"), from_the_second_step_on)
    graph, _ = agree(net, torch.rand(STEPS, 3, 8).round(), input="spike")
    assert [node.op for node in graph.of_type(Delay)] == [Delay()]


# -- refused -------------------------------------------------------------------------------------


def each(step: Callable[[Small, torch.Tensor, int], torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda net, x: torch.stack([step(net, x[t], t) for t in range(STEPS)])


def branch(at: int) -> Callable[..., torch.Tensor]:
    def step(net: Small, x: torch.Tensor, t: int) -> torch.Tensor:
        h = net.fc1(x)
        return net.sn(h * 2 if t == at else h)

    return each(step)


def running_sum(net: Small, x: torch.Tensor) -> torch.Tensor:
    count, out = 0, []
    for frame in x:
        count = count + net.sn(net.fc1(frame))
        out.append(net.sn2(count))
    return torch.stack(out)


def leaky_sum(net: Small, x: torch.Tensor) -> torch.Tensor:
    out = 0
    for frame in x:
        out = 0.9 * out + net.sn(net.fc1(frame))
    return out


def two_steps_before(net: Small, x: torch.Tensor) -> torch.Tensor:
    out = [torch.zeros_like(x[0]), torch.zeros_like(x[0])]
    for frame in x:
        out.append(net.sn(net.fc1(frame) + net.fc2(out[-2])))
    return torch.stack(out[2:])


def joined(*order: int) -> Callable[..., torch.Tensor]:
    def over_time(net: Small, x: torch.Tensor) -> torch.Tensor:
        steps = [net.sn(net.fc1(frame)) for frame in x]
        return torch.stack([steps[t] for t in order])

    return over_time


def two_steps_at_once(net: Small, x: torch.Tensor) -> torch.Tensor:
    steps = [net.sn(net.fc1(frame)) for frame in x]
    return torch.stack([net.sn2(a + b) for a, b in pairwise([*steps, steps[0]])])


def weighted(net: Small, x: torch.Tensor) -> torch.Tensor:
    return sum(net.sn(net.fc1(x[t])) * (t + 1) for t in range(STEPS))


def after_the_loop(net: Small, x: torch.Tensor) -> torch.Tensor:
    for frame in x:
        out = net.sn(net.fc1(frame))
    return net.sn2(net.fc2(out))


REFUSED = [
    (each(lambda net, x, t: net.sn(net.fc2(net.sn(net.fc1(x))))), "SNN309", "step 0.*fc1.*fc2"),
    (each(lambda net, x, t: net.sn((net.fc2 if t else net.fc1)(x))), "SNN318", "step 1 runs dense"),
    (branch(0), "SNN318", "reads fc1 in step 1, and mul in step 0"),
    (branch(3), "SNN318", "step 3 runs mul on fc1, and step 0 does not"),
    (branch(STEPS - 1), "SNN318", "in step 4 neuron sn reads mul"),
    (lambda net, x: torch.stack([net.sn(net.fc1(f)) for f in x[:4]]), "SNN301", "part of time"),
    (joined(0, 1, 2, 3), "SNN318", "takes 4 of 5 steps"),
    (joined(4, 3, 2, 1, 0), "SNN318", "sn of step 4, sn of step 3"),
    (joined(0, 1, 1, 3, 4), "SNN318", "sn of step 1, sn of step 1"),
    (lambda net, x: [net.sn(net.fc1(f)) for f in x], "SNN318", "returning step 0"),
    (lambda net, x: sum(net.sn(net.fc1(x[-t - 1])) for t in range(5)), "SNN318", "in step 0 "),
    (running_sum, "SNN112", "sum of sn over steps 0 to 1"),
    (leaky_sum, "SNN112", "`mul` feeds back to itself without a neuron between"),
    (two_steps_before, "SNN112", "step 2 and fc2 of step 0 meet"),
    (two_steps_at_once, "SNN112", "step"),
    (weighted, "SNN318", "step 1 runs mul on sn"),
    (after_the_loop, "SNN318", "sn2 reads fc2, a value of the whole loop; dense on sn"),
]


@pytest.mark.parametrize(("over_time", "code", "said"), REFUSED)
def test_steps_that_differ_are_named(spikingjelly, over_time, code, said) -> None:
    net = Small(spikingjelly.module("neuron"), over_time)
    with pytest.raises(SnnccError, match=said) as caught:
        trace(net, torch.rand(STEPS, 3, 8))
    assert [finding.code for finding in caught.value.findings] == [code]


def test_the_line_of_the_step_that_differs(spikingjelly) -> None:
    net = Small(spikingjelly.module("neuron"), branch(3))
    with pytest.raises(SnnccError) as caught:
        trace(net, torch.rand(STEPS, 3, 8))
    (finding,) = caught.value.findings
    assert finding.location.file.endswith("test_loops.py")
    with open(__file__) as file:
        assert "h * 2" in file.read().splitlines()[finding.location.line - 1]


def grows(net: Small, x: torch.Tensor) -> torch.Tensor:
    out = []
    for t in range(STEPS):
        h = net.sn(net.fc1(x))
        out.append(net.sn2(h * 0.5 if t >= 3 else h))
    return torch.stack(out)


def other_length(net: Small, x: torch.Tensor) -> torch.Tensor:
    hidden = [net.sn(net.fc1(x)) for _ in range(STEPS)]
    return sum(net.sn2(h) for h in hidden[:3])


def missing_steps(net: Small, x: torch.Tensor) -> torch.Tensor:
    out = 0
    for t in range(STEPS):
        h = net.sn(net.fc1(x))
        if t < 3:
            h = net.sn2(h)
            out = out + h
    return out


@pytest.mark.parametrize(
    ("over_time", "said"),
    [
        (grows, "in step 3 neuron sn2 reads mul"),
        (other_length, "sn runs in 5 steps, and what is returned is of 3"),
        (missing_steps, "sn runs in 5 steps, and what is returned is of 3"),
    ],
)
def test_a_loop_of_unknown_length(spikingjelly, over_time, said) -> None:
    with pytest.raises(SnnccError, match=said) as caught:
        trace(Small(spikingjelly.module("neuron"), over_time), torch.rand(3, 8))
    assert [finding.code for finding in caught.value.findings] == ["SNN318"]


def test_a_neuron_called_once_is_no_loop(spikingjelly) -> None:
    net = Small(spikingjelly.module("neuron"), lambda net, x: net.sn(net.fc1(x)))
    with pytest.raises(SnnccError, match="SNN306.*sn is single-step: pass time_steps"):
        trace(net, torch.rand(3, 8))
    with pytest.raises(SnnccError, match="SNN306.*sn is single-step"):
        trace(net, torch.rand(STEPS, 3, 8))


def restarted(net: Small, x: torch.Tensor, reset: Callable[[nn.Module], None]) -> torch.Tensor:
    out = []
    for t, frame in enumerate(x):
        if t == 2:
            reset(net)
        out.append(net.sn(net.fc1(frame)))
    return torch.stack(out)


def test_a_neuron_reset_half_way(spikingjelly) -> None:
    reset = spikingjelly.module("functional").reset_net
    net = Small(spikingjelly.module("neuron"), lambda net, x: restarted(net, x, reset))
    with pytest.raises(SnnccError, match="SNN309.*sn does not go on from the v its last call left"):
        trace(net, torch.rand(STEPS, 3, 8))


def test_constants_made_at_every_step_are_one(agree, spikingjelly) -> None:
    def step(net: Small, x: torch.Tensor, t: int) -> torch.Tensor:
        mask = torch.tensor([1.0, 2.0] * 4)
        return net.sn(mask * net.fc1(x) + torch.ones_like(x))

    graph, _ = agree(Small(spikingjelly.module("neuron"), each(step)), torch.rand(STEPS, 3, 8))
    assert math.prod(graph.tensors["constant"].shape) == 8
