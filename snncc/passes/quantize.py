"""quantize: Network → Network; whole numbers, and a reported part of the spikes flips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from snncc.diagnostics import Finding, refuse
from snncc.ir.interpreter import Value
from snncc.ir.network import Network
from snncc.options import Options
from snncc.passes.base import Outcome, Pass, refused
from snncc.reports import Report
from snncc.rounding.calibration import Teacher
from snncc.rounding.network import Rounding
from snncc.rounding.refusals import refusals
from snncc.rounding.report import Rounded, totals
from snncc.targets import Target


@dataclass(frozen=True)
class Quantize(Pass[Network, Network]):
    """Whole numbers for the registers and synapses of Loihi (design, section 4).

    ``weight_bits``, the sign included; ``thresholds``: "channel" where the target has them by
    neuron, "layer" where a population has one. ``calibration``: inputs as
    `snncc.ir.interpreter.run_network` takes them, whose spikes decide; without them the weights do.

    1. A gate, a relay, any memoryless population with whole weights, doubles them (with fewer bits,
       2^(9 − bits) for 2): v ≥ θ on whole sums is 2v > 2⌈θ⌉ − 1. A bias makes up for a θ raised to
       1, and to the largest where the target has one threshold.
    2. Any other population gets a scale: by channel where thresholds may differ by channel and
       every projection into it can have one, else one for all, θ divided out of the weights
       where the target has one threshold. All projections into a population share it.
    3. The largest scale keeps the weights within −256 and 254, θ within half of its register, and a
       bias within its mantissa and exponent. With data others are tried, beyond it too, and the one
       that flips the fewest spikes is taken, of equals the one whose membranes are nearest. A scale
       that makes all weights even whole numbers without rounding is tried first.
    4. v ≥ θ is v > ⌈θ⌉ − 1 for membranes of whole units, those without leak whose biases are whole.
       With data ⌈θ⌉ and ⌈θ⌉ − 2 are tried too; without, other membranes get the nearest.
    5. Decays are rounded to 1/4096. A neuron without memory has a decay of 4095 where its membrane
       always stays below 4096, which that forgets, else 4096.
    6. With data the mean error of the current that rounding the weights causes goes into the bias
       where that is better.
    7. A readout gets the scale of each output that errs least; the host divides by it.
    8. Currents from the host are scaled likewise and rounded to whole units as they arrive.

    Populations are fitted one by one, each hearing the spikes of the float network. The report has,
    for each, the part of the range its weights and membranes use, their signal-to-noise ratio, the
    spikes flipped and membranes saturated; and for the whole network the flips of neurons (not
    gates or relays) teacher-forced and propagated, and how many samples the first readout still
    gives the same largest logit.

    Refuses (SNN214) a neuron whose numbers no register can stand for.
    """

    name: ClassVar[str] = "quantize"
    summary: ClassVar[str] = "Rounds to whole numbers, and measures what that changes."
    reports: ClassVar[type[Report]] = Rounded

    weight_bits: int = 8
    thresholds: str = "channel"
    calibration: Mapping[str, Value] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(weight_bits=options.weight_bits or 8, thresholds=target.thresholds)

    def calibrated(self, inputs: Mapping[str, Value]) -> Self:
        return replace(self, calibration=inputs)

    def __call__(self, form: Network) -> Outcome[Network]:
        self._check()
        if form.is_fixed:
            said = "its neurons and weights are whole numbers already"
            raise refuse("SNN316", f"{self.name}: {said}", help="leave weight_bits out")
        if not form.populations:
            return Outcome(form)
        problems = tuple(refusals(form, self.thresholds))
        if problems:
            return refused(problems)
        teacher = None if self.calibration is None else Teacher.of(form, self.calibration)
        rounding = Rounding(form, self.weight_bits, self.thresholds == "layer", teacher)
        for place in form.places.values():
            rounding.fit(place)
        network = form.with_changes(rounding.places, rounding.projections, rounding.tensors)
        report = Rounded(
            calibration="weights" if teacher is None else f"{teacher.samples} samples",
            populations=tuple(rounding.rows),
            totals=None if teacher is None else totals(network, teacher, rounding.rows),
        )
        return Outcome(network, (_WITHOUT_DATA,) if teacher is None else (), report)

    def _check(self) -> None:
        if self.weight_bits not in range(2, 9):
            raise refuse("SNN316", f"{self.name}: weight-bits is 2 to 8, not {self.weight_bits}")
        if self.thresholds not in ("channel", "layer"):
            said = f"{self.name}: thresholds is channel or layer, not {self.thresholds!r}"
            raise refuse("SNN316", said)


_WITHOUT_DATA = Finding("SNN506", "the scales were chosen from the weights alone, without any data")
