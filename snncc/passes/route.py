"""route: what every link of the mesh carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from snncc.ir.stages import Mapped
from snncc.mapping.demands import Structure
from snncc.mapping.reports import Routed
from snncc.options import Options
from snncc.passes.base import Outcome, Pass
from snncc.reports import Report
from snncc.targets import Target
from snncc.targets.chip import find_chip
from snncc.targets.mesh import Mesh

_DIRECTIONS = ("east", "west", "north", "south")


@dataclass(frozen=True)
class Route(Pass[Mapped, Mapped]):
    """Route every spike along its row first, then along its column, and add up the links.

    The way is fixed by the mesh, so that nothing in the network changes; the report has the
    spikes per step on the busiest link and on the mean one, and how long the busiest needs.
    """

    name: ClassVar[str] = "route"
    summary: ClassVar[str] = "Adds up what every link of the mesh carries."
    reports: ClassVar[type[Report]] = Routed

    chip: str = "loihi1"

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(chip=target.name)

    def __call__(self, form: Mapped) -> Outcome[Mapped]:
        chip = find_chip(self.chip)
        mesh = Mesh(chip, form.mapping.chips)
        demands = Structure.of(form, chip, form.mapping.activity).demands(form.mapping.core_of)
        flow = sparse.coo_array(demands.spikes)
        loads = mesh.loads(flow.row.astype(np.int64), flow.col.astype(np.int64), flow.data)
        busiest = int(loads.argmax())
        tile, direction = divmod(busiest, 4)
        row, column = divmod(tile, mesh.columns)
        used = loads[loads > 1e-9]
        report = Routed(
            links_in_use=len(used),
            spikes_on_the_mean_link=float(used.mean()) if len(used) else 0.0,
            spikes_on_the_busiest_link=float(loads[busiest]),
            busiest_link=f"{_DIRECTIONS[direction]} of tile ({column}, {row})",
            seconds_on_the_busiest_link=float(loads[busiest]) / chip.link_spikes_s,
        )
        return Outcome(form, report=report)
