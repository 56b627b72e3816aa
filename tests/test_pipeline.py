"""Passes one after the other: what is checked between them, and what is said when one fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.ir.graph import Graph
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Ref, Reshape, Spiking
from snncc.ir.text import parse_graph
from snncc.passes.base import Outcome, Pass
from snncc.pipeline import PassError, run, with_reset
from snncc.reports import Report
from snncc.verification import Verification

TEXT = """
graph two {
  %in = input{kind='spike'} : step [1,4,4] {0,1}
  %conv = conv{weight=@w, padding=(1, 1)} %in : step [3,4,4] real
  %sn1 = spiking{leak=0.25, decay_input=True, threshold=0.5} %conv : step [3,4,4] {0,1}
  %flat = reshape{shape=(48,)} %sn1 : step [48] {0,1}
  %fc1 = dense{weight=@fc} %flat : step [5] real
  %sn2 = spiking{reset='soft'} %fc1 : step [5] {0,1}
  %fc2 = dense{weight=@out} %sn2 : step [2] real
  %mean = overtime{kind='mean'} %fc2 : final [2] real
  head y = %mean
  tensor @w float64 [3,1,3,3]
  tensor @fc float64 [5,48]
  tensor @out float64 [2,5]
}
"""


@pytest.fixture
def graph():
    rng = np.random.default_rng(0)
    shapes = {"w": (3, 1, 3, 3), "fc": (5, 48), "out": (2, 5)}
    return parse_graph(TEXT, {name: rng.normal(0.2, 0.5, s) for name, s in shapes.items()})


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return {"in": (torch.rand(6, 4, 1, 4, 4, generator=generator) < 0.4).double()}


@dataclass(frozen=True)
class Nodes(Report):
    nodes: int


@dataclass(frozen=True)
class Keep(Pass):
    """Hands the graph on."""

    name: ClassVar = "keep"
    reads: ClassVar = Graph
    writes: ClassVar = Graph

    def __call__(self, form):
        return Outcome(form, report=Nodes(len(form.nodes)))


@dataclass(frozen=True)
class Warn(Keep):
    name: ClassVar = "warn"
    code: str = "SNN504"

    def __call__(self, form):
        return Outcome(form, (Finding(self.code, "said something"),))


@dataclass(frozen=True)
class Refuse(Keep):
    name: ClassVar = "refuse"

    def __call__(self, form):
        raise refuse("SNN105", "relu between neurons")


@dataclass(frozen=True)
class Stumble(Keep):
    name: ClassVar = "stumble"

    def __call__(self, form):
        raise KeyError("conv9")


@dataclass(frozen=True)
class Lower(Pass):
    """This one network, by hand, its leak and gain brought to the normal form."""

    name: ClassVar = "lower-by-hand"
    reads: ClassVar = Graph
    writes: ClassVar = Network
    threshold: float = 2.0
    readout: str = "out"

    def __call__(self, form):
        places = [
            Source("in", (1, 4, 4)),
            Population("a", (3, 4, 4), _neuron(0.75, self.threshold), stands_for="sn1"),
            Population("relay", (3, 4, 4), _neuron(0.0, 1.0), role="relay"),
            Population("b", (5,), _neuron(1.0, 1.0, "soft"), stands_for="sn2"),
            Readout("y", (2,)),
        ]
        projections = [
            Projection("in", "a", (Conv(Ref("w"), padding=(1, 1)),)),
            Projection("a", "relay"),
            Projection("relay", "b", (Reshape((48,)), Dense(Ref("fc")))),
            Projection("b", "y", (Dense(Ref(self.readout)),)),
        ]
        tensors = {**form.tensors, "other": form.tensors["out"] * 1.01}
        return Outcome(Network.build(places, projections, tensors))


def _neuron(decay, threshold, reset="hard"):
    return Neuron(decay=decay, threshold=threshold, reset=reset)


@dataclass(frozen=True)
class Rethreshold(Pass):
    """Another threshold in one population."""

    name: ClassVar = "rethreshold"
    reads: ClassVar = Network
    writes: ClassVar = Network
    population: str = "a"
    factor: float = 1.0
    break_shape: bool = False

    def __call__(self, form):
        place = form.places[self.population]
        neuron = replace(place.neuron, threshold=place.neuron.threshold * self.factor)
        changed = replace(place, neuron=neuron)
        if self.break_shape:
            changed = replace(changed, shape=(7,))
        places = {**form.places, self.population: changed}
        return Outcome(replace(form, places=places))


@dataclass(frozen=True)
class Nudge(Keep):
    """One weight a little larger."""

    name: ClassVar = "nudge"
    tensor: str = "w"

    def __call__(self, form):
        tensors = {**form.tensors, self.tensor: form.tensors[self.tensor] + 0.3}
        return Outcome(Graph.build(form.nodes.values(), tensors, form.heads))


# -- order, forms, findings --------------------------------------------------------------------


def test_passes_run_in_order_and_each_is_timed_and_reports(graph):
    result = run(graph, [Keep(), Warn(), Lower(), Rethreshold()])
    assert isinstance(result.form, Network)
    assert [str(stage.applied) for stage in result.stages] == [
        "keep", "warn", "lower-by-hand", "rethreshold"
    ]  # fmt: skip
    assert [finding.code for finding in result.findings] == ["SNN504"]
    assert result.reports.said == {"keep": {"nodes": 8}}
    assert all(seconds >= 0 for seconds in result.timings.values())


def test_observers_see_every_stage_with_those_before_it(graph):
    seen = []
    run(graph, [Keep(), Lower()], on_pass=seen.append)
    assert [(str(s.applied), [str(p) for p in s.done]) for s in seen] == [
        ("keep", []), ("lower-by-hand", ["keep"])
    ]  # fmt: skip
    assert seen[0].before is graph
    assert seen[1].before is seen[0].after


def test_an_error_stops_with_all_findings_so_far_errors_first(graph):
    never = []
    with pytest.raises(SnnccError) as caught:
        run(graph, [Warn(), Warn("SNN505"), Refuse(), Keep()], on_pass=never.append)
    assert [f.code for f in caught.value.findings] == ["SNN105", "SNN505", "SNN504"]
    assert [str(stage.applied) for stage in never] == ["warn", "warn{code=SNN505}"]


def test_an_error_among_the_findings_of_a_pass_stops_too(graph):
    with pytest.raises(SnnccError) as caught:
        run(graph, [Warn(), Warn("SNN101")])
    assert [f.code for f in caught.value.findings] == ["SNN101", "SNN504"]
    assert caught.value.exit_code == 1


def test_any_other_exception_is_our_bug_and_names_the_pass_and_those_before(graph):
    with pytest.raises(PassError, match="pass stumble, after keep, warn, failed: KeyError") as it:
        run(graph, [Keep(), Warn(), Stumble()])
    assert it.value.failed == Stumble()
    assert isinstance(it.value.__cause__, KeyError)


def test_a_pass_is_not_given_a_form_it_does_not_read(graph):
    with pytest.raises(PassError, match="rethreshold reads a Network and was given a Graph"):
        run(graph, [Rethreshold()])


def test_a_pass_that_makes_another_form_than_it_says_is_caught(graph):
    @dataclass(frozen=True)
    class Lies(Lower):
        name: ClassVar = "lies"
        writes: ClassVar = Graph

    with pytest.raises(PassError, match="lies promises a Graph and made a Network"):
        run(graph, [Lies()])


def test_a_network_that_does_not_fit_together_is_caught(graph):
    with pytest.raises(PassError, match="rethreshold.*, after lower-by-hand, left a broken"):
        run(graph, [Lower(), Rethreshold(break_shape=True)])


def test_a_graph_whose_node_reads_nothing_there_is_caught(graph):
    @dataclass(frozen=True)
    class Forgets(Keep):
        name: ClassVar = "forgets"

        def __call__(self, form):
            nodes = [node for node in form.nodes.values() if node.name != "sn1"]
            return Outcome(Graph.build(nodes, form.tensors, form.heads))

    with pytest.raises(PassError, match="node flat reads sn1, which does not come before it"):
        run(graph, [Forgets()])


def test_print_after_writes_the_form_on_stderr(graph, capsys):
    run(graph, [Keep(), Lower()], print_after=["lower-by-hand"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("# after lower-by-hand\nnetwork network {")


def test_print_after_an_unknown_pass_lists_those_there_are(graph):
    with pytest.raises(SnnccError, match="no pass 'lowr' runs here; there are keep, lower-by-hand"):
        run(graph, [Keep(), Lower()], print_after=["lowr"])


# -- translation validation --------------------------------------------------------------------


def test_a_faithful_translation_passes_and_counts_what_it_compared(graph, inputs):
    verify = Verification(inputs)
    run(graph, [Keep(), Lower(), Rethreshold()], verify=verify)
    neurons = 6 * 4 * (3 * 4 * 4 + 5)
    assert [(c.applied, c.compared, c.ties) for c in verify.checks] == [
        ("lower-by-hand", neurons, 0), ("rethreshold", neurons, 0)
    ]  # fmt: skip


def test_a_changed_threshold_is_found_where_it_is(graph, inputs):
    wrong = Lower(threshold=1.9)
    with pytest.raises(PassError) as caught:
        run(graph, [Keep(), wrong], verify=Verification(inputs))
    said = str(caught.value)
    assert said.startswith("pass lower-by-hand{threshold=1.9}, after keep, changed the network: ")
    assert "population a, step " in said
    assert "against the threshold 0.5, after a membrane of" in said
    assert said.endswith("against the threshold 1.9")


def test_the_membranes_shown_are_those_of_the_neuron_that_differs(graph, inputs):
    with pytest.raises(PassError) as caught:
        run(graph, [Lower(), Rethreshold("b", 1.5)], verify=Verification(inputs))
    words = str(caught.value).split()
    before, after = (float(words[i + 2]) for i, w in enumerate(words) if w == "membrane")
    assert before == pytest.approx(after)
    assert 1 <= before < 1.5


def test_a_network_is_held_against_the_network_the_pipeline_began_with(graph, inputs):
    network = run(graph, [Lower()]).form
    verify = Verification(inputs)
    run(network, [Rethreshold()], verify=verify)
    assert verify.checks[0].compared == 6 * 4 * (2 * 3 * 4 * 4 + 5)  # the relay by its own name
    with pytest.raises(PassError, match="population b.*before a membrane.*threshold 1.0, after"):
        run(network, [Rethreshold("b", 1.5)], verify=Verification(inputs))


def test_a_graph_pass_must_keep_every_spike_bit_for_bit(graph, inputs):
    with pytest.raises(PassError, match="nudge.*population sn1, step .* before a membrane"):
        run(graph, [Nudge()], verify=Verification(inputs))


def test_a_head_that_changed_is_found_though_no_spike_did(graph, inputs):
    with pytest.raises(PassError, match=r"head y, value \(\d, \d\)"):
        run(graph, [Nudge("out")], verify=Verification(inputs))
    with pytest.raises(PassError, match=r"head y, value \(\d, \d\)"):
        run(graph, [Lower(readout="other")], verify=Verification(inputs))


@pytest.mark.parametrize(("weight", "ties"), [(1.0, False), (1 - 1e-12, True)])
def test_a_membrane_at_the_threshold_is_a_tie_and_counted_apart(graph, inputs, weight, ties):
    fc = np.zeros((5, 48))
    fc[:, 0] = weight
    tensors = {**graph.tensors, "w": np.ones((3, 1, 3, 3)), "fc": fc}
    graph = Graph.build(graph.nodes.values(), tensors, graph.heads)
    verify = Verification(inputs)
    run(graph, [Lower(), Rethreshold("b", 1 - 1e-11)], verify=verify)
    assert bool(verify.ties) is ties


def test_with_reset_changes_every_neuron_and_nothing_else(graph):
    late = [replace(n, op=replace(n.op, when="next")) if isinstance(n.op, Spiking) else n
            for n in graph.nodes.values()]  # fmt: skip
    soft = with_reset(Graph.build(late, graph.tensors, graph.heads), "soft")
    assert {(n.op.reset, n.op.when) for n in soft.neurons} == {("soft", "now")}
    others = [n for n in soft.nodes.values() if not isinstance(n.op, Spiking)]
    assert others == [n for n in graph.nodes.values() if not isinstance(n.op, Spiking)]
