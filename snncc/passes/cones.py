"""Functions of a few spikes: affine, one threshold gate, or a sum of AND gates.

A group of elementwise ops over k spikes is its truth table (design, section 2). Row r of a table
has leaf i at bit k − 1 − i of r, as ``itertools.product`` counts.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

Table = tuple[float, ...]


@dataclass(frozen=True)
class Affine:
    """constant + Σ weights[i]·leaf i."""

    constant: float
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Threshold:
    """[Σ weights[i]·leaf i ≥ threshold], all whole numbers and as small as can be."""

    weights: tuple[int, ...]
    threshold: int


@dataclass(frozen=True)
class Moebius:
    """constant + Σ weights[i]·leaf i + Σ coefficient·AND(leaves): ``products`` by leaf indices."""

    constant: float
    weights: tuple[float, ...]
    products: tuple[tuple[tuple[int, ...], float], ...]


def rows(leaves: int) -> np.ndarray:
    """All assignments, (2^leaves, leaves)."""
    return np.array(list(itertools.product((0, 1), repeat=leaves)), dtype=np.float64).reshape(
        2**leaves, leaves
    )


@lru_cache(maxsize=1024)
def realise(table: Table) -> Affine | Threshold | Moebius:
    """The cheapest form of a truth table of length 2^k, in the order of the classes above."""
    leaves = len(table).bit_length() - 1
    expansion = moebius(table)
    if not expansion.products:
        return Affine(expansion.constant, expansion.weights)
    if set(table) <= {0.0, 1.0}:
        gate = threshold_gate(table, leaves)
        if gate is not None:
            return gate
    return expansion


def moebius(table: Table) -> Moebius:
    """The one multilinear polynomial that takes these values: c_S = Σ_{R⊆S} (−1)^|S−R| f(R).

    Coefficients that are rounding errors of the values (2⁻⁴⁰ of the largest) are zero.
    """
    noise = max(map(abs, table), default=0.0) * 2.0**-40
    leaves = len(table).bit_length() - 1
    cube = np.array(table, dtype=np.float64).reshape((2,) * leaves)
    for axis in range(leaves):
        low, high = np.split(cube, 2, axis)
        cube = np.concatenate([low, high - low], axis)
    weights = [0.0] * leaves
    products = []
    for index, coefficient in np.ndenumerate(cube):
        chosen = tuple(i for i, bit in enumerate(index) if bit)
        if len(chosen) == 1:
            weights[chosen[0]] = float(coefficient)
        elif len(chosen) > 1 and abs(coefficient) > noise:
            products.append((chosen, float(coefficient)))
    return Moebius(float(cube[(0,) * leaves]), tuple(weights), tuple(products))


def threshold_gate(table: Table, leaves: int) -> Threshold | None:
    """The gate with the smallest Σ|weight|, or None when the function is not separable.

    An integer program over w = w⁺ − w⁻ and θ: rows of value 1 reach θ, rows of value 0 stay at
    most θ − 1; among equal weights the smallest |θ| is taken.
    """
    assignments, values = rows(leaves), np.array(table)
    sign = np.where(values == 1, 1.0, -1.0)[:, None]
    matrix = np.hstack([assignments, -assignments, -np.ones((len(table), 1)),
                        np.ones((len(table), 1))]) * sign  # fmt: skip
    lower = np.where(values == 1, 0.0, 1.0)
    small = 1.0 / 1024
    cost = np.concatenate([np.ones(2 * leaves), [small, small]])
    found = milp(
        cost, constraints=LinearConstraint(matrix, lower, np.inf),
        integrality=np.ones(len(cost)), bounds=Bounds(0, 64),
    )  # fmt: skip
    if not found.success:
        return None
    x = np.rint(found.x).astype(int)
    weights = tuple(int(w) for w in x[:leaves] - x[leaves : 2 * leaves])
    threshold = int(x[-2] - x[-1])
    fired = assignments @ np.array(weights) >= threshold
    assert np.array_equal(fired, values == 1)
    return Threshold(weights, threshold)
