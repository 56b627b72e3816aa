"""check-spike-only: Graph → findings.

1. the verdict is that of the lowering itself, never a second copy of its rules: the chosen head is
   spike-only exactly when it lowers to a Network, which has no way to say a MAC on a non-spike
2. value sets hold for every input, so the verdict does not depend on data: nothing is run
3. nor on the weights of layers and norms, of which only shapes matter; an elementwise operand that
   is a constant counts by its values, since x·0.5 of a spike is another value set than x·w
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.graph import Graph
from snncc.lowering.lower import lower
from snncc.passes.base import Form, Outcome, Pass


@dataclass(frozen=True)
class CheckSpikeOnly(Pass):
    """``strict``: analog work on the host is an error."""

    name: ClassVar[str] = "check-spike-only"
    reads: ClassVar[type[Form]] = Graph
    writes: ClassVar[type[Form]] = Graph

    strict: bool = False

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Graph)
        return Outcome(form, lower(form, self.strict).findings, rest=form)
