"""`lower` is a function: what it says depends on the Graph alone, and no pass asks for it twice."""

from __future__ import annotations

import torch
from torch import nn

import snncc
from snncc.lowering import lower as lowering
from snncc.lowering.lower import lower
from snncc.nn import IF
from snncc.pipeline import frontend_passes, run


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.sn1 = nn.Linear(4, 6), IF()
        self.fc2, self.sn2 = nn.Linear(6, 6), IF()
        self.spike, self.auxiliary = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        s = self.sn1(self.fc1(x))
        y = self.fc2(s)
        return self.spike(self.sn2(y)).mean(0), self.auxiliary(torch.tanh(y)).mean(0)


def graph_of(module: nn.Module):
    return snncc.trace(module.eval(), (torch.rand(4, 1, 4) > 0.5).float())


def test_two_heads_are_lowered_once_each(monkeypatch):
    graph = graph_of(TwoHeads())
    asked = []
    real = lowering._lowered
    monkeypatch.setattr(lowering, "_lowered", lambda *given: (asked.append(given), real(*given))[1])
    result = run(graph, frontend_passes())
    assert result.form.populations
    assert [next(iter(each.heads)) for each, _ in asked] == list(graph.heads)


def test_one_head_is_lowered_once(monkeypatch):
    graph = graph_of(nn.Sequential(nn.Linear(4, 3), IF()))
    asked = []
    real = lowering._lowered
    monkeypatch.setattr(lowering, "_lowered", lambda *given: (asked.append(given), real(*given))[1])
    run(graph, frontend_passes())
    assert len(asked) == 1


def test_a_graph_and_its_copies_are_lowered_once():
    graph = graph_of(nn.Sequential(nn.Linear(4, 3), IF()))
    found = lower(graph)
    assert lower(graph.copy()) is found
    assert lower(graph.single(next(iter(graph.heads)))) is found
    assert lower(graph, strict=True) is not found
    assert lower(graph.keep(graph.nodes)) is not found
