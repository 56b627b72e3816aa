"""Functions of a few values that are finite: affine, one threshold gate, or a sum of AND gates.

A group of elementwise ops over k leaves, each with finitely many possible values, is its table of
values (design, section 2). Each leaf is read through *bits*: bit (leaf, j) is [leaf ≥ its value
number j], for j from 1. A spike has the one bit that it is. Row r of a table counts through the
values of the leaves as ``itertools.product`` does, the last leaf fastest.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

Table = tuple[float, ...]

Levels = tuple[int, ...]
"""How many values each leaf can take."""

NOISE = 2.0**-40
"""Numbers that differ by less, of the largest one, may be one number that was rounded twice."""

SAME = 2.0**-48
"""Averages that differ by less, of the largest one, are one number that was divided twice."""

GATE_INPUTS = 8
"""So many bits a function may depend on to be tried as one threshold gate."""


@dataclass(frozen=True)
class Affine:
    """constant + Σ weights[i]·bit i."""

    constant: float
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Threshold:
    """``high`` where Σ weights[i]·bit i ≥ threshold, else ``low``.

    Weights and threshold are whole numbers and as small as can be.
    """

    weights: tuple[int, ...]
    threshold: int
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Moebius:
    """constant + Σ weights[i]·bit i + Σ coefficient·AND(bits): ``products`` by bit numbers."""

    constant: float
    weights: tuple[float, ...]
    products: tuple[tuple[tuple[int, ...], float], ...]


def levels_of(members: Sequence[float]) -> tuple[tuple[float, ...], ...]:
    """The values of a leaf, those together that differ by no more than rounding.

    An average of 6 spikes is k/2/3 in one window of a pool and k/3/2 in another, whose floats may
    differ. No sum of weighted spikes can tell these apart.
    """
    noise = max(map(abs, members), default=0.0) * SAME
    levels: list[tuple[float, ...]] = []
    for value in members:
        if levels and value - levels[-1][-1] <= noise:
            levels[-1] += (value,)
        else:
            levels.append((value,))
    return tuple(levels)


def by_level(values: np.ndarray, leaves: Sequence[tuple[tuple[float, ...], ...]]) -> Table | None:
    """The table over the levels of the leaves, from the values for all their members.

    None where the function tells members of one level apart by more than rounding.
    """
    cube = values.reshape([sum(map(len, levels)) for levels in leaves])
    low = high = cube
    for axis, levels in enumerate(leaves):
        starts = np.cumsum([0, *map(len, levels[:-1])])
        low = np.minimum.reduceat(low, starts, axis)
        high = np.maximum.reduceat(high, starts, axis)
    if (high - low > np.abs(cube).max() * NOISE).any():
        return None
    return tuple(float(value) + 0.0 for value in low.ravel())


def bits(levels: Levels) -> tuple[tuple[int, int], ...]:
    """All bits, (leaf, j), in the order in which forms number them."""
    return tuple((leaf, j) for leaf, count in enumerate(levels) for j in range(1, count))


def rows(levels: Levels) -> np.ndarray:
    """The bits of every row of a table, (rows, bits)."""
    chosen = itertools.product(*map(range, levels))
    read = [[float(row[leaf] >= j) for leaf, j in bits(levels)] for row in chosen]
    return np.array(read, dtype=np.float64).reshape(len(read), -1)


@lru_cache(maxsize=1024)
def realise(table: Table, levels: Levels) -> Affine | Threshold | Moebius:
    """The cheapest form of a table of values, in the order of the classes above."""
    expansion = moebius(table, levels)
    if not expansion.products:
        return Affine(expansion.constant, expansion.weights)
    values = sorted(set(table))
    if len(values) == 2:
        fires = tuple(float(value == values[1]) for value in table)
        gate = threshold_gate(fires, levels, used(expansion))
        if gate is not None:
            return replace(gate, low=values[0], high=values[1])
    return expansion


def used(form: Affine | Threshold | Moebius) -> list[int]:
    """The bits that a function depends on."""
    alone = (i for i, weight in enumerate(form.weights) if weight)
    products = form.products if isinstance(form, Moebius) else ()
    return sorted({*alone, *(i for product, _ in products for i in product)})


def gates_of(form: Affine | Threshold | Moebius) -> int:
    """How many gates compute the function, those for the bits of counts included."""
    products = len(form.products) if isinstance(form, Moebius) else 0
    return len(used(form)) + products + isinstance(form, Threshold)


def moebius(table: Table, levels: Levels) -> Moebius:
    """The one sum of ANDs of bits, at most one bit a leaf, that takes these values.

    Its coefficients are the differences of the table along every axis; over spikes this is the
    Möbius transform c_S = Σ_{R⊆S} (−1)^|S−R| f(R). Coefficients that are rounding errors of the
    values (``NOISE``) are zero.
    """
    noise = max(map(abs, table), default=0.0) * NOISE
    cube = np.array(table, dtype=np.float64).reshape(levels)
    for axis in range(len(levels)):
        cube = np.diff(cube, axis=axis, prepend=np.zeros_like(cube.take([0], axis)))
    number = {bit: i for i, bit in enumerate(bits(levels))}
    weights = [0.0] * len(number)
    products = []
    for index, coefficient in np.ndenumerate(cube):
        chosen = tuple(number[leaf, j] for leaf, j in enumerate(index) if j)
        if abs(coefficient) <= noise:
            continue
        if len(chosen) == 1:
            weights[chosen[0]] = float(coefficient)
        elif chosen:
            products.append((chosen, float(coefficient)))
    return Moebius(float(cube[(0,) * len(levels)]), tuple(weights), tuple(products))


def is_exact(form: Affine | Threshold | Moebius, table: Table, levels: Levels) -> bool:
    """Whether a form yields every value of its table, but for rounding of that value.

    Not where large and small values stand together: their differences lose the small ones.
    """
    read = rows(levels)
    match form:
        case Threshold():
            fires = read @ np.array(form.weights) >= form.threshold
            found = np.where(fires, form.high, form.low)
        case Affine() | Moebius():
            found = form.constant + read @ np.array(form.weights, dtype=np.float64)
            for chosen, coefficient in getattr(form, "products", ()):
                found = found + coefficient * read[:, list(chosen)].all(1)
    values = np.array(table)
    return bool(
        (np.abs(found - values) <= NOISE * np.maximum(np.abs(values), _least(values))).all()
    )


def _least(values: np.ndarray) -> float:
    """The smallest difference of two values, or the largest value where there is but one."""
    apart = np.diff(np.unique(values))
    return float(apart.min() if len(apart) else np.abs(values).max(initial=0.0))


def threshold_gate(
    table: Table, levels: Levels, among: Sequence[int] | None = None
) -> Threshold | None:
    """The gate with the smallest Σ|weight|, or None when the function is not separable.

    An integer program over w = w⁺ − w⁻ and θ: rows of value 1 reach θ, rows of value 0 stay at
    most θ − 1; among equal weights the smallest |θ| is taken. Only the bits ``among`` get weights.
    """
    assignments, values = rows(levels), np.array(table)
    chosen = list(range(assignments.shape[1]) if among is None else among)
    if len(chosen) > GATE_INPUTS:
        return None
    sign = np.where(values == 1, 1.0, -1.0)[:, None]
    ones = np.ones((len(table), 1))
    read = assignments[:, chosen]
    matrix = np.unique(np.hstack([read, -read, -ones, ones]) * sign, axis=0)
    lower = np.where(matrix[:, -1] > 0, 0.0, 1.0)
    small = 1.0 / 1024
    cost = np.concatenate([np.ones(2 * len(chosen)), [small, small]])
    found = milp(
        cost, constraints=LinearConstraint(matrix, lower, np.inf),
        integrality=np.ones(len(cost)), bounds=Bounds(0, 64),
    )  # fmt: skip
    if not found.success:
        return None
    x = np.rint(found.x).astype(int)
    weights = np.zeros(assignments.shape[1], dtype=int)
    weights[chosen] = x[: len(chosen)] - x[len(chosen) : 2 * len(chosen)]
    threshold = int(x[-2] - x[-1])
    assert np.array_equal(assignments @ weights >= threshold, values == 1)
    return Threshold(tuple(map(int, weights)), threshold)
