"""What a recording keeps, and what it refuses with a code and the user's line."""

from __future__ import annotations

import copy
import inspect
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from snncc.diagnostics import SnnccError
from snncc.frontends.torch import arrange, observe, trace
from snncc.ir.interpreter import run_graph
from snncc.ir.ops import Spiking
from snncc.ir.text import parse_graph, print_graph
from snncc.nn import IF, LIF


class Net(nn.Module):
    """``body(self, x)`` on x (T, N, 2, 6, 6)."""

    def __init__(self, body, **parts):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.sn, self.sn2 = nn.Conv2d(2, 3, 3, padding=1), IF(), LIF()
        self.conv.weight.data *= 4
        self.norm, self.fc = nn.BatchNorm2d(3), nn.Linear(3, 4)
        for name, part in parts.items():
            setattr(self, name, part)
        self.body = body

    def over(self, layer, x):
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def forward(self, x):
        return self.body(self, x)


def events(*shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


X = events(4, 2, 2, 6, 6)


def agrees(module, x, *, input="spike", batches=(1, 5), **options):
    """The traced graph and the module, bit for bit in float64, on other batch sizes too."""
    module.eval()
    graph = trace(module, x, input=input, **options)
    printed = print_graph(graph)
    assert print_graph(parse_graph(printed, graph.tensors)) == printed
    axis = graph.inputs[0].signal.axes.index("N")
    for seed, count in enumerate(batches):
        shape = list(x.shape)
        shape[axis] = count
        data = events(*shape, seed=seed) if input == "spike" else torch.rand(shape)
        seen = observe(module, data, graph)
        values = run_graph(graph, arrange(data, graph), keep=seen.spikes)
        assert seen.spikes
        for name, spikes in seen.spikes.items():
            assert torch.equal(values[name], spikes), name
            assert 0 < float(spikes.mean()) < 1, name
        for head, node in graph.heads.items():
            torch.testing.assert_close(values[node], seen.heads[head], rtol=1e-12, atol=1e-12)
    return graph


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["input", "add", "mean", "number:2"])
def test_a_neuron_may_have_the_name_of_another_node(name):
    """The nodes of the input, a sum, a mean and a constant have such names themselves."""

    def body(m, x):
        sum_ = m.sn(m.over(m.conv, x * 2)).mean((-1, -2))
        spikes = getattr(m, name)(sum_ * 2 + sum_)
        return (m.over(m.fc, spikes) * 2 + m.fc.bias).mean(0)

    module = Net(body)
    module.add_module(name, IF())
    graph = agrees(module, X)
    assert len(graph.neurons) == 2
    assert isinstance(graph.nodes[name].op, Spiking)


# -- layouts -----------------------------------------------------------------------------------


def spiking(m, x):
    return m.fc(m.sn(m.over(m.conv, x)).mean((-1, -2)).mean(0))


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 2, 4])
def test_time_first(steps, samples):
    agrees(Net(spiking), events(steps, samples, 2, 6, 6))


def test_samples_first():
    def body(m, x):
        y = m.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return m.fc(m.sn(y.transpose(0, 1)).permute(1, 0, 2, 3, 4).mean(1).mean((2, 3)))

    agrees(Net(body), events(3, 4, 2, 6, 6), layout="NT")


def repeated(how):
    def body(m, x):
        return m.fc(m.sn(how(m.norm(m.conv(x)))).mean(0).mean((-1, -2)))

    return body


REPEATS = {
    "unsqueeze, repeat": lambda y: y.unsqueeze(0).repeat(5, 1, 1, 1, 1),
    "unsqueeze in place": lambda y: y.unsqueeze_(0).repeat(5, 1, 1, 1, 1),
    "repeat": lambda y: y.repeat(5, 1, 1, 1, 1),
    "None, expand": lambda y: y[None].expand(5, -1, -1, -1, -1),
    "stack": lambda y: torch.stack([y] * 5),
    "second axis": lambda y: y.unsqueeze(1).repeat(1, 5, 1, 1, 1).transpose(0, 1),
}


