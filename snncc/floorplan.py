"""How a network lies on its cores: a table of what is full, and a picture of the mesh."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from snncc.ir.mapping import Mapping as CoreMapping
from snncc.targets.chip import Chip
from snncc.targets.mesh import Mesh

_PITCH, _CELL = 6.0, 5.0


def table(reports: Mapping[str, Any]) -> list[str]:
    """Lines of text from the reports of partition, place and route."""
    cut, placed, routed = (reports[name] for name in ("partition", "place", "route"))
    least = cut["cores at least"]
    lines = [
        f"{cut['cores']:,} cores on {cut['chips']:,} chips of {cut['chip']}; at least "
        f"{max(least.values(), default=0):,} cores whatever the mapping",
        "",
        f"{'':<10}{'mean':>8}{'max':>8}{'cores at least':>16}",
    ]
    for what, used in cut["utilisation"].items():
        bound = f"{least[what]:,}" if what in least else "-"
        lines.append(f"{what:<10}{used['mean']:>8.1%}{used['max']:>8.1%}{bound:>16}")
    lines += [
        "",
        f"largest synaptic work of a core over the mean  {cut['largest work over mean']:.3f}",
        f"spikes × hops a step  {placed['hops']:,.0f}; at random {placed['hops at random']:,.0f}",
        f"spikes on the busiest link  {routed['spikes on the busiest link']:,.0f}, "
        f"{routed['busiest link']}; the mean {routed['spikes on the mean link']:,.0f}",
        "",
        f"{'place':<40}{'neurons':>12}{'cores':>8}",
    ]
    lines += [
        f"{name:<40}{row['neurons']:>12,}{row['cores']:>8,}" for name, row in cut["places"].items()
    ]
    return lines


def picture(mapping: CoreMapping, chip: Chip) -> str:
    """The board as SVG: a square a core, in the colour of the place it holds most neurons of.

    Colours go through the rainbow from the first place to the last; the fuller, the darker.
    """
    mesh = Mesh(chip, mapping.chips)
    side = int(np.ceil(np.sqrt(chip.cores_per_tile)))
    pitch = side * _PITCH + 2
    width, height = mesh.columns * pitch + 4, mesh.rows * pitch + 4
    body = [*_chips(mesh, pitch), *_cores(mapping, chip, mesh, pitch, side)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">'
    )
    return "\n".join([head, *body, "</svg>", ""])


def _chips(mesh: Mesh, pitch: float) -> Iterator[str]:
    chip = mesh.chip
    corner = np.arange(mesh.chips) * chip.cores
    for x, y in zip(*mesh.position(corner), strict=True):
        yield (
            f'<rect x="{x * pitch + 1:g}" y="{y * pitch + 1:g}" '
            f'width="{chip.tile_columns * pitch:g}" height="{chip.tile_rows * pitch:g}" '
            'fill="none" stroke="#999"/>'
        )


def _cores(mapping: CoreMapping, chip: Chip, mesh: Mesh, pitch: float, side: int) -> Iterator[str]:
    names = list(mapping.core_of)
    held = np.zeros((len(names), mesh.cores), np.int64)
    for index, cores in enumerate(mapping.core_of.values()):
        held[index] = np.bincount(cores.ravel(), minlength=mesh.cores)
    total, most = held.sum(0), held.argmax(0)
    column, row = mesh.position(np.arange(mesh.cores))
    used: list[int] = np.nonzero(total)[0].tolist()
    for core in used:
        down, along = divmod(core % chip.cores_per_tile, side)
        x = column[core] * pitch + 2 + along * _PITCH
        y = row[core] * pitch + 2 + down * _PITCH
        light = 0.9 - 0.5 * min(total[core] / chip.neurons, 1.0)
        rgb = colorsys.hls_to_rgb(0.8 * most[core] / max(len(names), 1), light, 0.7)
        colour = "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
        yield (
            f'<rect x="{x:g}" y="{y:g}" width="{_CELL:g}" height="{_CELL:g}" fill="{colour}">'
            f"<title>core {core}: {total[core]:,} neurons, most of {names[most[core]]}</title>"
            "</rect>"
        )
