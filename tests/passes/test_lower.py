"""lower: what each kind of op becomes, and that every spike stays what PyTorch says it is."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from snncc.frontends.torch import arrange, observe, trace
from snncc.ir import Ref
from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.interpreter import run_graph, run_network
from snncc.ir.ops import Conv, ConvTranspose, Dense, Input, Pool, Scale, Spiking
from snncc.ir.values import SPIKE
from snncc.lowering.sums import Cost
from snncc.nn import IF, LIF
from snncc.passes.fold_bn import FoldBn
from snncc.passes.lower import Lower

T, N = 3, 4


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(1)


class Net(nn.Module):
    """``function`` of the input and ``layers``, then a dense layer."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.fire = IF()

    def forward(self, x):
        y = self.function(self, x)
        return self.fire(y).flatten(2).mean((0, 2))


def each_step(function, x):
    return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def spikes(*shape, rate=0.5):
    return (torch.rand(T, N, *shape, generator=torch.Generator().manual_seed(0)) < rate).double()


def lowered(module, x, kind="spike", layout="TN", **options):
    """Its Network, after seeing that each population does what PyTorch does."""
    module = module.double().eval()
    graph = trace(module, x, input=kind, layout=layout)
    outcome = Lower(**options)(graph)
    assert outcome.ok, outcome.findings
    network = outcome.form
    seen = observe(module, x, graph)
    wanted = {p.stands_for for p in network.populations} - {""}
    values = run_graph(graph, arrange(x, graph), forced=seen.spikes, keep=wanted)
    assert any(values[name].any() for name in wanted)
    for form in (network, FoldBn()(network).form):
        run = run_network(form, arrange(x, graph), forced={n: values[n] for n in wanted})
        assert (run.mismatches, run.ties) == (0, 0), run.disagreements
        assert run.compared
        torch.testing.assert_close(run.logits["0"], seen.heads["0"])
    return network


def refused(module, x, kind="spike"):
    outcome = Lower()(trace(module.double().eval(), x, input=kind, layout="TN"))
    return [(f.code, f.message) for f in outcome.findings if f.is_error]


def gates(network):
    return {p.name: p.neuron for p in network.populations if p.role == "gate"}


def ops(network, target):
    return [[type(op).__name__ for op in p.map] for p in network.incoming[target]]


# -- 1: linear regions -------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_conv_is_a_linear_map(rank, groups):
    up = (nn.ConvTranspose1d, nn.ConvTranspose2d)[rank - 1]
    layer = up(4, 6, 3, stride=2, padding=1, output_padding=1, groups=groups, dilation=1)
    norm = (nn.BatchNorm1d, nn.BatchNorm2d)[rank - 1](6)
    nn.init.normal_(norm.weight)
    norm.weight.data[0] = 0
    nn.init.normal_(norm.running_mean)
    net = Net(lambda m, x: each_step(lambda y: m.norm(m.up(y)) * 2 + 0.3, x), up=layer, norm=norm)
    network = lowered(net, spikes(4, *[5] * rank))
    assert ops(network, "fire") == [["ConvTranspose", "Scale", "Scale"]]
    into = FoldBn("weights")(network).form
    assert ops(into, "fire") == [["ConvTranspose"]]


def test_a_norm_written_by_hand_is_one_scale_a_channel():
    """tdBN of the MLF authors, its epsilon outside the root; it folds like any other."""

    def function(m, x):
        y = each_step(m.conv, x)
        y = 0.6 * (y - m.mean) / (torch.sqrt(m.variance) + 1e-5)
        return y * m.gamma + m.beta

    net = Net(function, conv=nn.Conv2d(2, 3, 3, padding=1, bias=False))
    for name in ("mean", "gamma", "beta"):
        net.register_buffer(name, torch.randn(3, 1, 1))
    net.register_buffer("variance", torch.rand(3, 1, 1))
    network = lowered(net, spikes(2, 4, 4))
    assert ops(network, "fire") == [["Conv", "Scale", "Scale", "Scale"]]
    folded = FoldBn()(network).form
    (projection,) = folded.incoming["fire"]
    sign = folded.tensors[projection.map[-1].factor]
    assert set(np.unique(np.abs(sign))) == {1.0}