@pytest.mark.parametrize("how", REPEATS.values(), ids=REPEATS)
def test_a_static_image_repeated_over_time(how):
    graph = agrees(Net(repeated(how)), torch.rand(2, 2, 6, 6), input="analog")
    assert graph.time_steps == 5
    assert graph.nodes["conv"].signal.rate == "static"
    assert graph.nodes["sn"].signal.rate == "step"


def test_lists_between_blocks_and_two_heads():
    def body(m, x):
        streams = [m.sn(m.over(m.conv, x))]
        streams.append(streams[0] + 1)
        return {"spikes": m.fc(streams[0].mean((0, -1, -2))), "other": streams[1].sum(0)}

    graph = agrees(Net(body), X)
    assert set(graph.heads) == {"spikes", "other"}


def test_in_place_work_that_hides_nothing():
    def body(m, x):
        y = m.over(m.conv, x)
        y += 0.25
        y = F.relu(y, inplace=True)
        y.mul_(0.5).clamp_(max=2.0)
        return m.sn(y)

    agrees(Net(body), X)


def test_casts_to_float_stay_wide():
    agrees(Net(lambda m, x: m.sn(m.over(m.conv, (x > 0.5).float()).float() * 0.3)), X)


def test_a_neuron_without_state_has_one_node_a_call():
    def body(m, x):
        y = m.sn(m.over(m.conv, x))
        return m.sn(y * 0.6 + 0.1)

    graph = agrees(Net(body), X)
    assert [n.name for n in graph.neurons] == ["sn", "sn:2"]


def test_origins_are_the_users_lines():
    graph = trace(Net(spiking).eval(), X, input="spike")
    start = inspect.getsourcelines(Net.over)[1]
    origin = graph.nodes["conv"].origin
    assert (origin.module, origin.line) == ("conv", start + 1)
    assert origin.file.endswith("test_trace.py")


def test_value_sets():
    def body(m, x):
        s = m.sn(m.over(m.conv, x))
        return s + s, 1 - s, s * s

    graph = trace(Net(body).eval(), X, input="spike")
    sets = {head: str(graph.nodes[node].signal.values) for head, node in graph.heads.items()}
    assert sets == {"0": "{0,2}", "1": "{0,1}", "2": "{0,1}"}


# -- the module is the user's --------------------------------------------------------------------


def test_the_module_is_untouched():
    module = Net(spiking).eval()
    before = copy.deepcopy(module.state_dict())
    graph = trace(module, X, input="spike")
    observe(module, X, graph)
    assert "forward" not in vars(module.sn)
    assert not module.sn._forward_hooks
    assert module.conv.weight.dtype == torch.float32
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_spikingjelly_state_is_untouched(spikingjelly):
    kind = spikingjelly.module("neuron")
    module = Net(lambda m, x: m.one(m.conv(x)), one=kind.IFNode()).eval()
    module(X[0])
    state = module.one.v.clone()
    trace(module, X[0], time_steps=4, input="spike")
    assert torch.equal(module.one.v, state)


def single(kind, name, **options):
    return Net(
        lambda m, x: m.fc(m.one(m.conv(x)).mean((-1, -2))), one=getattr(kind, name)(**options)
    )


SINGLE = [
    ("IFNode", {}),
    ("IFNode", {"v_reset": None, "v_threshold": 0.7}),
    ("LIFNode", {"tau": 3.0, "v_reset": -0.3}),
    ("LIFNode", {"decay_input": False, "v_reset": None}),
    ("ParametricLIFNode", {"init_tau": 1.5}),
    ("ParametricLIFNode", {"decay_input": False, "v_reset": 0.2}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), SINGLE)
@pytest.mark.parametrize("input", ["analog", "spike"])
def test_spikingjelly_one_step_at_a_time(spikingjelly, name, options, input):
    module = single(spikingjelly.module("neuron"), name, **options)
    x = torch.rand(2, 2, 6, 6) if input == "analog" else events(2, 2, 6, 6)
    agrees(module, x, input=input, time_steps=5)


