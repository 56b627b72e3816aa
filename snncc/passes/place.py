"""place: every core somewhere on the board, so that spikes travel little."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from snncc.ir.mapping import Mapping
from snncc.ir.stages import Mapped
from snncc.mapping.demands import Structure
from snncc.mapping.placement import at_random, hops, placed
from snncc.mapping.reports import Placed
from snncc.options import Options
from snncc.passes.base import Outcome, Pass
from snncc.reports import Report
from snncc.targets import Target
from snncc.targets.chip import find_chip
from snncc.targets.mesh import Mesh


@dataclass(frozen=True)
class Place(Pass[Mapped, Mapped]):
    """Move the cores of a mapping to where hops × spikes is small (`snncc.mapping.placement`).

    ``chip`` as in partition; ``rounds`` bounds the search and ``seed`` fixes it. The report says
    what a placement by chance would cost. Which neurons share a core does not change, nor a spike.
    """

    name: ClassVar[str] = "place"
    summary: ClassVar[str] = "Puts every core on a place of the mesh, so that spikes travel little."
    reports: ClassVar[type[Report]] = Placed

    chip: str = "loihi1"
    rounds: int = 1000
    seed: int = 0

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(chip=target.name)

    def __call__(self, form: Mapped) -> Outcome[Mapped]:
        chip, before = find_chip(self.chip), form.mapping
        mesh = Mesh(chip, before.chips)
        cores = before.cores
        renumbered = {n: np.searchsorted(cores, core) for n, core in before.core_of.items()}
        spikes = Structure.of(form, chip, before.activity).demands(renumbered).spikes
        slots = placed(spikes, mesh, self.rounds, self.seed)
        mapping = Mapping(
            before.chips, {n: slots[core] for n, core in renumbered.items()}, before.activity
        )
        mapping.verify(form.on_chip, chip.cores)
        chosen, random = (
            hops(spikes, mesh, each) for each in (slots, at_random(len(slots), mesh, self.seed))
        )
        report = Placed(
            spikes=float(spikes.sum()),
            hops=chosen,
            hops_at_random=random,
            times_fewer=round(random / chosen, 3) if chosen else 0.0,
        )
        return Outcome(replace(form, mapping=mapping), report=report)
