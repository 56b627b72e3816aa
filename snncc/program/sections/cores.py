"""How a network lies on the cores of a chip, and the traffic between them."""

from __future__ import annotations

import numpy as np

from snncc.ir.stages import Mapped
from snncc.mapping.demands import LIMITS
from snncc.mapping.fitting import ASKED
from snncc.mapping.reports import Cut, Placed, Routed
from snncc.program.parts import Parts
from snncc.report import Section, Table
from snncc.report.charts import bars, cells
from snncc.reports import Reports
from snncc.targets import target as find_target
from snncc.targets.chip import Chip
from snncc.targets.mesh import Mesh

MOST = 1500
"""Squares of a picture: cores, or tiles where there are more cores, or chips."""


def cores(program: Parts) -> Section | None:
    """How full the cores are, the traffic, and the mesh; None for what is not on cores."""
    network, chip = program.scheduled, find_target(program.target).chip
    if chip is None or not isinstance(network, Mapped):
        return None
    reports = program.about.reports
    cut = reports[Cut]
    limits = Table.of(
        "core utilisation",
        {"limit of a core": "text", "has": "count", "mean used": "share", "most used": "share",
         "cores at least": "count"},
        [
            (ASKED[what], getattr(chip, LIMITS[what]), used["mean"], used["max"],
             cut.cores_at_least.get(what))
            for what, used in cut.utilisation.items()
        ],
    )  # fmt: skip
    held = _held(network, chip)
    several = "" if cut.chips == 1 else "s"
    says = (
        f"{cut.cores:,} cores on {cut.chips:,} chip{several} of {cut.chip}. No mapping needs fewer "
        f"than {cut.least:,}: the largest of what each limit needs by itself.",
    )
    what = held.columns[0].title
    mesh = cells(
        held, "column", "row", "neurons", title="The mesh",
        says=f"Each square is a {what} where it lies on the board; the stronger its colour, the "
             "more neurons it has.",
        words=held.said,
    )  # fmt: skip
    pictures = (bars(limits, "limit of a core", "mean used", says="Of the mean core."), mesh)
    return Section("cores", "The cores", says, (limits, _traffic(reports), held), pictures)


def _traffic(reports: Reports) -> Table:
    cut, placed, routed = reports[Cut], reports[Placed], reports[Routed]
    return Table.of(
        "what a step waits for",
        {"per step": "text", "here": "count", "to compare with": "count", "which is": "text"},
        [
            ("synaptic operations of the busiest core", cut.largest_work_over_mean * cut.mean_work,
             cut.mean_work, "of the mean core"),
            ("spikes × hops", placed.hops, placed.hops_at_random, "if placed at random"),
            (f"spikes on the busiest link, {routed.busiest_link}",
             routed.spikes_on_the_busiest_link, routed.spikes_on_the_mean_link,
             "on the mean link in use"),
        ],
    )  # fmt: skip


def _held(network: Mapped, chip: Chip) -> Table:
    """The neurons of each core, tile or chip in use, and the place that has most of them there."""
    used = network.mapping.cores
    squares = Mesh(chip, network.mapping.chips).squares(used, MOST)
    numbers, first, square = np.unique(squares.number, return_index=True, return_inverse=True)
    names = list(network.mapping.core_of)
    held = np.zeros((len(names), len(numbers)), np.int64)
    for index, where in enumerate(network.mapping.core_of.values()):
        np.add.at(held[index], square[np.searchsorted(used, where.ravel())], 1)
    total, most = held.sum(0), held.argmax(0)
    each = {"core": 1, "tile": chip.cores_per_tile, "chip": chip.cores}[squares.what]
    return Table.of(
        f"neurons of each {squares.what}",
        {squares.what: "text", "column": "count", "row": "count", "neurons": "count",
         "full": "share", "most of them of": "text"},
        [
            (str(number), int(squares.column[at]), int(squares.row[at]), int(total[k]),
             float(total[k] / (chip.neurons * each)), names[most[k]])
            for k, (number, at) in enumerate(zip(numbers.tolist(), first.tolist(), strict=True))
        ],
    )  # fmt: skip