@pytest.mark.parametrize(("name", "options"), SINGLE)
def test_spikingjelly_multi_step(spikingjelly, name, options):
    kind = spikingjelly.module("neuron")
    if hasattr(kind, f"MultiStep{name}"):
        node = getattr(kind, f"MultiStep{name}")(**options)
    else:
        node = getattr(kind, name)(step_mode="m", **options)
    agrees(Net(lambda m, x: m.one(m.over(m.conv, x)), one=node), X)


# -- refusals ----------------------------------------------------------------------------------


def branch(m, x):
    y = m.over(m.conv, x)
    if y.sum() > 0:  # <- SNN302
        y = y * 2
    return m.sn(y)


def item(m, x):
    return m.sn(m.over(m.conv, x) * x.max().item())  # <- SNN302


def to_list(m, x):
    return m.sn(m.over(m.conv, x) * len(x.tolist()))  # <- SNN302


def to_numpy(m, x):
    return m.sn(torch.from_numpy(m.over(m.conv, x).numpy()))  # <- SNN302


def all_close(m, x):
    return m.sn(m.over(m.conv, x)) if torch.allclose(x, x) else x  # <- SNN302


def set_item(m, x):
    y = m.over(m.conv, x)
    y[0] = 0.0  # <- SNN310
    return m.sn(y)


def through_a_view(m, x):
    y = m.over(m.conv, x)
    y.flatten(0, 1).add_(1.0)  # <- SNN310
    return m.sn(y * 1.0)


def through_data(m, x):
    y = m.over(m.conv, x)
    y.data.add_(1.0)  # <- SNN310
    return m.sn(y)


def noise(m, x):
    return m.sn(m.over(m.conv, x) + torch.rand(1))  # <- SNN315


def frozen_batch(m, x):
    return m.sn(m.over(m.conv, x) + torch.zeros(4, 2, 3, 6, 6))  # <- SNN314


def unknown(m, x):
    return m.sn(torch.special.i0(m.over(m.conv, x)))  # <- SNN301


def over_time(m, x):
    return m.sn(torch.cumsum(m.over(m.conv, x), 0))  # <- SNN112


def over_samples(m, x):
    y = m.over(m.conv, x)
    return m.sn(y - y.mean(1, keepdim=True))  # <- SNN112


def temporal_norm(m, x):
    y = m.over(m.conv, x).permute(1, 2, 3, 4, 0)
    return m.sn(F.layer_norm(y, [4]).permute(4, 0, 1, 2, 3))  # <- SNN112


def active_dropout(m, x):
    return m.sn(F.dropout(m.over(m.conv, x), 0.5, training=True))  # <- SNN308


def raises(m, x):
    return m.sn(x.view(7, -1))  # <- SNN314


REFUSED = [
    branch, item, to_list, to_numpy, all_close, set_item, through_a_view, through_data, noise,
    frozen_batch, unknown, over_time, over_samples, temporal_norm, active_dropout, raises,
]  # fmt: skip


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: body.__name__)
def test_refused_with_the_line(body):
    with pytest.raises(SnnccError) as caught:
        trace(Net(body).eval(), X, input="spike")
    (finding,) = caught.value.findings
    source, start = inspect.getsourcelines(body)
    marked = next(i for i, line in enumerate(source) if "# <-" in line)
    assert finding.code == source[marked].split("# <-")[1].strip()
    if finding.code != "SNN315":  # what differs between two runs is known after both
        assert finding.location.line == start + marked
        assert finding.location.file.endswith("test_trace.py")


def refused(module, x, code, **options):
    with pytest.raises(SnnccError) as caught:
        trace(module, x, **options)
    assert [f.code for f in caught.value.findings] == [code]


def test_training_mode():
    refused(Net(lambda m, x: m.sn(m.over(m.norm, m.over(m.conv, x)))).train(), X, "SNN308")


def test_scripted_parts():
    scripted = torch.jit.script(nn.Sequential(nn.ReLU()))
    refused(Net(lambda m, x: m.sn(m.part(x)), part=scripted).eval(), X, "SNN311")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value):
    module = Net(spiking).eval()
    module.fc.weight.data[1, 2] = value
    refused(module, X, "SNN307")


