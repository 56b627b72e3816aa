"""The module beside its Graph: what is called, what is compared, what cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.torch import Recording, record
from snncc.ir.graph import Graph
from snncc.ir.ops import Input, Spiking
from snncc.verification import agreement, probes
from snncc.verification.probes import ANALOG, COUNTS, DRAWN, SPIKES, arranged, for_passes

X = torch.randint(0, 2, (4, 3, 6), generator=torch.Generator().manual_seed(0)).double()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.fc2 = nn.Linear(6, 5), nn.Linear(5, 3)
        self.sn, self.out = snncc.nn.IF(0.2), snncc.nn.IF(0.3)

    def forward(self, x):
        return self.out(self.fc2(self.sn(self.fc(x))))


def recorded(module: nn.Module, x: torch.Tensor = X, **options: object) -> Recording:
    given: dict[str, Any] = {"input": "spike", "layout": "TN"} | options
    return record(module.eval(), x, **given)


def with_neuron(graph: Graph, name: str, **changes: object) -> Graph:
    nodes = [
        replace(node, op=replace(node.op, **changes)) if node.name == name else node
        for node in graph.nodes.values()
    ]
    return Graph.build(nodes, graph.tensors, graph.heads, graph.name, graph.time_steps)


# -- what is compared ------------------------------------------------------------------------------


def test_every_population_step_and_sample_is_compared():
    net = Net()
    recording = recorded(net)
    calls = probes(recording, X)
    agreed = agreement(net, recording.graph, calls)
    by_name = {call.probe.name: call for call in agreed.calls}
    assert [*by_name] == [
        "example", "drawn", "one sample, full", "one sample, silent", "example again",
        "example, as trained", "drawn, as trained",
    ]  # fmt: skip
    for call in agreed.calls:
        steps = 4 * call.probe.samples
        assert call.populations == {"sn": 5 * steps, "out": 3 * steps}
        assert call.ties == 0
    assert by_name["example, as trained"].dtype == torch.float32
    assert agreed.compared == sum(8 * 4 * call.probe.samples for call in agreed.calls)
    assert not agreed.findings


@pytest.mark.parametrize(
    "changes",
    [{"threshold": 0.25}, {"leak": 0.5}, {"reset": "soft"}, {"initial": 0.05}, {"v_reset": -0.1}],
)
@pytest.mark.parametrize("name", ["sn", "out"])
def test_another_neuron_is_found(name, changes):
    net = Net()
    recording = recorded(net)
    wrong = with_neuron(recording.graph, name, **changes)
    with pytest.raises(SnnccError, match=f"SNN321.*`{name}` is not what the module computes"):
        agreement(net, wrong, probes(recording, X))


def test_another_strictness_is_no_tie():
    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sn = snncc.nn.IF(1.0)

        def forward(self, x):
            return self.sn(x / 2)

    net = Exact()
    recording = recorded(net)
    wrong = with_neuron(recording.graph, "sn", strict=True)
    with pytest.raises(SnnccError, match=r"the module fires 1 and the recorded network 0 at step"):
        agreement(net, wrong, probes(recording, X))


def test_the_message_names_the_input_the_step_and_the_neuron():
    net = Net()
    recording = recorded(net)
    wrong = with_neuron(recording.graph, "out", threshold=1e9)
    with pytest.raises(SnnccError) as caught:
        agreement(net, wrong, probes(recording, X))
    (finding,) = caught.value.findings
    assert "on the input `example` (3 samples)" in finding.message
    assert finding.node == "out"
    assert finding.location.module == "out"


def test_an_output_that_is_no_spike_is_compared_as_a_number():
    class Reads(Net):
        def forward(self, x):
            return self.fc2(self.sn(self.fc(x))).mean(0)

    net = Reads()
    recording = recorded(net)
    graph = recording.graph
    name = next(name for name in graph.tensors if name.endswith("fc2.bias"))
    wrong = dict(graph.tensors) | {name: graph.tensors[name] + 1e-6}
    assert agreement(net, graph, probes(recording, X)).compared
    changed = Graph.build(graph.nodes.values(), wrong, graph.heads, graph.name, graph.time_steps)
    with pytest.raises(SnnccError, match="SNN321.*output `0` is "):
        agreement(net, changed, probes(recording, X))


class Single(nn.Module):
    """One step, whose neuron keeps its membrane."""

    def __init__(self, neuron) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.sn = nn.Linear(6, 5), neuron

    def forward(self, x):
        return self.sn(self.fc(x))


@pytest.mark.parametrize("kind", ["spike", "analog"])
def test_a_module_of_one_step_is_really_called_t_times(kind):
    snntorch = pytest.importorskip("snntorch")
    calls = []

    class Counted(Single):
        def forward(self, x):
            calls.append(x.shape[0])
            return super().forward(x)

    net = Counted(snntorch.Leaky(0.5, init_hidden=True))
    recording = recorded(net, X[0], layout="N", time_steps=7, input=kind)
    calls.clear()
    agreed = agreement(net, recording.graph, probes(recording, X[0]))
    assert agreed.calls[0].populations["sn"] == 7 * 3 * 5
    trained = sum("as trained" in call.probe.name for call in agreed.calls)
    # Those are called watched and unwatched; one more shows what a step leaves for the next, and
    # one call and seven in a row whether what grows here, ``calls``, is a state.
    kinds = len(agreed.calls) + trained + 1
    assert len(calls) == 7 * kinds + 1 + 7
    assert trained == 2


def test_a_head_that_is_the_same_at_every_step():
    class Heads(Single):
        def forward(self, x):
            y = self.fc(x)
            return self.sn(y), y

    snntorch = pytest.importorskip("snntorch")
    net = Heads(snntorch.Leaky(0.5, init_hidden=True)).eval()
    program = snncc.compile(
        net, X[0], "reference", input="analog", layout="N", time_steps=3, head=0
    )
    assert program.head == "0"


def test_a_hook_that_keeps_what_it_saw_leaves_the_module_as_it_was():
    net, kept = Net().eval(), {"sn": None}
    net.sn.register_forward_hook(lambda m, i, o: kept.__setitem__("sn", o.mean()))
    for _ in range(2):
        snncc.compile(net, X, "reference", input="spike", layout="TN")
        assert kept == {"sn": None}


def test_a_module_that_takes_float32_alone():
    class Narrow(Net):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.eye(6)  # no parameter, so that it stays in float32

        def forward(self, x):
            return super().forward(x @ self.weight)

    net = Narrow()
    recording = recorded(net)
    agreed = agreement(net, recording.graph, probes(recording, X))
    assert {call.dtype for call in agreed.calls} == {torch.float32}


# -- what cannot be ------------------------------------------------------------------------------


class AtMost(Net):
    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x):
        if int(x.shape[1]) > self.most:
            raise ValueError(f"{self.most} samples at most")
        return super().forward(x)


def test_fewer_samples_in_more_calls():
    net = AtMost(3)
    recording = recorded(net)
    agreed = agreement(net, recording.graph, probes(recording, X))
    assert not agreed.findings
    names = [call.probe.name for call in agreed.calls]
    assert names[1:9] == [f"drawn, part {number}" for number in range(1, 9)]


def test_a_module_that_stops_running_at_once():
    net = AtMost(3)
    recording = recorded(net)
    net.most = 0
    with pytest.raises(SnnccError, match="SNN314.*forward raises on the input `example`"):
        agreement(net, recording.graph, probes(recording, X))


class Loud(Net):
    """Asks about its input in another thread, where no recording sees it."""

    def forward(self, x):
        with ThreadPoolExecutor(1) as pool:
            if pool.submit(lambda: bool(x.all())).result():
                raise ValueError("too loud")
        return super().forward(x)


def test_what_is_not_verified_is_said_by_compile():
    program = snncc.compile(Loud().eval(), X, "reference", input="spike", layout="TN")
    assert [f.code for f in program.findings] == ["SNN508"]
    assert "`one sample, full` (1 sample): the module raises ValueError: too loud" in (
        program.findings[0].message
    )
    assert not program.findings[0].is_error


# -- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "kinds"), [("spike", SPIKES), ("count", COUNTS), ("analog", ANALOG)]
)
@pytest.mark.parametrize("layout", ["TN", "NT", "N"])
def test_drawn_samples_are_what_is_declared(kind, kinds, layout):
    class Fires(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sn = snncc.nn.IF()

        def forward(self, x):
            if layout == "N":
                return self.sn(x.unsqueeze(0).repeat(4, 1, 1))
            return self.sn(x if layout == "TN" else x.transpose(0, 1))

    example = {"TN": X, "NT": X.transpose(0, 1), "N": X[0]}[layout]
    recording = recorded(Fires(), example, layout=layout, input=kind)
    for probe in probes(recording, example):
        assert probe.inputs.dim() == example.dim()
        assert probe.inputs.shape[probe.axis] == probe.samples
        assert torch.isfinite(probe.inputs).all()
        if kind == "spike":
            assert set(probe.inputs.unique().tolist()) <= {0.0, 1.0}
        if kind == "count":
            assert probe.inputs.min() >= 0
            assert probe.inputs.max() <= 255
            assert torch.equal(probe.inputs, probe.inputs.floor())
    drawn = next(probe for probe in probes(recording, example) if probe.name == "drawn")
    assert drawn.samples == DRAWN >= 2 * len(kinds)
    each = drawn.inputs.movedim(drawn.axis, 0).flatten(1)
    if kind == "spike":
        assert {0.0, 1.0} <= set(each.mean(1).tolist())
    if kind == "count":
        assert each.min(1).values.max() == 255
    if kind == "analog":
        assert (each <= 0).all(1).any()
        assert each.abs().max() > 10 * float(example.std())


def test_the_same_inputs_are_drawn_again():
    recording = recorded(Net())
    one, two = probes(recording, X), probes(recording, X)
    assert [p.sha256 for p in one] == [p.sha256 for p in two]
    assert len({p.sha256 for p in one}) == len(one) - 1  # the example is called twice


def test_the_numbers_of_samples_that_forward_asks_about_are_called():
    recording = replace(recorded(Net()), samples=frozenset({17, 40}))
    sizes = {p.name: p.samples for p in probes(recording, X)}
    assert (sizes["17 samples"], sizes["40 samples"]) == (17, 40)


def test_passes_are_verified_on_the_users_samples_and_some_drawn_ones():
    recording = recorded(Net())
    calls = probes(recording, X, X[:, :2])
    chosen = for_passes(calls)
    assert [(p.name, p.samples) for p in chosen] == [
        ("example", 3), ("calibration", 2), ("drawn", 2),
    ]  # fmt: skip
    values = arranged(recording.graph, chosen)["input"]
    assert values.shape == (4, 7, 6)
    assert torch.equal(values[:, :3], X)


def test_data_that_does_not_fit():
    recording = recorded(Net())
    for data, code in ((X[:3], "SNN306"), (X / 0, "SNN312"), (X[..., :5], "SNN306")):
        with pytest.raises(SnnccError, match=code):
            probes(recording, X, data)


def test_graphs_here_have_what_is_asked_of_them():
    graph = recorded(Net()).graph
    assert [node.name for node in graph.of_type(Spiking)] == ["sn", "out"]
    assert graph.inputs[0].op == Input("spike")
