"""reroll: Graph → Graph, the same values: loops that were written down step by step become bodies.

Runs inside of the recording, not in the pipeline. `snncc.recognition.rolling` says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.graph import Graph
from snncc.passes.base import Outcome, Pass, refused
from snncc.recognition.rolling import rolled


@dataclass(frozen=True)
class Reroll(Pass[Graph, Graph]):
    name: ClassVar[str] = "reroll"
    summary: ClassVar[str] = "Finds loops that were written down step by step."

    def __call__(self, form: Graph) -> Outcome[Graph]:
        found = rolled(form)
        if found.finding is not None:
            return refused([found.finding])
        return Outcome(found.graph)
