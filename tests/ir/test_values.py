"""Value sets: exact images, widening, and a text that parses back."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from snncc.ir.values import LIMIT, REAL, SPIKE, ValueSet

members = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6)


@given(members)
def test_the_text_parses_back(values):
    one = ValueSet.of(values)
    assert ValueSet.parse(str(one)) == one


@given(members, members)
def test_an_image_holds_every_sum_and_nothing_else(a, b):
    image = ValueSet.of(a).image(lambda x, y: x + y, ValueSet.of(b))
    assert set(image.members) == {float(x) + float(y) for x in a for y in b}


def test_what_is_a_spike_and_what_a_count():
    assert SPIKE.is_spike
    assert SPIKE.is_count
    assert ValueSet.of([0]).is_spike
    assert not ValueSet.of([0, 2]).is_spike
    assert ValueSet.of(range(5)).is_count
    assert not ValueSet.of([-1, 1]).is_count
    assert not ValueSet.of([0, 0.25]).is_count
    assert not REAL.is_finite


def test_the_largest_member():
    assert ValueSet.of([3, -1, 2.5]).largest == 3
    assert REAL.largest == math.inf


def test_too_many_values_are_any_value():
    assert ValueSet.of(range(LIMIT)).is_finite
    assert ValueSet.of(range(LIMIT + 1)) == REAL
    assert REAL.image(lambda x: x) == REAL


def test_texts():
    texts = ["real", "{0,1}", "{0..3}", "{-1,0,1}", "{0,0.25,0.5}"]
    assert [str(ValueSet.parse(text)) for text in texts] == texts
