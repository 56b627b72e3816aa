"""Positions, distances and routes on a board, against a spike that walks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.targets.chip import built_in
from snncc.targets.mesh import EAST, NORTH, SOUTH, WEST, Mesh

SMALL = replace(built_in("loihi1"), tile_columns=3, tile_rows=2, cores_per_tile=2)
MESHES = st.integers(1, 7).map(lambda chips: Mesh(SMALL, chips))


def test_core_numbers_are_those_of_a_mapping():
    mesh = Mesh(SMALL, 4)  # a board of 2 x 2 chips
    assert (mesh.columns, mesh.rows, mesh.cores) == (6, 4, 48)
    core = np.array([0, 1, 2, 6, 12, 24, 35])
    x, y = mesh.position(core)
    assert list(zip(x, y, strict=True)) == [(0, 0), (0, 0), (1, 0), (0, 1), (3, 0), (0, 2), (2, 3)]
    assert np.array_equal(mesh.core(x, y, core % 2), core)


def test_a_step_between_chips_is_no_hop_between_tiles():
    mesh = Mesh(SMALL, 4)
    east_west, north_south, chips = mesh.hops(np.array([0, 0, 2]), np.array([12, 47, 2]))
    assert list(east_west) == [2, 4, 0]
    assert list(north_south) == [0, 2, 0]
    assert list(chips) == [1, 2, 0]


@given(st.integers(1, 200))
def test_there_is_a_chip_wherever_a_route_may_lead(chips):
    mesh = Mesh(SMALL, chips)
    assert mesh.columns * mesh.rows * SMALL.cores_per_tile == mesh.cores


@given(MESHES, st.data())
def test_a_route_walks_from_source_to_target(mesh, data):
    source, target = (data.draw(st.integers(0, mesh.cores - 1)) for _ in "st")
    x, y = (int(value) for value in mesh.position(np.array(source)))
    step = {EAST: (1, 0), WEST: (-1, 0), NORTH: (0, -1), SOUTH: (0, 1)}
    turned = False
    for link in mesh.route(source, target):
        place, direction = divmod(int(link), 4)
        assert divmod(place, mesh.columns) == (y, x)
        turned |= direction in (NORTH, SOUTH)
        assert turned == (direction in (NORTH, SOUTH)), "east-west comes first"
        x, y = x + step[direction][0], y + step[direction][1]
    assert (x, y) == tuple(int(value) for value in mesh.position(np.array(target)))
    hops = sum(int(part) for part in mesh.hops(np.array(source), np.array(target)))
    assert len(mesh.route(source, target)) == hops


@given(MESHES, st.integers(0, 2**32 - 1))
def test_the_loads_are_those_of_all_routes(mesh, seed):
    random = np.random.default_rng(seed)
    source, target = random.integers(0, mesh.cores, (2, 20))
    spikes = random.integers(0, 9, 20)
    expected = np.zeros(mesh.links, np.int64)
    for a, b, count in zip(source, target, spikes, strict=True):
        expected[mesh.route(a, b)] += count
    assert np.array_equal(mesh.loads(source, target, spikes), expected)


@pytest.mark.parametrize("chips", [1, 1152])
def test_a_board_as_large_as_hala_point(chips):
    mesh = Mesh(built_in("loihi2"), chips)
    core = np.arange(mesh.cores)
    x, y = mesh.position(core)
    assert x.max() < mesh.columns
    assert y.max() < mesh.rows
    assert np.array_equal(mesh.core(x, y, core % 4), core)


def test_many_cores_are_drawn_by_tile_or_by_chip():
    mesh = Mesh(built_in("loihi1"), 2)  # 8 × 4 tiles of 4 cores a chip, side by side
    cores = np.array([0, 1, 2, 3, 5, 128])
    by_core = mesh.squares(cores, 6)
    assert by_core.what == "core"
    assert list(zip(by_core.column, by_core.row, strict=True)) == [
        (0, 0), (1, 0), (0, 1), (1, 1), (3, 0), (16, 0),
    ]  # fmt: skip
    by_tile = mesh.squares(cores, 5)
    assert by_tile.what == "tile"
    assert by_tile.number.tolist() == [0, 0, 0, 0, 1, 32]
    assert by_tile.column.tolist() == [0, 0, 0, 0, 1, 8]
    by_chip = mesh.squares(cores, 2)
    assert by_chip.what == "chip"
    assert by_chip.number.tolist() == by_chip.column.tolist() == [0, 0, 0, 0, 0, 1]
    assert by_chip.row.tolist() == [0] * 6
