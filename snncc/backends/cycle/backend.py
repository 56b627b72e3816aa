"""The cycle backend as one of all backends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from snncc.backends.base import Backend
from snncc.backends.cycle import report
from snncc.backends.cycle.replay import Replay
from snncc.backends.cycle.timing import Timing
from snncc.backends.cycle.wiring import wire
from snncc.backends.reference.workers import cores
from snncc.diagnostics import refuse
from snncc.ir.network import Network
from snncc.ir.stages import Mapped
from snncc.report import Section
from snncc.targets.chip import Chip

Level = Literal["cycle", "count"]


@dataclass(frozen=True)
class Cycle(Backend):
    """A Loihi-class chip, packet by packet.

    ``level``: "cycle" times every packet, "count" only adds up what each core does. ``workers``
    are threads; 0 stands for all cores of the machine.
    """

    name: ClassVar[str] = "cycle"
    takes: ClassVar[type[Network]] = Mapped
    target: ClassVar[str] = "loihi1"
    level: Level = "cycle"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.level not in ("cycle", "count"):
            raise refuse("SNN316", f"level is cycle or count, not {self.level!r}")

    def replay(self, network: Mapped, chip: Chip) -> Replay:
        try:
            wiring = wire(network, network.mapping, chip)
        except ValueError as error:
            message = f"the mapping is not one of this program and chip: {error}"
            raise refuse("SNN316", message, help="map this program to this chip") from None
        level: Literal["packet", "count"] = "count" if self.level == "count" else "packet"
        return Replay(wiring, level, self.workers or cores())

    def lines(self, timing: Timing) -> list[str]:
        return report.said(timing)

    def sections(self, timing: Timing) -> list[Section]:
        return report.sections(timing)
