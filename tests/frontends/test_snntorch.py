"""snnTorch's neurons, and networks as its tutorials write them, spike for spike."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import snntorch
import torch
from snntorch import surrogate, utils
from torch import nn

from snncc.diagnostics import SnnccError
from snncc.frontends.neurons import converter
from snncc.frontends.torch import trace
from snncc.ir.interpreter import TensorStore, fire_as_written
from snncc.ir.network import Population
from snncc.ir.ops import Delay, Spiking

STEPS = 6
STILL, MOVING = torch.rand(3, 12), torch.rand(STEPS, 3, 12)
SOME = torch.linspace(0.1, 0.9, 7)

RESETS = ("subtract", "zero", "none")
VARIANTS = [
    {"reset_mechanism": reset, "reset_delay": delay}
    for reset, delay in itertools.product(RESETS, (True, False))
]


class Net(nn.Module):
    """fc, neuron, fc, neuron; ``over_time`` runs them."""

    def __init__(
        self, first: nn.Module, second: nn.Module, over_time: Callable[[Net, torch.Tensor], Any]
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.over_time = over_time
        self.fc1, self.fc2 = nn.Linear(12, 20), nn.Linear(20, 7)
        self.lif1, self.lif2 = first, second
        with torch.no_grad():
            for layer in (self.fc1, self.fc2):
                layer.weight *= 4
                layer.bias += 0.8

    def forward(self, x: torch.Tensor) -> Any:
        return self.over_time(self, x)


def tutorial(net: Net, x: torch.Tensor) -> Any:
    """Tutorial 5: a still input, spikes and membranes of the last layer recorded."""
    mem1 = net.lif1.reset_mem()
    mem2 = net.lif2.reset_mem()
    spk2_rec, mem2_rec = [], []
    for _ in range(STEPS):
        cur1 = net.fc1(x)
        spk1, mem1 = net.lif1(cur1, mem1)
        cur2 = net.fc2(spk1)
        spk2, mem2 = net.lif2(cur2, mem2)
        spk2_rec.append(spk2)
        mem2_rec.append(mem2)
    return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def counts(net: Net, x: torch.Tensor) -> torch.Tensor:
    mem1, mem2 = net.lif1.reset_mem(), None
    out = torch.zeros(x.shape[1], 7)
    for frame in x:
        spk1, mem1 = net.lif1(net.fc1(frame), mem1)
        spk2, mem2 = net.lif2(net.fc2(spk1), mem=mem2)
        out += spk2
    return out


def hidden(net: Net, x: torch.Tensor) -> torch.Tensor:
    """Membranes kept by the neurons, as with ``init_hidden=True``."""
    utils.reset(net)
    return sum(net.lif2(net.fc2(net.lif1(net.fc1(frame)))) for frame in x) / len(x)


def synaptic(net: Net, x: torch.Tensor) -> torch.Tensor:
    syn1, mem1 = net.lif1.init_synaptic()
    syn2, mem2 = net.lif2.init_synaptic()
    out = []
    for frame in x:
        spk1, syn1, mem1 = net.lif1(net.fc1(frame), syn1, mem1)
        spk2, syn2, mem2 = net.lif2(net.fc2(spk1), syn2, mem2)
        out.append(spk2)
    return torch.stack(out).sum(0)


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_leaky(agree, options) -> None:
    net = Net(snntorch.Leaky(0.9, **options), snntorch.Leaky(0.7, **options), tutorial)
    graph, network = agree(net, STILL)
    assert graph.time_steps == STEPS
    assert graph.heads == {"0": "lif2", "1": "lif2.mem"}
    assert [population.name for population in network.populations] == ["lif1", "lif2"]


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_learnt_numbers_of_each_neuron(agree, options) -> None:
    """beta is clamped to 0 … 1; some neurons integrate, some forget at once."""
    beta, threshold = torch.linspace(-0.5, 1.5, 20), torch.linspace(0, 1.5, 20)
    first = snntorch.Leaky(
        beta, threshold, learn_beta=True, learn_threshold=True, **options,
    )  # fmt: skip
    second = snntorch.Leaky(SOME, graded_spikes_factor=0.3, **options)
    agree(Net(first, second, counts), MOVING)


@pytest.mark.parametrize("reset", RESETS)
def test_lapicque(agree, reset) -> None:
    first = snntorch.Lapicque(beta=0.8, reset_mechanism=reset)
    second = snntorch.Lapicque(R=5.1, C=1.44, time_step=0.9, threshold=0.5, reset_mechanism=reset)
    agree(Net(first, second, tutorial), STILL)


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_synaptic(agree, options) -> None:
    second = snntorch.Synaptic(SOME, SOME.flip(0), learn_alpha=True, **options)
    agree(Net(snntorch.Synaptic(0.8, 0.7, **options), second, synaptic), MOVING)


def recurrent(net: Net, x: torch.Tensor) -> torch.Tensor:
    """Spikes and membranes by hand, whatever a neuron has of them."""
    state1, state2 = net.lif1.reset_mem(), net.lif2.reset_mem()
    out = []
    for frame in x:
        spk1, *rest1 = state1 = net.lif1(net.fc1(frame), *state1)
        spk2, *rest2 = state2 = net.lif2(net.fc2(spk1), *state2)
        out.append(spk2)
        assert len(rest1) == len(rest2)
    return torch.stack(out)


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_recurrent_leaky(agree, options) -> None:
    """All to all, and each neuron to itself; a projection that takes one step."""
    torch.manual_seed(0)
    first = snntorch.RLeaky(0.8, linear_features=20, **options)
    second = snntorch.RLeaky(0.6, V=-SOME, all_to_all=False, **options)
    graph, network = agree(Net(first, second, recurrent), MOVING)
    assert {(p.source, p.target): p.delay for p in network.projections if p.delay} == {
        ("lif1", "lif1"): 1, ("lif2", "lif2"): 1,
    }  # fmt: skip
    assert [node.inputs for node in graph.of_type(Delay)] == [("lif1",), ("lif2",)]


@pytest.mark.parametrize("reset", RESETS)
def test_recurrent_synaptic(agree, reset) -> None:
    torch.manual_seed(0)
    first = snntorch.RSynaptic(0.5, 0.7, linear_features=20, reset_mechanism=reset)
    second = snntorch.RSynaptic(0.5, 0.7, V=0.4, all_to_all=False, reset_mechanism=reset)
    agree(Net(first, second, recurrent), MOVING)


def test_recurrent_convolution(agree) -> None:
    torch.manual_seed(0)
    kept = {"init_hidden": True}
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), snntorch.RLeaky(0.6, conv2d_channels=4, kernel_size=3, **kept),
        nn.Flatten(), nn.Linear(144, 7), snntorch.RLeaky(0.6, V=0.5, all_to_all=False, **kept),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight *= 4
        net[3].bias += 0.6
    agree(net, torch.rand(3, 2, 8, 8), time_steps=4)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [-0.5, 0.0])
@pytest.mark.parametrize("options", VARIANTS[:4], ids=str)
def test_a_neuron_that_fires_at_rest(agree, options, threshold) -> None:
    """The first step already resets what a threshold below 0 says has fired."""
    first = snntorch.Leaky(0.5, threshold, **options)
    net = Net(first, snntorch.Leaky(0.9, **options), counts)
    if threshold < 0 and options == {"reset_mechanism": "zero", "reset_delay": False}:
        with pytest.raises(SnnccError, match="SNN110 .*lif1.*fires at rest"):
            trace(net, MOVING)
    else:
        agree(net, MOVING)


@pytest.mark.slow
def test_resets_that_come_late_are_brought_to_the_normal_form_where_they_can_be(agree) -> None:
    def when(beta: float, reset: str, delay: bool = True, kind: Any = snntorch.Leaky) -> Any:
        more = {"threshold": 0.1} if kind is snntorch.Lapicque else {"reset_delay": delay}
        neurons = [kind(beta=beta, reset_mechanism=reset, **more) for _ in range(2)]
        _, network = agree(Net(*neurons, tutorial), STILL)
        population = network.places["lif1"]
        assert isinstance(population, Population)
        return population.neuron.reset, population.neuron.when

    assert when(0.9, "zero") == ("hard", "now")
    assert when(0.9, "zero", delay=False) == ("hard", "now")
    assert when(1.0, "subtract") == ("soft", "now")
    assert when(0.9, "subtract") == ("soft", "next")
    assert when(0.9, "subtract", delay=False) == ("soft", "both")
    assert when(0.9, "none") == ("none", "now")
    assert when(0.9, "zero", kind=snntorch.Lapicque) == ("hard", "next")


def test_membranes_kept_by_the_neurons(agree) -> None:
    kept = {"init_hidden": True, "spike_grad": surrogate.fast_sigmoid()}
    net = Net(snntorch.Leaky(0.9, **kept), snntorch.Leaky(0.5, output=False, **kept), hidden)
    originals = list(snntorch.SpikingNeuron.instances)
    agree(net, MOVING)
    agree(net, MOVING)  # no state is left from the first time
    assert snntorch.SpikingNeuron.instances == originals
    assert net.lif1.mem.numel() == 0


def convolutional() -> nn.Sequential:
    """Sequential as in tutorial 6; the last neuron returns its membrane too."""
    torch.manual_seed(0)
    kept = {"init_hidden": True}
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3), snntorch.Leaky(0.5, **kept), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), snntorch.Leaky(0.9, reset_mechanism="zero", **kept), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 10), snntorch.Leaky(0.7, output=True, **kept),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 3
    return net


class OverTime(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, data: torch.Tensor) -> Any:
        mem_rec, spk_rec = [], []
        utils.reset(self.net)
        for step in range(data.size(0)):
            spk_out, mem_out = self.net(data[step])
            spk_rec.append(spk_out)
            mem_rec.append(mem_out)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def test_a_convolutional_network_over_events(agree) -> None:
    events = (torch.rand(4, 3, 1, 14, 14) < 0.4).float()
    graph, network = agree(OverTime(convolutional()), events, input="spike")
    assert not network.encoders
    assert graph.heads == {"0": "net.8", "1": "net.8.mem"}


def test_a_module_of_one_step_called_t_times(agree) -> None:
    agree(convolutional(), torch.rand(3, 1, 14, 14), time_steps=4, head="0")


def test_membranes_detached_between_steps(agree) -> None:
    def over_time(net: Net, x: torch.Tensor) -> torch.Tensor:
        mem1 = net.lif1.reset_mem()
        out = []
        for frame in x:
            spk1, mem1 = net.lif1(net.fc1(frame), mem1.detach())
            spk2, mem2 = net.lif2(net.fc2(spk1))
            out.append(spk2)
        return torch.stack(out), mem2, mem1

    graph, _ = agree(Net(snntorch.Leaky(0.9), snntorch.Leaky(0.8), over_time), MOVING, head="0")
    assert graph.heads["1"].startswith("lif2.mem")


def test_a_trained_module_can_be_copied(agree) -> None:
    """Its membranes still hold the gradients' graph."""
    net = Net(snntorch.Leaky(0.9), snntorch.Leaky(0.8), tutorial)
    net(STILL)[1].sum().backward()
    assert net.lif2.mem.grad_fn is not None
    agree(net, STILL)


