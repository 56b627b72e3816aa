"""Neurons that a user teaches: several levels, numbers of each neuron, readings that are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends import neurons
from snncc.frontends.blocks import adaptive
from snncc.frontends.torch import arrange, observe, trace
from snncc.ir.interpreter import run_graph, run_network
from snncc.nn import MLF, AdaptiveIF, DSBlock, OverTime, TDBatchNorm
from snncc.passes.fold_bn import FoldBn
from snncc.passes.lower import Lower

DOCUMENT = Path(__file__).parents[2] / "docs" / "neurons.md"


@pytest.fixture(autouse=True)
def forgotten():
    """What a test registers is gone after it."""
    torch.manual_seed(0)
    before = dict(neurons._registered)
    yield
    neurons._registered.clear()
    neurons._registered.update(before)


@pytest.mark.slow
def test_the_document_says_what_is_true():
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, object] = {"__name__": "document"}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    program = names["program"]
    assert {"1", "4"} <= set(program.network.places)


def networks(module, x, kind="count", **options):
    """Graph, Network and folded Network, after holding each against the module."""
    graph = trace(module.eval(), x, input=kind, **options)
    seen = observe(module, x, graph)
    values = run_graph(graph, arrange(x, graph), keep=seen.spikes)
    assert set(seen.spikes) == {node.name for node in graph.neurons}
    for name, spikes in seen.spikes.items():
        assert torch.equal(values[name], spikes), name
        assert 0 < spikes.mean() < 1, name
    outcome = Lower()(graph)
    assert outcome.ok, outcome.findings
    network, folded = outcome.form, FoldBn()(outcome.form).form
    for form in (network, folded):
        run = run_network(form, arrange(x, graph), forced=seen.spikes)
        assert (run.mismatches, run.ties) == (0, 0)
        assert run.compared >= sum(s.numel() for s in seen.spikes.values())
        torch.testing.assert_close(run.logits["0"], seen.heads["0"].mean(0))
    return graph, network, folded


def normed(module):
    for part in module.modules():
        if isinstance(part, TDBatchNorm):
            nn.init.normal_(part.weight, 0.0, 2.0)
            part.weight.data[0] = 0
            nn.init.normal_(part.bias, 0.5, 0.5)
            nn.init.normal_(part.running_mean, 0.0, 0.2)
            nn.init.uniform_(part.running_var, 0.01, 0.2)
    return module


# -- multi-level firing ------------------------------------------------------------------------


def test_a_multi_level_residual_network():
    """DS-ResNet: each unit is three populations on one input, read by the same weights."""
    net = normed(nn.Sequential(
        OverTime(nn.Conv2d(2, 6, 3, padding=1, bias=False)), TDBatchNorm(6), MLF(),
        DSBlock(6, 6), DSBlock(6, 8, 2),
        OverTime(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))),
    ))  # fmt: skip
    x = torch.poisson(torch.rand(4, 3, 2, 8, 8))
    _, network, folded = networks(net, x)
    assert len(network.populations) == 3 * 6
    first = [p for p in network.projections if p.source.startswith("2.level")]
    assert len(first) == 3 * (3 + 3 + 3)  # conv1, and past the identity conv1 and its shortcut
    weights = {op.weight for p in first for op in p.map if hasattr(op, "weight")}
    assert len(weights) == 3
    assert all(len(p.map) <= 2 for p in folded.projections if p.target != "0")


@pytest.mark.parametrize("sites", [1, 2])
def test_one_unit_called_at_two_places_is_a_population_a_place(sites):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 6)
            self.unit, self.out = MLF(0.5, (0.3, 0.9)), nn.Linear(6, 3)

        def forward(self, x):
            y = self.unit(self.fc1(x))
            return self.out(self.unit(self.fc2(y)) if sites == 2 else y)

    graph, *_ = networks(Net(), torch.poisson(torch.rand(5, 3, 6)), layout="TN")
    expected = ["unit.level1", "unit.level2", "unit.level1:2", "unit.level2:2"]
    assert [node.name for node in graph.neurons] == expected[: 2 * sites]


def test_counts_may_be_pooled_and_gated():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.unit, self.fc = (
                nn.Conv2d(2, 4, 3),
                MLF(0.5, (0.2, 0.5)),
                nn.Linear(8, 3),
            )

        def forward(self, x):
            s = self.unit(OverTime(self.conv)(x))
            pooled = OverTime(nn.MaxPool2d(2))(s)
            rare = torch.minimum(pooled[:, :, :2], pooled[:, :, 2:])
            return self.fc(rare.flatten(2))

    networks(Net(), torch.poisson(torch.rand(4, 3, 2, 6, 6)))


def test_adaptive_if_has_a_threshold_per_neuron():
    neurons.register_neuron(AdaptiveIF, adaptive)
    net = nn.Sequential(
        OverTime(nn.Conv2d(2, 6, 3)), AdaptiveIF((6, 6, 6)), OverTime(nn.AvgPool2d(2)),
        AdaptiveIF((6, 3, 3)), OverTime(nn.Sequential(nn.Flatten(), nn.Linear(54, 4))),
    )  # fmt: skip
    net[3].threshold.copy_((4 * net[3].threshold).round() / 4)  # what averages land on
    graph, *_ = networks(net, torch.poisson(torch.rand(5, 3, 2, 8, 8)))
    assert [node.name for node in graph.neurons] == ["1", "3"]
    assert graph.tensors[graph.neurons[0].op.threshold].shape == (6, 6, 6)


class OneStep(nn.Module):
    """Two levels of different weight, state kept between calls, one step per call."""

    def __init__(self):
        super().__init__()
        self.u = [0.0, 0.0]

    def reset(self):
        self.u = [0.0, 0.0]

    def forward(self, x):
        total = 0.0
        for k, threshold in enumerate((0.4, 0.7)):
            u = self.u[k] * 0.5 + x
            s = (u >= threshold).to(x.dtype)
            self.u[k] = u - threshold * s
            total = total + (1.0, 0.25)[k] * s
        return total


def read_one_step(module):
    levels = [snncc.Spiking(decay=0.5, threshold=v, reset="soft") for v in (0.4, 0.7)]
    return snncc.NeuronModule(levels, multi_step=False, keeps_state=True, weights=(1.0, 0.25))


@pytest.mark.parametrize("looped", [False, True])
def test_levels_of_a_neuron_of_one_step(looped):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.neuron, self.out = nn.Linear(5, 6), OneStep(), nn.Linear(6, 3)

        def step(self, x):
            return self.out(self.neuron(self.fc(x)))

        def forward(self, x):
            if not looped:
                return self.step(x)
            self.neuron.reset()
            return torch.stack([self.step(x[t]) for t in range(x.shape[0])])

    snncc.register_neuron(OneStep, read_one_step)
    x = (torch.rand(6, 3, 5) < 0.5).double()
    options = {"layout": "TN"} if looped else {"time_steps": 6}
    net = Net()
    example = x if looped else x[0]
    program = snncc.compile(net, example, "reference", input="spike", **options)
    assert {"neuron.level1", "neuron.level2"} <= set(program.network.places)
    comparison = snncc.compare(net, program, x)
    assert comparison.equal
    assert comparison.compared == 2 * 6 * 3 * 6
    rates = [program.run(x).spikes[f"neuron.level{k}"].mean() for k in (1, 2)]
    assert all(0 < rate < 1 for rate in rates)


# -- numbers of each neuron --------------------------------------------------------------------


class Own(nn.Module):
    """A threshold and a first membrane of each neuron, or channel; fires above the threshold."""

    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("bound", torch.rand(shape, dtype=torch.float64) + 0.2)
        self.register_buffer("start", torch.rand(shape, dtype=torch.float64))

    def forward(self, x):
        v, out = self.start, []
        for current in x:
            h = 0.7 * v + current
            s = (h > self.bound).to(x.dtype)
            v = torch.where(s > 0, -0.1, h)
            out.append(s)
        return torch.stack(out)


def read_own(module):
    return snncc.NeuronModule(
        snncc.Spiking(
            decay=0.7, threshold=snncc.Ref("bound"), initial=snncc.Ref("start"), v_reset=-0.1,
            strict=True,
        ),
        multi_step=True, keeps_state=False,
        tensors={"bound": module.bound, "start": module.start},
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(4, 6, 6), (4, 1, 1), (1,)])
def test_thresholds_and_first_membranes_of_each_neuron(shape):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
            self.one, self.two = Own(*shape), Own(*shape)
            self.fc = nn.Linear(4 * 36, 3)

        def forward(self, x):
            y = OverTime(nn.Sequential(self.conv, self.bn))(x)
            return self.fc((self.one(y) + self.two(0.5 - y)).flatten(2))

    snncc.register_neuron(Own, read_own)
    net = Net()
    nn.init.normal_(net.bn.weight)
    graph, _, folded = networks(net, (torch.rand(4, 3, 2, 8, 8) < 0.5).double(), "spike")
    assert graph.tensors["one.bound"].shape == shape
    assert folded.tensors[folded.places["one"].neuron.threshold].shape[0] == 4


# -- readings that are wrong -------------------------------------------------------------------


def wrong(**changes):
    def read(module):
        spiking = {
            "decay": 0.7, "threshold": snncc.Ref("bound"), "initial": snncc.Ref("start"),
            "v_reset": -0.1, "strict": True,
        }  # fmt: skip
        tensors = {"bound": module.bound, "start": module.start}
        return snncc.NeuronModule(snncc.Spiking(**spiking | changes), True, False, tensors)

    return read


@pytest.mark.parametrize(
    "changes",
    [{"decay": 0.6}, {"initial": 0.0}, {"v_reset": 0.0}, {"reset": "soft"}, {"threshold": 0.5}],
)
def test_a_wrong_reading_is_not_believed(changes):
    snncc.register_neuron(Own, wrong(**changes))
    net = nn.Sequential(nn.Linear(4, 5), Own(5), nn.Linear(5, 2)).double()
    silent = torch.zeros(4, 2, 4)  # the example itself would not show it
    with pytest.raises(SnnccError) as problem:
        trace(net, silent, input="spike", layout="TN")
    (finding,) = problem.value.findings
    assert finding.code == "SNN319"
    assert "neuron 1 yields" in finding.message


class Plain(nn.Module):
    def forward(self, x):
        v, out = torch.zeros_like(x[0]), []
        for current in x:
            v = v + current
            s = (v > 1).to(x.dtype)
            v = v * (1 - s)
            out.append(s)
        return torch.stack(out)


@pytest.mark.parametrize("strict", [True, False])
def test_above_is_not_at_the_threshold(strict):
    snncc.register_neuron(
        Plain,
        lambda m: snncc.NeuronModule(snncc.Spiking(strict=strict), True, False),
    )
    net = nn.Sequential(nn.Linear(4, 5), Plain(), nn.Linear(5, 2))
    report = snncc.check(net.eval(), torch.zeros(4, 2, 4), "reference", input="spike", layout="TN")
    assert [f.code for f in report.findings] == ([] if strict else ["SNN319"])


class Leaking(nn.Module):
    """Loses an eighth while its membrane is above 0."""

    def forward(self, x):
        v, out = torch.zeros_like(x[0]), []
        for current in x:
            v = v - 0.125 * (v > 0) + current
            s = (v >= 1).to(x.dtype)
            v = v * (1 - s)
            out.append(s)
        return torch.stack(out)


@pytest.mark.parametrize("size", [1, 4, 40])
def test_a_small_leak_shows_in_few_neurons(size):
    snncc.register_neuron(Leaking, lambda m: snncc.NeuronModule(snncc.Spiking(), True, False))
    net = nn.Sequential(nn.Linear(4, size), Leaking(), nn.Linear(size, 2))
    report = snncc.check(net.eval(), torch.zeros(4, 2, 4), "reference", input="spike", layout="TN")
    assert [f.code for f in report.findings] == ["SNN319"]


class Flipped(nn.Module):
    """Integrates and fires, with the other answer at some places (step, sample, neuron)."""

    def __init__(self, *places):
        super().__init__()
        self.inner, self.places = Plain(), places

    def forward(self, x):
        s = self.inner(x)
        for place in self.places:
            s[place] = 1 - s[place]
        return s


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([(2, 0, 3)], "in step 2, neuron (3)"),
        ([(3, 1, 1), (2, 1, 4), (2, 0, 3), (3, 0, 0)], "in step 2, neuron (3)"),
        ([(0, 1, 2), (0, 1, 0)], "in step 0, neuron (0)"),
    ],
)
def test_the_first_step_and_neuron_that_differ_are_named(places, said):
    snncc.register_neuron(
        Flipped, lambda m: snncc.NeuronModule(snncc.Spiking(strict=True), True, False)
    )
    net = nn.Sequential(nn.Linear(4, 5), Flipped(*places), nn.Linear(5, 2)).double()
    with pytest.raises(SnnccError) as problem:
        trace(net, torch.zeros(4, 2, 4), input="spike", layout="TN")
    (finding,) = problem.value.findings
    assert finding.code == "SNN319"
    assert finding.message.startswith("neuron 1 yields ")
    assert finding.message.endswith(said)
    net[1].places = ()
    assert trace(net, torch.zeros(4, 2, 4), input="spike", layout="TN").neurons


def test_a_registered_neuron_may_hold_neurons_of_the_table():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = snncc.nn.IF(0.5)

        def forward(self, x):
            return self.inner(2 * x)

    snncc.register_neuron(
        Doubled, lambda m: snncc.NeuronModule(snncc.Spiking(threshold=0.25), True, False)
    )
    net = nn.Sequential(nn.Linear(4, 5), Doubled(), nn.Linear(5, 2))
    graph, *_ = networks(net, (torch.rand(5, 3, 4) < 0.5).double(), "spike", layout="TN")
    assert [node.name for node in graph.neurons] == ["1"]


def test_only_classes_of_modules_are_neurons():
    with pytest.raises(SnnccError, match="SNN316"):
        snncc.register_neuron(Plain(), read_own)  # type: ignore[arg-type]
