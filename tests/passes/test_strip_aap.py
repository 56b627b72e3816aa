"""select-head and strip-aap: which head stays, what goes, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from snncc.frontends.torch import arrange, trace
from snncc.ir.interpreter import run_graph
from snncc.nn import IF, DualStreamResNet
from snncc.passes.check_spike_only import CheckSpikeOnly
from snncc.passes.select_head import SelectHead
from snncc.passes.strip_aap import StripAap


class Dual(nn.Module):
    """Two blocks with an auxiliary path; ``leak(self, o, a)`` is what the second block reads."""

    def __init__(self, leak=lambda m, o, a: o, merge=lambda y, z: (y, z)):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.ModuleList(nn.Conv2d(2 if i == 0 else 4, 4, 3, padding=1) for i in range(4))
        for conv in self.conv:
            conv.weight.data *= 3
        self.sn = nn.ModuleList(IF() for _ in range(3))
        self.project, self.norm, self.fc = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.leak, self.merge = leak, merge

    def over(self, layer, x):
        return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def head(self, x):
        return self.fc(x.mean((-1, -2)).mean(0))

    def forward(self, x):
        o = a = self.sn[0](self.over(self.conv[0], x))
        s = self.sn[1](self.over(self.conv[1], o))
        a = F.relu(self.over(self.norm, self.over(self.project, a))) + s
        o = o * (1 - s)
        s = self.sn[2](self.over(self.conv[2], self.leak(self, o, a)))
        return self.merge(self.head(o * (1 - s)), self.head(a + s))


X = (torch.rand(4, 3, 2, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def traced(module):
    return trace(module.eval(), X, input="spike")


def codes(outcome):
    return [f.code for f in outcome.findings]


def test_the_only_spike_only_head_is_chosen_and_the_report_says_why():
    outcome = SelectHead()(traced(Dual()))
    assert next(iter(outcome.form.heads)) == "0"
    assert codes(outcome) == ["SNN504"]
    assert "1 is not (SNN105)" in outcome.findings[0].message


@pytest.mark.parametrize("head", ["1", "0"])
def test_a_head_that_was_asked_for(head):
    assert next(iter(SelectHead(head)(traced(Dual())).form.heads)) == head


def test_a_head_that_is_not_there():
    assert codes(SelectHead("7")(traced(Dual()))) == ["SNN313"]


def test_two_heads_that_are_both_spike_only():
    outcome = SelectHead()(traced(DualStreamResNet(widths=(4,), blocks=(1,), zero_init=False)))
    assert codes(outcome) == ["SNN403"]


def test_no_head_is_spike_only_and_each_says_why():
    class Both(Dual):
        def forward(self, x):
            s = self.sn[0](self.over(self.conv[0], x))
            pooled = self.sn[1](F.max_pool3d(self.over(self.conv[1], s), (1, 2, 2)))
            return self.head(pooled), self.head(F.relu(self.over(self.conv[2], s)))

    outcome = SelectHead()(traced(Both()))
    assert codes(outcome) == ["SNN104", "SNN105", "SNN403"]
    assert "0 (SNN104), 1 (SNN105)" in outcome.findings[2].message
    assert "mend" in outcome.findings[2].help  # and pick none: each of them fails


def test_what_the_head_does_not_read_goes_bit_for_bit():  # rules 1 and 2
    graph = SelectHead()(traced(Dual())).form
    outcome = StripAap()(graph)
    assert outcome.ok
    stripped = outcome.form
    assert set(stripped.heads) == {"0"}
    gone = set(outcome.report.nodes)
    assert {"project", "norm"} <= gone
    assert outcome.report.parameters == 4 * 4 + 4 + 4 + 4  # project, γ and β
    for node in stripped.nodes.values():
        assert not gone & set(node.inputs)
    given = arrange(X, graph)
    before, after = (run_graph(g, given)[g.heads["0"]] for g in (graph, stripped))
    assert torch.equal(before, after)


LEAKS = {
    "current into the stream": (lambda m, o, a: o + 0.1 * a, "add:2"),
    "the value itself": (lambda m, o, a: a, "add:2"),
    "by a concat": (lambda m, o, a: torch.cat([o[:, :, :2], a[:, :, :2]], 2), "add:2"),
    "a projection of it": (lambda m, o, a: o + m.over(m.conv[3], a), "add:2"),
}


@pytest.mark.parametrize("leak", [leak for leak, _ in LEAKS.values()], ids=LEAKS)
@pytest.mark.parametrize("head", ["", "0"])
def test_a_leak_is_refused_with_its_edge(leak, head):  # rule 3
    chosen = SelectHead(head)(traced(Dual(leak)))
    outcome = chosen if not chosen.ok else StripAap()(chosen.form)
    errors = [f for f in outcome.findings if f.is_error]
    assert {f.code for f in errors} == {"SNN401"}
    assert "by the edge add -> " in errors[0].message
    assert errors[0].location.file.endswith("test_strip_aap.py")


def test_reading_the_spike_path_is_no_leak():
    outcome = StripAap()(SelectHead()(traced(Dual())).form)
    assert codes(outcome) == ["SNN404"]


MERGES = {
    "mean": lambda y, z: (y + z) / 2,
    "weighted": lambda y, z: 0.7 * z + 0.3 * y,
    "softmax of the sum": lambda y, z: (y + z).softmax(-1),
}


@pytest.mark.parametrize("merge", MERGES.values(), ids=MERGES)
def test_a_merged_output_is_cut_only_when_told(merge):  # rule 4
    graph = SelectHead()(traced(Dual(merge=merge))).form
    assert codes(StripAap()(graph)) == ["SNN402"]
    cut = StripAap(cut_merge=True)(graph)
    assert cut.ok
    assert CheckSpikeOnly()(cut.form).ok
    assert not any(name.startswith(("project", "norm")) for name in cut.form.nodes)


def test_one_real_valued_head_is_the_checks_business():
    graph = SelectHead("1")(traced(Dual())).form
    stripped = StripAap()(graph)
    assert stripped.ok
    assert codes(CheckSpikeOnly()(stripped.form)) == ["SNN105"]
