"""drop-identity: Graph → Graph, bit for bit.

1. copies, casts and dropout in eval mode go; their readers read their argument
2. one that is a head stays: it carries the axes of what the module returns
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.graph import Graph
from snncc.ir.ops import Identity
from snncc.passes.base import Outcome, Pass
from snncc.reports import Report


@dataclass(frozen=True)
class Dropped(Report):
    """How many nodes went."""

    dropped: int


@dataclass(frozen=True)
class DropIdentity(Pass[Graph, Graph]):
    name: ClassVar[str] = "drop-identity"
    summary: ClassVar[str] = "Removes nodes that hand their input on unchanged."
    reports: ClassVar[type[Report]] = Dropped

    def __call__(self, form: Graph) -> Outcome[Graph]:
        heads = set(form.heads.values())
        gone = [node.name for node in form.of_type(Identity) if node.name not in heads]
        return Outcome(form.bypass(gone), report=Dropped(len(gone)))