def test_weights_computed_in_forward_are_constants():
    """Weight standardisation, as in the base network of OTTT and SAF."""

    def function(m, x):
        weight = m.conv.weight
        mean = weight.mean(dim=[1, 2, 3], keepdim=True)
        variance = weight.var(dim=[1, 2, 3], keepdim=True, unbiased=False)
        weight = m.gain * (weight - mean) / (variance * weight[0].numel() + 1e-4).sqrt()
        return each_step(lambda y: F.conv2d(y, weight, m.conv.bias, padding=1), x) * 2.74

    net = Net(function, conv=nn.Conv2d(2, 3, 3))
    net.register_parameter("gain", nn.Parameter(torch.rand(3, 1, 1, 1)))
    assert ops(lowered(net, spikes(2, 5, 5)), "fire") == [["Conv", "Scale"]]


def test_the_terms_of_a_sum_share_their_weights():
    net = Net(lambda m, x: each_step(m.conv, m.one(x) + m.two(x) + x),
              one=IF(0.5), two=LIF(2.0, threshold=0.3), conv=nn.Conv2d(2, 3, 3))  # fmt: skip
    network = lowered(net, spikes(2, 5, 5))
    projections = network.incoming["fire"]
    assert sorted(p.source for p in projections) == ["input", "one", "two"]
    assert len({p.map[0].weight for p in projections}) == 1


def test_each_contribution_keeps_its_own_norm():
    def function(m, x):
        return each_step(lambda y: m.bn1(m.conv1(y)) + m.bn2(m.conv2(y)) - 0.7 * y, x)

    net = Net(function, conv1=nn.Conv2d(2, 2, 3, padding=1), conv2=nn.Conv2d(2, 2, 1),
              bn1=nn.BatchNorm2d(2), bn2=nn.BatchNorm2d(2))  # fmt: skip
    for norm in (net.bn1, net.bn2):
        nn.init.normal_(norm.weight)
        nn.init.uniform_(norm.running_var, 0.1, 2)
    assert len(lowered(net, spikes(2, 6, 6)).incoming["fire"]) == 3


def test_a_norm_before_a_padded_conv_is_right_at_the_borders():
    net = Net(lambda m, x: each_step(lambda y: m.conv(m.bn(y)), x),
              bn=nn.BatchNorm2d(2, affine=False), conv=nn.Conv2d(2, 3, 3, padding=1))  # fmt: skip
    nn.init.normal_(net.bn.running_mean)
    network = lowered(net, spikes(2, 6, 6))
    assert network.tensors[network.places["fire"].neuron.bias].shape == (3, 6, 6)


@pytest.mark.parametrize("how", ["mean", "sum", "divisor"])
def test_means_and_sums_over_space_are_linear(how):
    functions = {
        "mean": lambda x: x.mean((3, 4)) * 3,
        "sum": lambda x: x.sum(-1).sum(-1) * 0.3,
        "divisor": lambda x: each_step(lambda y: F.avg_pool2d(y, 2, divisor_override=3), x),
    }
    lowered(Net(lambda m, x: functions[how](x) - 0.11), spikes(2, 4, 4))


