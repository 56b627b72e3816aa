"""The inner loops of partition and place against the same in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from snncc.mapping.searching import change_places, nearest_with_room

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(0, 12))
def test_the_nearest_core_with_room(seed, cores):
    random = np.random.default_rng(seed)
    free = random.integers(0, 4, (16, 3)).astype(float)
    kinds, need = random.integers(0, 2, 16), random.integers(0, 4, 3).astype(float)
    below, above = np.arange(16), np.arange(16)
    for core in random.permutation(16)[: random.integers(0, 16)]:
        free[core] = -1
        below[core], above[core] = core - 1, core + 1
    for near in random.integers(0, max(cores, 1), 4).tolist():
        fits = np.flatnonzero((need <= free[:cores]).all(1) & (kinds[:cores] == 1))
        expected = int(fits[np.abs(fits - near).argmin()]) if len(fits) else -1
        found = nearest_with_room(free, kinds, cores, below, above, need, 1, near)
        assert found == expected


@given(SEEDS)
def test_places_change_only_to_save_and_the_sum_is_exact(seed):
    random = np.random.default_rng(seed)
    traffic = np.triu(random.random((10, 10)) * (random.random((10, 10)) < 0.5), 1)
    flow = sparse.csr_array(traffic + traffic.T)
    x, y = random.permutation(10), random.integers(0, 3, 10)
    first, second = random.permutation(10)[:8].reshape(2, 4)

    def cost():
        apart = np.abs(x[:, None] - x) + np.abs(y[:, None] - y)
        return float((flow.toarray() * apart).sum())

    before, places, changed = cost(), (x.copy(), y.copy()), np.zeros(4, bool)
    saved = change_places(flow.indptr, flow.indices, flow.data, x, y, first, second, changed)
    assert saved >= 0
    assert before - cost() == pytest.approx(saved)
    assert changed.any() == (saved > 0)
    for was, now in zip(places, (x, y), strict=True):
        expected = was.copy()
        expected[first[changed]], expected[second[changed]] = (
            was[second[changed]],
            was[first[changed]],
        )
        assert np.array_equal(now, expected)