def test_a_stateful_neuron_called_twice(spikingjelly):
    node = spikingjelly.module("neuron").IFNode()
    module = Net(lambda m, x: m.one(m.one(m.conv(x))), one=node).eval()
    refused(module, X[0], "SNN309", time_steps=4)


def test_neurons_without_a_reading(spikingjelly):
    kind = spikingjelly.module("neuron")

    class Mine(kind.IFNode):
        def neuronal_charge(self, x):
            self.v = self.v + 2 * x

    for node in (kind.QIFNode(), Mine()):
        module = Net(lambda m, x: m.one(m.conv(x)), one=node).eval()
        refused(module, X[0], "SNN110", time_steps=4)


MULTI_STEP = {
    "GatedLIFNode": {"T": 4}, "PSN": {"T": 4}, "MaskedPSN": {"k": 2, "T": 4},
    "SlidingPSN": {"k": 2}, "KLIFNode": {}, "DSRIFNode": {"T": 4},
}  # fmt: skip


def test_multi_step_neurons_without_a_reading(spikingjelly):
    kind = spikingjelly.module("neuron")
    for name in filter(partial(hasattr, kind), MULTI_STEP):
        node = getattr(kind, name)(**MULTI_STEP[name])
        node.step_mode = "m"
        refused(Net(lambda m, x: m.one(m.over(m.conv, x)), one=node).eval(), X, "SNN110")


def test_a_synapse_that_decays_by_other_laws_when_spikes_come(spikingjelly):
    synapse = spikingjelly.module("layer").SynapseFilter()
    synapse.step_mode = "m"
    module = Net(lambda m, x: m.sn2(m.over(m.norm, m.one(m.sn(m.over(m.conv, x))))), one=synapse)
    refused(module.eval(), X, "SNN110")


def test_a_single_step_neuron_in_a_network_of_all_steps(spikingjelly):
    node = spikingjelly.module("neuron").IFNode()
    refused(Net(lambda m, x: m.one(m.over(m.conv, x)), one=node).eval(), X, "SNN306")


def test_odd_options():
    module = Net(spiking).eval()
    refused(module, X, "SNN316", layout="TT")
    refused(module, X, "SNN316", input="events")
    refused(module, X, "SNN316", time_steps=3, layout="TN")
    refused(module, torch.zeros(3), "SNN306")


@pytest.mark.parametrize("shape", [(4, 2, 2, 6, 5), (2, 2, 6, 6), (4, 0, 2, 6, 6)])
def test_data_of_another_shape(shape):
    graph = trace(Net(spiking).eval(), X, input="spike")
    with pytest.raises(SnnccError) as caught:
        arrange(np.zeros(shape), graph)
    assert caught.value.findings[0].code == "SNN306"


def test_a_recording_keeps_no_more_alive_than_forward_does():
    """Else a deep network takes the memory of all its activations at once."""
    alive = []

    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(30))
            self.fire = IF()

        def forward(self, x):
            seen = []
            for layer in self.layers:
                x = self.fire(layer(x))
                seen.append(weakref.ref(x))
                alive.append(sum(each() is not None for each in seen))
            return x

    graph = trace(Deep(), (torch.rand(3, 2, 4) < 0.5).double(), input="spike", layout="TN")
    assert max(alive) <= 2
    assert len({node.name for node in graph.neurons}) == 30


@pytest.mark.parametrize("wrap", [torch.autograd.Variable, lambda x: x])
def test_a_variable_is_what_it_wraps(wrap) -> None:
    class Wraps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.sn = nn.Linear(6, 5), IF()

        def forward(self, x):
            y = wrap(self.sn(self.fc(wrap(x))))
            return y.mean(0) + wrap(torch.zeros(x.shape[1], 5))

    graph = trace(Wraps().eval(), torch.ones(4, 2, 6), input="spike", layout="TN")
    assert [type(node.op).__name__ for node in graph.neurons] == ["Spiking"]