# -- neurons ---------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.floats(-0.9, 0.9), st.just(0.0))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_neuron_has_the_normal_form(data):
    """Numbers of a layer or of each neuron; both resets or none; a rest that is not 0."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    tensors = {"w": random.normal(0.3, 1.0, (4, 5))}

    def number(name, low, high):
        shape = data.draw(st.sampled_from([None, (1,), (4,)]))
        if shape is None:
            return float(random.uniform(low, high))
        tensors[name] = random.uniform(low, high, shape)
        return Ref(name)

    written = data.draw(st.sampled_from(["leak", "decay_input", "decay"]))
    op = Spiking(
        leak=number("leak", 0.1, 1.0) if written != "decay" else 0.0,
        decay_input=written == "decay_input",
        threshold=number("threshold", 0.4, 1.5),
        reset=data.draw(st.sampled_from(["hard", "soft", "none"])),
        v_reset=data.draw(st.floats(-0.5, 0.3)),
        initial=number("initial", -0.5, 2.0),
        strict=data.draw(st.booleans()),
        decay=number("decay", 0.0, 1.0) if written == "decay" else None,
    )
    signal = Signal((4,), axes=("T", "N", "F"))
    nodes = [
        Node("x", Input("spike"), (), Signal((5,), values=SPIKE, axes=("T", "N", "F"))),
        Node("w", Dense(Ref("w")), ("x",), signal),
        Node("s", op, ("w",), Signal((4,), values=SPIKE, axes=("T", "N", "F"))),
    ]
    graph = Graph.build(nodes, tensors, {"0": "s"})
    outcome = Lower()(graph)
    assert outcome.ok
    x = torch.from_numpy(random.random((6, 8, 5)) < 0.5).double()
    s = run_graph(graph, {"x": x})["s"]
    run = run_network(outcome.form, {"x": x}, forced={"s": s})
    assert (run.mismatches, run.compared) == (0, s.numel())


def one_neuron(op, **tensors):
    """A graph of spikes, a dense layer and ``op``, and a second neuron behind it."""
    signal = Signal((4,), axes=("T", "N", "F"))
    fired = replace(signal, values=SPIKE)
    nodes = [
        Node("x", Input("spike"), (), replace(fired, shape=(5,))),
        Node("w", Dense(Ref("w")), ("x",), signal),
        Node("s", op, ("w",), fired),
        Node("last", Spiking(), ("s",), fired),
    ]
    weight = np.random.default_rng(0).normal(0.3, 1.0, (4, 5))
    return Graph.build(nodes, {"w": weight, **tensors}, {"0": "last"})


@pytest.mark.parametrize("leak", [-0.2, 0.0, np.array([0.5, 0.5, 0.0, 0.5])])
def test_a_neuron_that_turns_its_input_around_or_loses_it_is_refused(leak):
    each = isinstance(leak, np.ndarray)
    op = Spiking(leak=Ref("leak") if each else leak, decay_input=True)
    outcome = Lower()(one_neuron(op, **({"leak": leak} if each else {})))
    (finding,) = [f for f in outcome.findings if f.is_error]
    assert (finding.code, finding.node) == ("SNN110", "s")
    assert finding.message.startswith(f"neuron s has a leak of {np.min(leak):g} with decay_input")


@pytest.mark.parametrize("leak", [-0.2, 0.0])
def test_without_an_input_gain_any_leak_is_a_decay(leak):
    graph = one_neuron(Spiking(leak=leak))
    network = Lower()(graph).form
    assert network.places["s"].neuron.decay == 1 - leak
    x = spikes(5)
    forced = run_graph(graph, {"x": x}, keep={"s", "last"})
    run = run_network(network, {"x": x}, forced={n: forced[n] for n in ("s", "last")})
    assert (run.mismatches, run.compared) == (0, 2 * T * N * 4)


# -- 2: functions of spikes ------------------------------------------------------------------------

TABLES = {
    "and": (lambda a, b: a * b, (1, 1), 2),
    "iand": (lambda a, b: a * (1 - b), (1, -1), 1),
    "or": (lambda a, b: a + b - a * b, (1, 1), 1),
    "clamp": (lambda a, b: torch.clamp(a + b, max=1), (1, 1), 1),
    "logical": (lambda a, b: torch.logical_or(a, b).double(), (1, 1), 1),
    "nor": (lambda a, b: (1 - a) * (1 - b), (-1, -1), 0),
    "implies": (lambda a, b: (a <= b).double(), (-1, 1), 0),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_separable_function_is_one_gate_with_the_smallest_weights(name):
    function, weights, threshold = TABLES[name]
    net = Net(lambda m, x: function(m.one(x[:, :, :2]), m.two(x[:, :, 2:])) * 0.4,
              one=IF(), two=LIF(1.5, threshold=0.5))  # fmt: skip
    network = lowered(net, spikes(4, 3, 3))
    ((gate, neuron),) = gates(network).items()
    assert (neuron.decay, neuron.threshold, neuron.bias) == (0.0, threshold, 0.0)
    seen = {
        p.source: p.map[-1].factor if p.map and isinstance(p.map[-1], Scale) else 1.0
        for p in network.incoming[gate]
    }
    assert seen == dict(zip(("one", "two"), weights, strict=True))


def test_a_function_of_two_values_is_a_gate_and_a_factor():
    net = Net(lambda m, x: 0.3 + m.one(x) * (1 - m.two(x)) * 0.4, one=IF(), two=LIF(threshold=0.5))
    network = lowered(net, spikes(4, 3))
    assert len(gates(network)) == 1
    ((projection),) = network.incoming["fire"]
    assert projection.map == (Scale(pytest.approx(0.4)),)


def test_a_function_that_is_not_separable_is_and_gates_and_a_linear_part():
    net = Net(lambda m, x: torch.logical_xor(x[:, :, :2], x[:, :, 2:]).double() * 0.7)
    network = lowered(net, spikes(4, 3))
    assert [n.threshold for n in gates(network).values()] == [2.0]
    factors = sorted(p.map[-1].factor for p in network.incoming["fire"])
    assert factors == pytest.approx([-1.4, 0.7, 0.7])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.data())
def test_any_function_of_up_to_six_spikes(leaves, data):
    table = data.draw(st.lists(st.booleans(), min_size=2**leaves, max_size=2**leaves))

    def function(m, x):
        s = m.spike(x)
        total = s[:, :, 0] * 0
        for value, row in zip(table, itertools.product((0, 1), repeat=leaves), strict=True):
            if value:
                term = 1
                for i, bit in enumerate(row):
                    term = term * (s[:, :, i] if bit else 1 - s[:, :, i])
                total = total + term
        return 0.6 * total + 0.5

    lowered(Net(function, spike=IF(0.5)), spikes(leaves, 5))


def test_seven_spikes_at_once_are_gates_of_gates():
    parity = Net(lambda m, x: 0.6 * reduce(torch.logical_xor, x.bool().unbind(2)).double())
    assert len(gates(lowered(parity, spikes(7, 3)))) > 6
    counted = Net(lambda m, x: (sum(x.unbind(2)) >= 4).double() * 0.6)
    assert len(gates(lowered(counted, spikes(7, 3)))) == 1


def test_too_many_spikes_at_once_are_refused():
    def parity(m, x):
        return reduce(lambda odd, s: odd + s - 2 * odd * s, x.unbind(2))

    ((code, message),) = refused(Net(parity), spikes(20, 3))
    assert code == "SNN109"
    assert "spikes at once" in message


def test_a_majority_of_nine_is_one_gate_on_their_sum():
    net = Net(lambda m, x: ((m.s(x)[:, :, :9].sum(2)) > 4.5).double() * 0.6, s=IF())
    network = lowered(net, spikes(9, 3, 3))
    (neuron,) = gates(network).values()
    assert neuron.threshold == 5


@pytest.mark.parametrize("how", ["ge", "gt", "le", "lt"])
@pytest.mark.parametrize("sides", ["number", "channel", "current"])
def test_a_current_compared_is_a_neuron_without_memory(how, sides):
    def function(m, x):
        y = each_step(m.conv, x)
        bound = {"number": 0.2, "channel": m.bound, "current": each_step(m.other, x)}[sides]
        return getattr(torch, how)(y, bound).double() * 0.7

    net = Net(function, conv=nn.Conv2d(2, 3, 3), other=nn.Conv2d(2, 3, 3))
    net.register_buffer("bound", torch.randn(3, 1, 1))
    network = lowered(net, spikes(2, 5, 5))
    (name,) = [p.name for p in network.populations if p.name != "fire"]
    assert network.places[name].neuron.decay == 0
    assert network.places[name].role == "neuron"


def test_the_other_way_round_and_heaviside():
    lowered(Net(lambda m, x: (each_step(m.fc, x) > 0.3).double() * 0.7, fc=nn.Linear(5, 4)),
            spikes(5))  # fmt: skip
    step = Net(lambda m, x: torch.heaviside(each_step(m.fc, x), m.one), fc=nn.Linear(5, 4))
    step.register_buffer("one", torch.ones(()))
    lowered(step, spikes(5))


COUNTS = {
    "minimum": lambda a, b: torch.minimum(a, b),
    "maximum": lambda a, b: torch.maximum(a, b),
    "clamp": lambda a, b: a.clamp(1, 2),
    "equal": lambda a, b: (a == b).double(),
    "product": lambda a, b: a * b,
    "less": lambda a, b: (a < b).double(),
    "with a spike": lambda a, b: torch.where(b > 1, a, a * 0),
    "relu": lambda a, b: torch.relu(a - b),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_function_of_counts_is_gates_on_their_levels(name):
    def function(m, x):
        s, t = m.one(x), m.two(x)
        a = s[:, :, :2] + s[:, :, 2:4] + t[:, :, :2]
        b = t[:, :, 2:4] + t[:, :, 4:] + s[:, :, 4:]
        return COUNTS[name](a, b) * 0.45 - 0.1

    network = lowered(Net(function, one=IF(0.5), two=LIF(1.5, threshold=0.5)), spikes(6, 3, 3))
    assert all(n.decay == 0 for n in gates(network).values())


def test_binarised_events_are_one_gate():
    x = torch.poisson(torch.full((T, N, 2, 5), 0.8), torch.Generator().manual_seed(0)).double()
    network = lowered(Net(lambda m, x: x.clamp(max=1) * 0.7), x, kind="count")
    (neuron,) = gates(network).values()
    assert neuron.threshold == 1


# -- 3: max pools ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d(3, 1),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.MaxPool2d((3, 2), (2, 1), (1, 0), dilation=(1, 2), ceil_mode=True),
        nn.AdaptiveMaxPool2d((3, 2)),
    ],
)
@pytest.mark.parametrize("levels", [1, 3])
def test_a_max_pool_is_an_or_over_its_windows_level_by_level(pool, levels):
    def function(m, x):
        s = m.s(x)
        value = sum((s[:, :, i::levels] for i in range(levels)), start=torch.zeros(()))
        return each_step(m.pool, value) * 0.6

    network = lowered(Net(function, s=IF(0.5), pool=pool), spikes(2 * levels, 7, 7, rate=0.3))
    found = gates(network)
    assert len(found) == (1 if levels == 1 else 2 * levels)
    last = list(found)[-1]
    (projection,) = network.incoming[last]
    assert getattr(projection.map[-1], "kind", None) == "sum"


def test_a_max_pool_on_currents_or_of_too_many_levels_is_refused():
    current = Net(lambda m, x: each_step(lambda y: m.pool(m.conv(y)), x),
                  conv=nn.Conv2d(2, 2, 3), pool=nn.MaxPool2d(2))  # fmt: skip
    assert [code for code, _ in refused(current, spikes(2, 6, 6))] == ["SNN104"]
    counts = Net(lambda m, x: each_step(m.pool, x), pool=nn.MaxPool2d(2))
    assert [code for code, _ in refused(counts, spikes(2, 6, 6), "count")] == ["SNN111"]
    hollow = Net(lambda m, x: each_step(m.pool, x), pool=nn.MaxPool2d(2, 2, 1, dilation=4))
    assert [code for code, _ in refused(hollow, spikes(2, 3, 3))] == ["SNN104"]


def test_the_maps_that_lower_makes_are_those_of_the_network():
    """Nothing here is a Conv that torch did not write."""
    net = Net(lambda m, x: each_step(m.pool, x), pool=nn.MaxPool2d(3, dilation=2))
    network = lowered(net, spikes(2, 7, 7))
    kinds = {type(op) for p in network.projections for op in p.map}
    assert not kinds & {Conv, ConvTranspose}
    assert Pool in kinds


# -- 7: what sums of spikes cost -------------------------------------------------------------------


def test_sums_of_spikes_are_noted_with_their_cost():
    """One sum read by two layers, another that has the first in it read by one."""

    def function(m, x):
        a, b = m.one(x), m.two(x)
        first = a + b
        left, right = each_step(m.left, first), each_step(m.right, first)
        return left + right + each_step(m.third, first + x)

    net = Net(function, one=IF(0.5), two=LIF(1.5, threshold=0.5), left=nn.Linear(5, 4),
              right=nn.Linear(5, 4), third=nn.Linear(5, 4))  # fmt: skip
    outcome = Lower()(trace(net.double().eval(), spikes(5), input="spike", layout="TN"))
    (note,) = [f for f in outcome.findings if f.code == "SNN502"]
    assert "2 sums of spikes" in note.message
    sums = outcome.report.sums_of_spikes
    # Two layers from both terms, and the third from all three.
    assert sums.term_by_term == Cost(axons=4 * 5 + 3 * 5, synapses=7 * 5 * 4)
    # The same three maps from two gates, each of which reads two populations of 5.
    assert sums.with_gates == Cost(axons=3 * 5 + 2 * 10, synapses=3 * 5 * 4 + 2 * 10)


def test_a_current_is_no_sum_of_spikes_and_a_gate_neither():
    net = Net(lambda m, x: each_step(m.fc, m.one(x) + x - m.one(x) * x) + x,
              one=IF(0.5), fc=nn.Linear(5, 5))  # fmt: skip
    outcome = Lower()(trace(net.double().eval(), spikes(5), input="spike", layout="TN"))
    assert not [f for f in outcome.findings if f.code == "SNN502"]
    assert outcome.report.sums_of_spikes is None


# -- names ---------------------------------------------------------------------------------------


def test_one_host_value_in_two_layers_of_a_kind_is_two_encoders():
    """A sum of spikes and a current of the host, pooled in two ways to one shape."""

    def function(m, x):
        current = each_step(m.stem, x)
        both = current + m.first(current)
        return each_step(lambda y: F.avg_pool2d(y, (2, 1)), both)[..., :2] + m.second(
            each_step(lambda y: F.avg_pool2d(y, (1, 2)), both)[..., :2, :]
        )

    net = Net(function, stem=nn.BatchNorm2d(2), first=IF(), second=IF())
    network = lowered(net, 2 * torch.rand(T, N, 2, 4, 4).double(), kind="analog")
    assert len({place.name for place in network.encoders}) == 3


def test_a_host_value_behind_a_norm_that_spikes_share():
    def function(m, x):
        current = each_step(m.stem, x)
        return each_step(lambda y: F.avg_pool2d(m.norm(y), 2), current + m.first(current))

    norm = nn.BatchNorm2d(2)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    net = Net(function, stem=nn.BatchNorm2d(2), first=IF(), norm=norm)
    lowered(net, 2 * torch.rand(T, N, 2, 4, 4).double(), kind="analog")


def test_a_module_called_as_a_gate_is_called_is_something_else():
    """A neuron ``add.level1``, and the first level of a sum that a max pool asks for."""
    made = nn.Module()
    made.level1, made.bias = IF(), nn.Parameter(torch.tensor([0.25, 0.5]))

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.add, self.fire = IF(), IF(), made, IF()

        def forward(self, x):
            count = self.one(x) + self.two(0.6 * x)  # the node is called "add"
            high = self.add.level1(0.7 * x + self.add.bias[:, None, None])
            pooled = each_step(lambda y: F.max_pool2d(y, 3, 1, 1), count)
            return self.fire(0.6 * pooled - 0.3 * high).mean((0, 2, 3, 4))

    network = lowered(Odd(), spikes(2, 4, 4))
    assert {"add.level1", "add.level1:2"} <= {place.name for place in network.populations}
