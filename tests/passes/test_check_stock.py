"""check-stock: each population that Lava's own processes do not compute, and why."""

from __future__ import annotations

import pytest

from snncc.ir import Neuron
from snncc.ir.text import parse_network
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.check_stock import CheckStock

TEXT = """
network plain steps=2 {
  source %in [2] spike
  neuron %a [2] {FIELDS}
    %in -> %a
    %a -> %a after 1
  neuron %b [2] {}
    %a -> %b
  gate %c [2] {decay=0.0, threshold=2.0, reset='soft'}
    %a -> %c
    %b -> %c
  readout %y [2] {}
    %c -> %y
    %in -> %y
    %a -> %y
}
"""


def findings(fields="", delays=0):
    network = parse_network(TEXT.replace("FIELDS", fields))
    return CheckStock()(BalanceDelays(delays)(network).form).findings


@pytest.mark.parametrize("fields", ["", "decay=0.5, threshold=0.7, bias=0.1"])
def test_1_hard_resets_from_0_gates_relays_and_loops_are_stock(fields):
    assert findings(fields) == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("reset='soft'", "a soft reset"),
        ("reset='none'", "no reset"),
        ("initial=0.5", "a membrane that does not start at 0"),
        ("current_decay=0.5", "a synaptic current"),
        ("when='next'", "hard reset one step late"),
        ("keep=0.25", "a reset that keeps a part"),
        (
            "reset='soft', when='both', initial=1.0",
            "reset in two steps and a membrane that does not start at 0",
        ),
    ],
)
def test_1_every_other_neuron_is_refused_with_the_reason(fields, reason):
    (error,) = findings(fields)
    assert (error.code, error.node, error.is_error) == ("SNN213", "a", True)
    assert error.message == f"a has {reason}"


def test_2_delay_lines_are_not_stock():
    (error,) = findings(delays=1)
    assert (error.code, error.node) == ("SNN202", "a")
    assert error.message == "the projection a -> c has a delay of 1 step"
    assert [e.code for e in findings("reset='soft'", delays=1)] == ["SNN213", "SNN202"]


def test_1_what_is_stock_is_what_the_neuron_says():
    assert Neuron().is_stock
    assert Neuron(decay=0.0, reset="soft").is_stock
    assert not Neuron(reset="soft").is_stock
