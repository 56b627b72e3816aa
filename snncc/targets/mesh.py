"""The mesh that the chips of a board make together: positions, distances, routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from snncc.targets.chip import Chip, board

EAST, WEST, NORTH, SOUTH = range(4)
"""The links that leave a tile: link = 4 · place of the tile on the board + direction."""


@dataclass(frozen=True)
class Squares:
    """A square of a picture of the board for each core: what it is, its number, column and row.

    The arrays are int64 of the shape of the cores. The cores of a tile lie in a square.
    """

    what: Literal["core", "tile", "chip"]
    number: np.ndarray
    column: np.ndarray
    row: np.ndarray


@dataclass(frozen=True)
class Mesh:
    """The tiles of ``chips`` chips, on the squarest board of just so many.

    Chip c is in column c mod columns and row c div columns of the board, tile t of a chip in
    column t mod ``tile_columns`` and row t div ``tile_columns`` of the chip. South is down: rows
    grow. The board's tiles are one mesh, also across chips.

    Core numbers are those of a `Mapping`: (chip · tiles + tile) · cores_per_tile + index.
    """

    chip: Chip
    chips: int = 1

    @property
    def columns(self) -> int:
        """Tiles from west to east on the whole board."""
        return board(self.chips)[0] * self.chip.tile_columns

    @property
    def rows(self) -> int:
        """Tiles from north to south."""
        return board(self.chips)[1] * self.chip.tile_rows

    @property
    def cores(self) -> int:
        return self.chips * self.chip.cores

    @property
    def links(self) -> int:
        """One past the largest link number; links off the board are numbered and never used."""
        return 4 * self.columns * self.rows

    def position(self, core: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column and row, on the board, of the tile of each core; int64 of the same shape."""
        chip = self.chip
        tile = np.asarray(core, np.int64) // chip.cores_per_tile
        which, inside = np.divmod(tile, chip.tiles)
        board_row, board_column = np.divmod(which, board(self.chips)[0])
        row, column = np.divmod(inside, chip.tile_columns)
        return board_column * chip.tile_columns + column, board_row * chip.tile_rows + row

    def squares(self, core: np.ndarray, most: int) -> Squares:
        """How to draw cores as at most ``most`` squares: cores, else tiles, else chips."""
        chip, core = self.chip, np.asarray(core, np.int64)
        column, row = self.position(core)
        if len(np.unique(core)) <= most:
            side = int(np.ceil(np.sqrt(chip.cores_per_tile)))
            down, along = np.divmod(core % chip.cores_per_tile, side)
            return Squares("core", core, column * side + along, row * side + down)
        tile = core // chip.cores_per_tile
        if len(np.unique(tile)) <= most:
            return Squares("tile", tile, column, row)
        return Squares(
            "chip", tile // chip.tiles, column // chip.tile_columns, row // chip.tile_rows
        )

    def core(self, column: np.ndarray, row: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The core at a position, the reverse of `position`."""
        chip = self.chip
        board_column, inside_column = np.divmod(column, chip.tile_columns)
        board_row, inside_row = np.divmod(row, chip.tile_rows)
        which = board_row * board(self.chips)[0] + board_column
        tile = which * chip.tiles + inside_row * chip.tile_columns + inside_column
        return np.asarray(tile * chip.cores_per_tile + index)

    def hops(
        self, source: np.ndarray, target: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hops east-west and north-south between tiles of a chip, and hops between chips.

        A step from one chip to the next counts as a hop between chips and as nothing else.
        """
        (x, y), (to_x, to_y) = self.position(source), self.position(target)
        columns, rows = self.chip.tile_columns, self.chip.tile_rows
        across = np.abs(to_x // columns - x // columns)
        down = np.abs(to_y // rows - y // rows)
        return np.abs(to_x - x) - across, np.abs(to_y - y) - down, across + down

    def route(self, source: int, target: int) -> np.ndarray:
        """The links a spike takes from one core to another, in order: along the row first."""
        (x, to_x), (y, to_y) = (axis.tolist() for axis in self.position(np.array([source, target])))
        columns = range(x, to_x, 1 if to_x > x else -1)
        rows = range(y, to_y, 1 if to_y > y else -1)
        across, down = EAST if to_x > x else WEST, SOUTH if to_y > y else NORTH
        links = [4 * (y * self.columns + column) + across for column in columns]
        links += [4 * (row * self.columns + to_x) + down for row in rows]
        return np.array(links, np.int64)

    def loads(self, source: np.ndarray, target: np.ndarray, spikes: np.ndarray) -> np.ndarray:
        """What each link carries: (links,), of the dtype of ``spikes``.

        ``spikes[i]`` go from core ``source[i]`` to core ``target[i]``.
        """
        (x, y), (to_x, to_y) = self.position(source), self.position(target)
        # Each run of links is a +spikes where it begins and a −spikes where it ends.
        loads = np.zeros((4, self.rows + 1, self.columns + 1), spikes.dtype)
        for direction, forward in ((EAST, True), (WEST, False)):
            some = to_x > x if forward else to_x < x
            first, last = (x, to_x) if forward else (to_x + 1, x + 1)
            np.add.at(loads[direction], (y[some], first[some]), spikes[some])
            np.subtract.at(loads[direction], (y[some], last[some]), spikes[some])
        for direction, forward in ((SOUTH, True), (NORTH, False)):
            some = to_y > y if forward else to_y < y
            first, last = (y, to_y) if forward else (to_y + 1, y + 1)
            np.add.at(loads[direction], (first[some], to_x[some]), spikes[some])
            np.subtract.at(loads[direction], (last[some], to_x[some]), spikes[some])
        loads[[EAST, WEST]] = loads[[EAST, WEST]].cumsum(2)
        loads[[NORTH, SOUTH]] = loads[[NORTH, SOUTH]].cumsum(1)
        return loads[:, :-1, :-1].transpose(1, 2, 0).ravel()