# -- refused -------------------------------------------------------------------------------------


def refused(net: nn.Module, code: str, said: str) -> None:
    with pytest.raises(SnnccError, match=said) as caught:
        trace(net, MOVING)
    assert [finding.code for finding in caught.value.findings] == [code]


@pytest.mark.parametrize(
    ("neuron", "said"),
    [
        (lambda: snntorch.Leaky(0.9, inhibition=True), "Leaky with inhibition"),
        (lambda: snntorch.Leaky(0.9, state_quant=torch.round), "Leaky with state_quant"),
        (lambda: snntorch.Leaky(0.9, graded_spikes_factor=0.0), "yields no spikes"),
        (lambda: snntorch.Alpha(0.9, 0.8), "Alpha has no exact form"),
        (
            lambda: snntorch.RSynaptic(0.9, 0.8, linear_features=20, reset_delay=False),
            "RSynaptic does not run with reset_delay=False",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Inhibition")
def test_neurons_without_exact_form(neuron, said) -> None:
    refused(Net(neuron(), snntorch.Leaky(0.9), counts), "SNN110", said)


def test_a_version_that_resets_otherwise_is_not_believed() -> None:
    def late(self: Any, input_: torch.Tensor) -> torch.Tensor:
        return self._base_state_function(input_) * (1 - self.reset)

    neuron = snntorch.Leaky(0.9, reset_mechanism="zero")
    trace(Net(neuron, snntorch.Leaky(0.9), counts), MOVING)
    neuron.state_function = late.__get__(neuron)
    refused(Net(neuron, snntorch.Leaky(0.9), counts), "SNN319", "neuron lif1 yields|leaves another")


@pytest.mark.parametrize("spike", [torch.sigmoid, lambda x: (x >= 0).float()])
def test_a_spike_function_that_is_none(spike) -> None:
    net = Net(snntorch.Leaky(0.9, spike_grad=spike), snntorch.Leaky(0.9), counts)
    name = getattr(spike, "__qualname__", "sigmoid")
    refused(net, "SNN110" if spike is torch.sigmoid else "SNN319", f"{name}.* of neuron lif1|lif1 ")


def lif1_only(state: Callable[[Any, int], Any]) -> Callable[[Net, torch.Tensor], torch.Tensor]:
    """A loop in which ``state`` has its hands on the membrane before each step."""

    def over_time(net: Net, x: torch.Tensor) -> torch.Tensor:
        mem, out = net.lif1.reset_mem(), []
        for t, frame in enumerate(x):
            spk, mem = net.lif1(net.fc1(frame), state(mem, t))
            out.append(spk)
        return torch.stack(out)

    return over_time


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        (lambda mem, t: 0.5 * mem, "SNN309", "lif1 does not go on from the mem its last call left"),
        (lambda mem, t: torch.zeros_like(mem), "SNN309", "does not go on from the mem"),
        (lambda mem, t: mem.mul_(0.5) if t else mem, "SNN309", "does not go on from the mem"),
        (
            lambda mem, t: mem if t else torch.ones(20),
            "SNN110",
            "lif1 starts with a mem of its own",
        ),
    ],
)
def test_membranes_that_are_interfered_with(state, code, said) -> None:
    refused(Net(snntorch.Leaky(0.9), snntorch.Leaky(0.9), lif1_only(state)), code, said)


def test_a_synaptic_current_that_is_read() -> None:
    def over_time(net: Net, x: torch.Tensor) -> torch.Tensor:
        out = [net.lif1(net.fc1(frame))[1] for frame in x]
        return net.fc2(torch.stack(out))

    net = Net(snntorch.Synaptic(0.9, 0.8), snntorch.Leaky(0.9), over_time)
    refused(net, "SNN301", "the syn of lif1 is read")


def test_a_layer_that_reads_a_membrane(agree) -> None:
    def over_time(net: Net, x: torch.Tensor) -> torch.Tensor:
        out = []
        for frame in x:
            _, mem1 = net.lif1(net.fc1(frame))
            spk2, _ = net.lif2(net.fc2(mem1))
            out.append(spk2)
        return torch.stack(out)

    with pytest.raises(SnnccError, match="SNN114.*lif1.mem is the membrane of a neuron"):
        agree(Net(snntorch.Leaky(0.9), snntorch.Leaky(0.9), over_time), MOVING)


# -- the order of work -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_spikes_on_the_very_threshold(options, dtype) -> None:
    """With numbers that floats hold exactly, many membranes meet the threshold: strictly above."""
    neuron = snntorch.Leaky(0.5, 0.75, **options).to(dtype)
    spiking = converter(neuron)(neuron).spiking
    assert isinstance(spiking, Spiking)
    current = torch.randint(-4, 9, (50, 4, 30), generator=torch.Generator().manual_seed(0)) / 4
    seen = torch.stack([neuron(x.to(dtype))[0] for x in current])
    own = fire_as_written(spiking, current.to(dtype), TensorStore({}, dtype))
    assert torch.equal(own, seen.to(dtype))
    assert 0.1 < own.mean() < 0.9
