"""Every truth table of up to three leaves, and random ones of four, as `realise` reads them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.lowering.cones import Affine, Moebius, Threshold, moebius, realise, rows


def binary(table: tuple[float, ...]) -> tuple[int, ...]:
    """Two levels a leaf."""
    return (2,) * (len(table).bit_length() - 1)


def value(form: Affine | Threshold | Moebius, bits: np.ndarray) -> float:
    linear = float(np.dot(form.weights, bits))
    if isinstance(form, Threshold):
        return form.high if linear >= form.threshold else form.low
    products = form.products if isinstance(form, Moebius) else ()
    return form.constant + linear + sum(c * np.prod(bits[list(s)]) for s, c in products)


def holds(table: tuple[float, ...]) -> bool:
    form = realise(table, binary(table))
    bits = rows(binary(table))
    return all(value(form, row) == v for row, v in zip(bits, table, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("leaves", [1, 2, 3])
def test_every_boolean_function_of_few_leaves(leaves):
    for table in itertools.product((0.0, 1.0), repeat=2**leaves):
        assert holds(table), table


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=16, max_size=16))
def test_boolean_functions_of_four_leaves(table):
    assert holds(tuple(table))


@given(st.lists(st.integers(-3, 3), min_size=8, max_size=8))
def test_whole_valued_functions_of_three_leaves(table):
    assert holds(tuple(map(float, table)))


@pytest.mark.parametrize(
    ("table", "weights", "threshold"),
    [
        ((0, 0, 0, 1), (1, 1), 2),  # and
        ((0, 1, 1, 1), (1, 1), 1),  # or
        ((0, 1, 0, 0), (-1, 1), 1),  # not a, and b
        ((0, 0, 0, 1, 0, 1, 1, 1), (1, 1, 1), 2),  # majority
        ((0, 0, 0, 1, 1, 1, 1, 1), (2, 1, 1), 2),  # a or (b and c)
    ],
)
def test_gates_have_the_smallest_whole_weights(table, weights, threshold):
    assert realise(tuple(map(float, table)), binary(table)) == Threshold(weights, threshold)


def test_xor_is_a_sum_and_one_product():
    assert realise((0.0, 1.0, 1.0, 0.0), (2, 2)) == Moebius(0.0, (1.0, 1.0), (((0, 1), -2.0),))


def test_a_sum_of_inexact_floats_is_affine():
    a, b, c = 0.1, 0.2, 0.7
    table = tuple(a * x + b * y + c * z for x, y, z in itertools.product((0, 1), repeat=3))
    assert isinstance(realise(table, binary(table)), Affine)
    assert moebius(table, binary(table)).products == ()
