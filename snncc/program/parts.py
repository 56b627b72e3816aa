"""What a compiled network is made of: a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np

from snncc.diagnostics import Finding, refuse
from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.ir.stages import Scheduled
from snncc.program.about import About

Stage = TypeVar("Stage", bound=Network)


@dataclass(frozen=True, eq=False)
class Parts:
    """A network compiled for ``target``.

    ``network`` is spike-only and not yet scheduled, ``scheduled`` the same with relays and one map
    a projection, where the target needs that. ``graph`` is the whole network as traced, its
    auxiliary path included; ``auxiliary`` names the nodes of it that were stripped, ``head`` the
    output that was kept. With ``keep_aap`` the host runs the auxiliary path on the spikes.
    ``about`` says where it comes from, and what was done and found on the way; ``inputs`` are the
    user's own samples that this was verified and measured on, in the module's layout. ``seconds``,
    what each pass took, stays in memory.
    """

    network: Network
    graph: Graph = field(repr=False)
    target: str = "reference"
    head: str = ""
    auxiliary: tuple[str, ...] = field(default=(), repr=False)
    keep_aap: bool = False
    scheduled: Scheduled | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    about: About = field(default_factory=About, repr=False)
    inputs: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    seconds: Mapping[str, float] = field(default_factory=dict, repr=False)

    def at(self, stage: type[Stage]) -> Stage:
        """The Network of that stage. Raises SnnccError (SNN316) where there is none."""
        if stage is Network:
            return cast(Stage, self.network)
        if self.scheduled is None:
            said = f"a program for {self.target} has no schedule"
            raise refuse("SNN316", said, help="compile it for another target")
        if not isinstance(self.scheduled, stage):
            message = f"a program for {self.target} has no mapping to cores"
            help = "compile it for a chip, --target loihi1, or give a mapping"
            raise refuse("SNN316", message, help=help)
        return self.scheduled
