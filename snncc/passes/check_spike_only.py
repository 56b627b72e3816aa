"""check-spike-only: Graph → findings.

1. the verdict is that of the lowering itself, never a second copy of its rules: the chosen head is
   spike-only exactly when it lowers to a Network, which has no way to say a MAC on a non-spike
2. value sets hold for every input, so the verdict does not depend on data: nothing is run
3. nor on the weights of layers and norms, of which only shapes matter; an elementwise operand that
   is a constant counts by its values, since x·0.5 of a spike is another value set than x·w
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from snncc.ir.graph import Graph
from snncc.lowering.lower import lower
from snncc.options import Options
from snncc.passes.base import Outcome, Pass
from snncc.targets import Target


@dataclass(frozen=True)
class CheckSpikeOnly(Pass[Graph, Graph]):
    """``strict``: analog work on the host is an error."""

    name: ClassVar[str] = "check-spike-only"
    summary: ClassVar[str] = "Checks that only spikes and sums pass between neurons."

    strict: bool = False

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        return cls(strict=options.strict)

    def __call__(self, form: Graph) -> Outcome[Graph]:
        return Outcome(form, lower(form, self.strict).findings, rest=form)
