"""Ties are what rounding explains, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from snncc.ir.interpreter import TensorStore, Written
from snncc.ir.interpreter.rounding import _Exact, is_exact, is_tie
from snncc.ir.ops import Ref, Spiking

STORE = TensorStore({}, torch.float64)
IF = Spiking(threshold=1.0)
THIRD = Spiking(leak=1 / 3, decay_input=True, threshold=1.0)


def currents(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("op", "values", "tie"),
    [
        (IF, (1.0,), False),  # on the threshold, and every number on the way is exact
        (IF, (0.5, 0.5), False),
        (IF, (0.1, 0.2, 0.7), True),  # 0.1 + 0.2 is rounded
        (IF, (0.1, 0.2, 0.6), False),  # and too far away
        (THIRD, (3.0,), True),  # 3 · (1/3) is rounded to 1
        (replace(THIRD, leak=0.5), (2.0,), False),
        (replace(IF, threshold=0.3), (0.1, 0.1, 0.1), True),
    ],
)
def test_a_tie_takes_rounding(op, values, tie):
    mine = currents(*values)
    assert is_tie(op, (), mine, mine, STORE, torch.float64) is tie


def test_currents_in_another_order_are_a_tie_near_the_threshold_only():
    mine, theirs = currents(1.0), currents(1.0 - 2**-52)
    assert is_tie(IF, (), mine, theirs, STORE, torch.float64)
    assert not is_tie(IF, (), mine, currents(0.9), STORE, torch.float64)
    far = 2 * mine
    assert not is_tie(IF, (), far, far - 2**-51, STORE, torch.float64)


def test_float32_rounds_where_float64_does_not():
    mine = currents(1 - 2**-30, 2**-30)
    assert is_exact(IF, (), mine, STORE)
    assert not is_exact(IF, (), mine, STORE, torch.float32)
    assert not is_tie(IF, (), mine, mine, STORE, torch.float64)
    assert is_tie(IF, (), mine, mine, STORE, torch.float32)


def test_a_neuron_has_its_own_parameters():
    store = TensorStore({"theta": np.array([[1.0], [3.0]])}, torch.float64)
    op = Spiking(threshold=Ref("theta"))
    mine = currents(1.0, 2.0)
    assert not is_tie(op, (0, 4), mine[:1], mine[:1], store, torch.float64)
    assert not is_tie(op, (1, 4), mine, mine, store, torch.float64)
    noisy = currents(2.9, 0.1)
    assert is_tie(op, (1, 4), noisy, noisy, store, torch.float64)


def test_infinity_is_no_tie():
    mine = currents(float("inf"))
    assert not is_tie(IF, (), mine, mine, STORE, torch.float64)


RESETS = st.sampled_from([("hard", "now"), ("soft", "now"), ("none", "now"), ("hard", "next"),
                          ("soft", "next"), ("soft", "both")])  # fmt: skip
QUARTERS = st.integers(-16, 16).map(lambda n: n / 4)


@given(
    st.lists(QUARTERS, min_size=1, max_size=8), RESETS, st.sampled_from([-0.5, 0.0, 0.5]),
    st.sampled_from([None, 0.5]), st.sampled_from([0.0, 0.5]), st.booleans(), st.booleans(),
    st.sampled_from([0.0, 0.5, -0.25]),
)  # fmt: skip
def test_fractions_follow_the_written_neuron(
    values, reset, leak, decay, current, strict, gain, keep
):
    """On dyadic numbers float64 is exact, so that both must be the same number at every step."""
    op = Spiking(
        leak, gain, 1.0, reset[0], 0.25, 0.25, strict, decay, current, reset[1], keep, -keep
    )  # fmt: skip
    cell, exact = Written(op, (), STORE), _Exact(op, (), STORE)
    for value in values:
        _, h = cell(torch.tensor(value, dtype=torch.float64))
        assert exact.step(Fraction(value)) == Fraction(float(h))
        assert exact.v == Fraction(float(cell.v))
    assert is_exact(op, (), currents(*values), STORE)


@given(st.lists(QUARTERS, min_size=1, max_size=8), st.sampled_from([-0.5, 0.0, 0.5]), st.booleans())
def test_the_written_neuron_charges_as_its_definition_says(values, leak, gain):
    op = Spiking(leak, gain, 1.0, "none", 0.25, 0.5)
    cell, v = Written(op, (), STORE), 0.5
    for x in values:
        _, h = cell(torch.tensor(x, dtype=torch.float64))
        v = v + leak * (x - (v - 0.25)) if gain else v - leak * (v - 0.25) + x
        assert float(h) == v


def test_without_a_leak_the_input_is_added_or_has_no_weight():
    for gain, left in ((False, 3.25), (True, 0.25)):
        op = Spiking(0.0, gain, 9.0, initial=0.25)
        cell, exact = Written(op, (), STORE), _Exact(op, (), STORE)
        _, h = cell(torch.tensor(3.0, dtype=torch.float64))
        assert float(h) == exact.step(Fraction(3)) == left
