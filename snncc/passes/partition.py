"""partition: every neuron on a core, within every limit of the chip, work in balance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from snncc.diagnostics import Finding
from snncc.ir.interpreter import Value
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.stages import Mapped, Scheduled
from snncc.mapping.cores import Cores, rates
from snncc.mapping.demands import Structure
from snncc.mapping.fitting import not_on_chip, origin, too_many_cores
from snncc.mapping.reports import Cut
from snncc.options import Options
from snncc.passes.base import Outcome, Pass, refused
from snncc.reports import Report
from snncc.targets import Target
from snncc.targets.chip import find_chip


@dataclass(frozen=True)
class Partition(Pass[Scheduled, Mapped]):
    """Split the places of a scheduled network over the cores of ``chip`` (design, section 3).

    ``chip`` is the name of one of ours or a file. ``balance`` is how much more synaptic work than
    the mean a core may have. ``calibration``: inputs as `snncc.ir.interpreter.run_network` takes
    them, whose spikes say how much work a synapse is; without them every neuron counts alike.

    1. Sources, populations and readouts are cut into bricks: equal intervals of each axis, of
       channels, of space or of both, whichever costs fewer cores; no brick exceeds a limit.
       Populations with little work are cut small, along the lines of what they copy.
    2. Large bricks first, each joins the core it exchanges most spikes with, or the one numbered
       nearest to it that has room under all limits, or opens a new one. Where the chip has one set
       of neuron parameters a core, only like neurons share it.
    3. The number of cores is guessed from below until packing needs no more and the work is in
       balance: few cores where limits allow it, more where balance needs them.

    Core numbers count cores as they were filled; ``place`` moves them. Spikes are preserved.

    Refuses a neuron that is too much for a core by itself (SNN204 synapse memory, SNN205 fan-in
    lists, SNN206 fan-out axons, SNN207 routing entries), more cores than a board has (SNN208), a
    delay longer than the chip's (SNN209), thresholds or decays by neuron where the chip has them by
    layer (SNN201), and counts in more bits than a spike carries (SNN202). Warns where work cannot
    be balanced (SNN210).
    """

    name: ClassVar[str] = "partition"
    summary: ClassVar[str] = "Puts every neuron on a core, within every limit of the chip."
    reports: ClassVar[type[Report]] = Cut

    chip: str = "loihi1"
    balance: float = 1.3
    calibration: Mapping[str, Value] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(chip=target.name)

    def calibrated(self, inputs: Mapping[str, Value]) -> Self:
        return replace(self, calibration=inputs)

    def __call__(self, form: Scheduled) -> Outcome[Mapped]:
        chip = find_chip(self.chip)
        activity = None if self.calibration is None else rates(form, self.calibration)
        structure = Structure.of(form, chip, activity)
        problems = [*not_on_chip(form, chip, self.calibration)]
        cores = Cores.found(structure, self.balance)
        problems += [*cores.problems, *too_many_cores(structure, cores.of, cores.least)]
        if problems:
            return refused(problems, form)
        mapping = CoreMapping(cores.chips, cores.of, activity or {})
        mapping.verify(form.on_chip, chip.cores)
        findings = tuple(_imbalance(cores, self.balance))
        return Outcome(Mapped.on(form, mapping), findings, cores.report)


def _imbalance(cores: Cores, balance: float) -> Iterator[Finding]:
    if cores.imbalance > balance:
        at = int(cores.demands.work.argmax())
        name = max(
            cores.of, key=lambda n: float((cores.structure.work[n] * (cores.of[n] == at)).sum())
        )
        message = (
            f"the busiest core has {cores.imbalance:.2f} times the synaptic work of the mean, more "
            f"than {balance:g}; most of it is of {name}"
        )
        yield Finding("SNN210", message, origin(cores.structure.network, name), name)
