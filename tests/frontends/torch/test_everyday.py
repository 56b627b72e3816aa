"""What research code does besides: devices, comparisons with None, subclasses, keywords."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import snntorch
import torch
from torch import nn
from torch.autograd import Variable

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.neurons import converter
from snncc.frontends.torch import trace

T, N = 4, 3
EVENTS = (torch.rand(T, N, 8) < 0.5).float()


class Net(nn.Module):
    """``over_time`` runs the layers ``a`` and ``b``, and a neuron between them."""

    def __init__(self, over_time: Any, neuron: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.over_time = nn.Linear(8, 16), nn.Linear(16, 4), over_time
        nn.init.normal_(self.a.weight, std=0.6)
        self.n = neuron

    def forward(self, x: torch.Tensor) -> Any:
        return self.over_time(self, x)


def same(net: Net, x: torch.Tensor = EVENTS, **options: Any) -> Any:
    """Compiled, it gives the answers of the module on other events."""
    net.eval()
    program = snncc.compile(net, x, "loihi", input="spike", layout="TN", **options)
    data = (torch.rand(T, 5, 8, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert snncc.compare(net, program, data).equal
    return program


def fire(v: torch.Tensor) -> torch.Tensor:
    return (v > 1.0).to(v.dtype)


# -- devices ------------------------------------------------------------------------------------


def by_cuda(net: Net, x: torch.Tensor) -> Any:
    v, out = torch.zeros(x.shape[1], 16).cuda(), 0.0
    for t in range(T):
        v = 0.5 * v + net.a(x[t].cuda(non_blocking=True))
        z = fire(v)
        v = v * (1 - z)
        out = out + net.b(z)
    return out.cpu()


def by_device(net: Net, x: torch.Tensor) -> Any:
    device = torch.device("cuda:0")
    v, out = torch.zeros(x.shape[1], 16, device=device), torch.zeros(x.shape[1], 4, device="cuda")
    for t in range(T):
        v = 0.5 * v + net.a(x[t].to(device))
        z = fire(v).to(device, torch.float32).to("cuda").to(x.device)
        v = v * (1 - z)
        out += net.b(z)
    return out


def by_index(net: Net, x: torch.Tensor) -> Any:
    v = torch.zeros(x.shape[1], 16, device=0)
    with torch.device("cuda"):
        out = torch.zeros(x.shape[1], 4)
    for t in range(T):
        v = 0.5 * v + net.a(x[t].to(device=0))
        z = fire(v)
        v = v * (1 - z)
        out = out + net.b(z)
    return out


def by_type(net: Net, x: torch.Tensor) -> Any:
    v, out = torch.zeros(x.shape[1], 16), torch.zeros(x.shape[1], 4)
    for t in range(T):
        v = 0.5 * v + net.a(x[t])
        z = (v > 1.0).type(torch.cuda.FloatTensor)
        v = v * (1 - z)
        out = out + net.b(z)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("over_time", [by_cuda, by_device, by_index, by_type])
def test_moves_to_a_device_do_nothing(over_time: Callable[..., Any]) -> None:
    program = same(Net(over_time))
    assert len(program.graph.neurons) == 1


class Resets(Net):
    """Its ``reset`` makes constants on a device."""

    def __init__(self) -> None:
        super().__init__(by_cuda)
        self.start = torch.zeros(16)

    def reset(self) -> None:
        self.start = torch.zeros(16, device="cuda")


def test_a_reset_on_a_device() -> None:
    same(Resets())


def test_half_precision_on_a_device_rounds() -> None:
    def over_time(net: Net, x: torch.Tensor) -> Any:
        return by_cuda(net, x.to("cuda", torch.float16).to(torch.float32))

    with pytest.raises(SnnccError, match="SNN301"):
        trace(Net(over_time), EVENTS, input="spike", layout="TN")


# -- comparisons with None, wrappers, .data -----------------------------------------------------


def is_none(net: Net, x: torch.Tensor) -> Any:
    v: Any = torch.zeros(x.shape[1], 16)
    out: Any = None
    for t in range(T):
        v = 0.5 * v + net.a(x[t])
        assert v != None  # noqa: E711
        z = fire(v)
        if z == None or z == None:  # noqa: E711
            return None
        v = v * (1 - z)
        out = net.b(z) if out is None else out + net.b(z)
    return out


def wrapped(net: Net, x: torch.Tensor) -> Any:
    v, out = Variable(torch.zeros(x.shape[1], 16)), 0.0
    for t in range(T):
        v = 0.5 * Variable(v) + net.a(Variable(x[t]))
        z = Variable(fire(v))
        v = v.data * (1 - z.data)
        out = out + net.b(z)
    return out


@pytest.mark.parametrize("over_time", [is_none, wrapped])
def test_what_changes_nothing(over_time: Any) -> None:
    same(Net(over_time))


# -- subclasses ---------------------------------------------------------------------------------


class Tuned(snntorch.Leaky):
    """Nothing of its own but numbers."""

    def __init__(self) -> None:
        super().__init__(beta=0.75, threshold=0.75)


class Twice(Tuned):
    def __init__(self) -> None:
        super().__init__()
        self.note = "again"


class Doubled(snntorch.Leaky):
    def forward(self, x: Any, mem: Any = None) -> Any:  # type: ignore[override]
        return super().forward(2 * x, mem)


class Shifted(Tuned):
    def _base_state_function(self, x: Any) -> Any:
        return super()._base_state_function(x) + 0.5


def by_call(net: Net, x: torch.Tensor) -> Any:
    mem, out = net.n.init_leaky(), 0.0
    for t in range(T):
        z, mem = net.n(net.a(x[t]), mem)
        out = out + net.b(z)
    return out


@pytest.mark.parametrize("neuron", [Tuned, Twice])
def test_a_subclass_with_an_init_of_its_own(neuron: Any) -> None:
    program = same(Net(by_call, neuron()))
    assert program.graph.neurons[0].op.threshold == 0.75


@pytest.mark.parametrize("neuron", [Doubled, Shifted])
def test_a_subclass_that_does_something_else(neuron: Any) -> None:
    made = neuron(beta=0.5) if neuron is Doubled else neuron()
    assert converter(made) is None
    with pytest.raises(SnnccError, match="SNN110"):
        trace(Net(by_call, made), EVENTS, input="spike", layout="TN")


def subclasses(spikingjelly: Any) -> tuple[Any, Any, Any]:
    base: Any = spikingjelly.module("neuron")

    class Slow(base.LIFNode):
        def __init__(self) -> None:
            super().__init__(tau=3.0, v_threshold=0.5)

    class MultiStep(base.LIFNode):
        """Its name says what it is not."""

        def __init__(self) -> None:
            super().__init__(tau=3.0, v_threshold=0.5)

    class Own(base.LIFNode):
        def __init__(self) -> None:
            super().__init__(tau=3.0, v_threshold=0.5)
            self.gain = 2.0

        def forward(self, x: Any) -> Any:
            return super().forward(self.gain * x)

    return Slow, MultiStep, Own


def stepwise(net: Net, x: torch.Tensor) -> Any:
    return sum(net.b(net.n(net.a(x[t]))) for t in range(T))


def test_subclasses_of_spikingjelly(spikingjelly: Any) -> None:
    slow, multi_step, own = subclasses(spikingjelly)
    for neuron in (slow, multi_step):
        program = same(Net(stepwise, neuron()))
        assert program.graph.neurons[0].op.threshold == 0.5
    with pytest.raises(SnnccError, match="SNN110"):
        trace(Net(stepwise, own()), EVENTS, input="spike", layout="TN")


# -- arguments of neurons -----------------------------------------------------------------------


def named(net: Net, x: torch.Tensor) -> Any:
    mem, out = net.n.init_leaky(), 0.0
    for t in range(T):
        z, mem = net.n(input_=net.a(x[t]), mem=mem)
        out = out + net.b(z)
    return out


def two_states(net: Net, x: torch.Tensor) -> Any:
    (syn, mem), out = net.n.init_synaptic(), 0.0
    for t in range(T):
        z, syn, mem = net.n(net.a(x[t]), syn, mem)
        out = out + net.b(z)
    return out


def two_names(net: Net, x: torch.Tensor) -> Any:
    (syn, mem), out = net.n.init_synaptic(), 0.0
    for t in range(T):
        z, syn, mem = net.n(net.a(x[t]), mem=mem, syn=syn)
        out = out + net.b(z)
    return out


def exchanged(net: Net, x: torch.Tensor) -> Any:
    (syn, mem), out = net.n.init_synaptic(), 0.0
    for t in range(T):
        z, syn, mem = net.n(net.a(x[t]), mem, syn)
        out = out + net.b(z)
    return out


@pytest.mark.slow
def test_arguments_by_name_and_two_states(spikingjelly: Any) -> None:
    same(Net(named, snntorch.Leaky(beta=0.5)))
    same(Net(two_states, snntorch.Synaptic(alpha=0.5, beta=0.5)))
    same(Net(two_names, snntorch.Synaptic(alpha=0.5, beta=0.5)))
    neuron = spikingjelly.module("neuron").LIFNode()
    same(Net(lambda net, x: sum(net.b(net.n(x=net.a(x[t]))) for t in range(T)), neuron))


def test_states_that_are_exchanged() -> None:
    net = Net(exchanged, snntorch.Synaptic(alpha=0.5, beta=0.5))
    with pytest.raises(SnnccError, match="SNN309"):
        trace(net, EVENTS, input="spike", layout="TN")


def test_a_neuron_without_an_input() -> None:
    net = Net(lambda net, x: net.n(), snntorch.Leaky(beta=0.5))
    with pytest.raises(SnnccError, match="SNN314"):
        trace(net, EVENTS, input="spike", layout="TN")


# -- time_steps of a module that runs over time itself -----------------------------------------


@pytest.mark.parametrize(
    ("over_time", "help"),
    [
        (stepwise, "leave time_steps out and give it (T, N, …)"),
        (lambda net, x: sum(net.b(net.n(net.a(x))) for _ in range(T)), "leave time_steps out"),
        (by_cuda, "leave time_steps out and give it (T, N, …)"),
    ],
)
def test_time_steps_where_forward_loops(spikingjelly: Any, over_time: Any, help: str) -> None:
    net = Net(over_time, spikingjelly.module("neuron").LIFNode()).eval()
    report = snncc.check(net, EVENTS[0], input="spike", time_steps=T)
    (finding,) = report.findings
    assert finding.code == "SNN316"
    assert "runs over time itself" in finding.message
    assert finding.help == help
    with pytest.raises(SnnccError) as raised:
        trace(net, EVENTS[0], input="spike", time_steps=T)
    assert [f.code for f in raised.value.findings] == ["SNN316"]


def test_another_error_of_a_module_of_one_step_stays_what_it_is(spikingjelly: Any) -> None:
    neuron = spikingjelly.module("neuron").LIFNode()
    net = Net(lambda net, x: net.n(net.a(x).cumsum(0)), neuron).eval()
    with pytest.raises(SnnccError, match="SNN112"):
        trace(net, EVENTS[0], input="spike", time_steps=T)


# -- membranes started by a call on a constant -------------------------------------------------


def started(*constants: Any, between: Any = None) -> Any:
    def over_time(net: Net, x: torch.Tensor) -> Any:
        for constant in constants:
            net.n(constant(net, x))
        out = 0.0
        for t in range(T):
            if between is not None and t == 1:
                net.n(between(net, x))
            out = out + net.b(net.n(net.a(x[t])))
        return out

    return over_time


def half(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.full((x.shape[1], 16), 0.5)


def bias(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.a.bias.expand(x.shape[1], 16)


def silent(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.zeros(x.shape[1], 16)


OPTIONS = [{}, {"v_reset": None}, {"v_threshold": 0.6, "v_reset": 0.1}]


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("constants", [(half,), (bias,), (half, half, bias), (silent,)])
def test_a_first_membrane_by_a_call(spikingjelly: Any, constants: Any, options: Any) -> None:
    neuron = spikingjelly.module("neuron")
    for cls in (neuron.IFNode, neuron.LIFNode):
        same(Net(started(*constants), cls(**options)))


def test_the_first_membrane_is_that_of_the_call(spikingjelly: Any) -> None:
    neuron = spikingjelly.module("neuron").IFNode(v_reset=None)
    program = same(Net(started(half), neuron))
    assert program.graph.neurons[0].op.initial == 0.5


def other_samples(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.arange(x.shape[1]).float()[:, None].expand(x.shape[1], 16)


def by_number(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.full((x.shape[1], 16), 1.0 / x.shape[1])


def drawn(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.rand(16).expand(x.shape[1], 16)


def outside(net: Net, x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x[0, :, :1].numpy()).expand(-1, 16)


@pytest.mark.parametrize("constant", [other_samples, by_number, drawn, outside])
def test_calls_that_start_no_membrane(spikingjelly: Any, constant: Any) -> None:
    neuron = spikingjelly.module("neuron").IFNode()
    with pytest.raises(SnnccError, match="SNN3"):
        trace(Net(started(constant), neuron), EVENTS, input="spike", layout="TN")


def test_a_constant_between_the_steps(spikingjelly: Any) -> None:
    net = Net(started(between=half), spikingjelly.module("neuron").IFNode())
    with pytest.raises(SnnccError, match="SNN311"):
        trace(net, EVENTS, input="spike", layout="TN")


def test_a_membrane_that_is_reset_after_the_call(spikingjelly: Any) -> None:
    def over_time(net: Net, x: torch.Tensor) -> Any:
        net.n(half(net, x))
        net.n.reset()
        return stepwise(net, x)

    net = Net(over_time, spikingjelly.module("neuron").IFNode())
    with pytest.raises(SnnccError, match="SNN309"):
        trace(net, EVENTS, input="spike", layout="TN")


def test_a_neuron_of_snntorch_is_not_started_so() -> None:
    def over_time(net: Net, x: torch.Tensor) -> Any:
        _, mem = net.n(half(net, x))
        out = 0.0
        for t in range(T):
            z, mem = net.n(net.a(x[t]), mem)
            out = out + net.b(z)
        return out

    with pytest.raises(SnnccError, match="SNN311"):
        trace(Net(over_time, snntorch.Leaky(beta=0.5)), EVENTS, input="spike", layout="TN")
