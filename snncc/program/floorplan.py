"""How a network lies on its cores: a table of what is full, and a picture of the mesh."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from snncc.ir.mapping import Mapping as CoreMapping
from snncc.mapping.reports import Cut, Placed, Routed
from snncc.reports import Reports
from snncc.targets.chip import Chip
from snncc.targets.mesh import Mesh

WIDTH = 860.0
"""Of a picture."""

MANY = 20_000
"""Cores; of more the picture shows tiles."""

_KEY_COLUMNS, _KEY_MOST, _KEY_LETTERS = 3, 45, 38


def table(reports: Reports) -> list[str]:
    """Lines of text from the reports of partition, place and route."""
    cut, placed, routed = reports[Cut], reports[Placed], reports[Routed]
    least = cut.cores_at_least
    lines = [
        f"{cut.cores:,} cores on {cut.chips:,} chips of {cut.chip}; at least "
        f"{cut.least:,} cores whatever the mapping",
        "",
        f"{'':<10}{'mean':>8}{'max':>8}{'cores at least':>16}",
    ]
    for what, used in cut.utilisation.items():
        bound = f"{least[what]:,}" if what in least else "-"
        lines.append(f"{what:<10}{used['mean']:>8.1%}{used['max']:>8.1%}{bound:>16}")
    lines += [
        "",
        f"largest synaptic work of a core over the mean  {cut.largest_work_over_mean:.3f}",
        f"spikes × hops per step  {placed.hops:,.0f}; at random {placed.hops_at_random:,.0f}",
        f"spikes on the busiest link  {routed.spikes_on_the_busiest_link:,.0f}, "
        f"{routed.busiest_link}; the mean {routed.spikes_on_the_mean_link:,.0f}",
        "",
        f"{'place':<40}{'neurons':>12}{'cores':>8}",
    ]
    lines += [
        f"{name:<40}{row['neurons']:>12,}{row['cores']:>8,}" for name, row in cut.places.items()
    ]
    return lines


def picture(mapping: CoreMapping, chip: Chip) -> str:
    """The board as SVG: a square a core, in the colour of the place it holds most neurons of.

    Colours go round the wheel from the first place to the last, as the key below says; the fuller
    a core, the darker. Of a board with more than `MANY` cores a square is a tile.
    """
    mesh = Mesh(chip, mapping.chips)
    side = int(np.ceil(np.sqrt(chip.cores_per_tile))) if mesh.cores <= MANY else 1
    room = WIDTH / mesh.columns
    gap = min(2.0, room / 6)
    board = _Board(mapping, mesh, side, min((room - gap) / side, 18.0), gap)
    key = list(_key(mapping, board.height + 22))
    width = max(board.width, WIDTH) + 2
    height = board.height + 22 + 18 * -(-len(key) // _KEY_COLUMNS) + 4
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -16 {width:g} {height + 16:g}" '
        f'width="{width:g}" height="{height + 16:g}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, *board.chips(), *board.squares(), *key, "</svg>", ""])


@dataclass(frozen=True)
class _Board:
    """Where things go: ``side`` × ``side`` squares of ``cell`` a tile, and a ``gap``."""

    mapping: CoreMapping
    mesh: Mesh
    side: int
    cell: float
    gap: float

    @property
    def pitch(self) -> float:
        """From tile to tile."""
        return self.side * self.cell + self.gap

    @property
    def width(self) -> float:
        return self.mesh.columns * self.pitch

    @property
    def height(self) -> float:
        return self.mesh.rows * self.pitch

    def chips(self) -> Iterator[str]:
        """The tiles of each chip, and a line of text."""
        chip, pitch, gap = self.mesh.chip, self.pitch, self.gap
        yield (
            f'<defs><pattern id="tile" width="{pitch:g}" height="{pitch:g}" '
            f'patternUnits="userSpaceOnUse"><rect x="{gap / 2:g}" y="{gap / 2:g}" '
            f'width="{pitch - gap:g}" height="{pitch - gap:g}" fill="#eef1f4"/></pattern></defs>'
        )
        corner = np.arange(self.mesh.chips) * chip.cores
        wide, high = chip.tile_columns * pitch, chip.tile_rows * pitch
        for x, y in zip(*self.mesh.position(corner), strict=True):
            yield (
                f'<rect x="{x * pitch:g}" y="{y * pitch:g}" width="{wide:g}" height="{high:g}" '
                f'fill="url(#tile)" stroke="#57606a" stroke-width="{gap:g}"/>'
            )
        yield (
            f'<text x="0" y="-4" fill="#57606a">{self.mesh.chips:,} × {escape(chip.name)}, '
            f"{chip.tile_columns} × {chip.tile_rows} tiles of {chip.cores_per_tile} cores each; "
            f"a square is a {'core' if self.side > 1 or chip.cores_per_tile == 1 else 'tile'}"
            "</text>"
        )

    def squares(self) -> Iterator[str]:
        """Those that hold neurons."""
        chip, names = self.mesh.chip, list(self.mapping.core_of)
        by_tile = self.side == 1
        each = chip.cores_per_tile if by_tile else 1
        count = self.mesh.cores // each
        most, best, total = (np.zeros(count, np.int64) for _ in range(3))
        for index, cores in enumerate(self.mapping.core_of.values()):
            held = np.bincount(cores.ravel() // each, minlength=count)
            total += held
            more = held > best
            best[more], most[more] = held[more], index
        colours = [_colour(index, len(names)) for index in range(len(names))]
        used = np.nonzero(total)[0]
        column, row = self.mesh.position(used * each)
        down, along = np.divmod(used * each % chip.cores_per_tile, self.side)
        x = column * self.pitch + self.gap / 2 + along * self.cell
        y = row * self.pitch + self.gap / 2 + down * self.cell
        size = self.cell - (1 if self.cell > 3 else 0)
        what = "tile" if by_tile and each > 1 else "core"
        for square, left, top in zip(used.tolist(), x.tolist(), y.tolist(), strict=True):
            full = 0.35 + 0.65 * min(total[square] / (chip.neurons * each), 1.0)
            yield (
                f'<rect x="{left:g}" y="{top:g}" width="{size:g}" height="{size:g}" '
                f'fill="{colours[most[square]]}" fill-opacity="{full:.2f}">'
                f"<title>{what} {square}: {total[square]:,} neurons, most of "
                f"{escape(names[most[square]])}</title></rect>"
            )


def _colour(index: int, count: int) -> str:
    rgb = colorsys.hls_to_rgb(0.85 * index / max(count, 1), 0.42, 0.65)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def _key(mapping: CoreMapping, top: float) -> Iterator[str]:
    """Every place with its colour; of very many, some along the way from first to last."""
    names = list(mapping.core_of)
    shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), _KEY_MOST)).astype(int))
    for at, index in enumerate(shown.tolist()):
        down, along = divmod(at, _KEY_COLUMNS)
        x, y = along * WIDTH / _KEY_COLUMNS, top + 18 * down
        yield (
            f'<g><rect x="{x:g}" y="{y - 9:g}" width="10" height="10" '
            f'fill="{_colour(index, len(names))}"/><text x="{x + 15:g}" y="{y:g}" '
            f'fill="#1b1f24">{escape(_short(names[index]))}</text></g>'
        )


def _short(name: str) -> str:
    return name if len(name) <= _KEY_LETTERS else "…" + name[1 - _KEY_LETTERS :]
