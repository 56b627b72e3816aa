"""lower: Graph → Network.

1. linear regions become projections, their constant part the bias of the population
2. elementwise groups over spikes become affine parts or memoryless gate populations
3. max pools on spikes become OR gates
4. the analog prefix becomes encoders
5. what follows the last spikes becomes the readout
6. anything else is a finding; all are collected in one run
7. sums of spikes go to their readers term by term, and a note says what that costs

Neurons are brought to the normal form: an input gain and v_reset ≠ 0 are scaled and shifted away,
a strict threshold becomes ≥ the next float. An input gain that is not above 0 is a finding. A
``WholeSpiking`` is a neuron in Loihi's registers already, and then all the network must be so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.lowering.lower import lower
from snncc.lowering.sums import CostOfSums, sums_of_spikes
from snncc.passes.base import Outcome, Pass, refused
from snncc.reports import Report


@dataclass(frozen=True, kw_only=True)
class Made(Report):
    """How many of each kind the Network has."""

    populations: int
    gates: int
    projections: int
    encoders: int
    sums_of_spikes: CostOfSums | None = None


@dataclass(frozen=True)
class Lower(Pass[Graph, Network]):
    """``strict``: analog work on the host is an error."""

    name: ClassVar[str] = "lower"
    summary: ClassVar[str] = "Makes populations and projections of the Graph."
    reports: ClassVar[type[Report]] = Made

    strict: bool = False

    def __call__(self, form: Graph) -> Outcome[Network]:
        lowered = lower(form, self.strict)
        network = lowered.network
        if network is None:
            return refused(lowered.findings, lowered.part)
        roles = [population.role for population in network.populations]
        findings = lowered.findings
        if (sums := sums_of_spikes(form, lowered.regions, network)) is not None:  # rule 7
            findings += (sums.finding(form.nodes[sums.names[0]]),)
        report = Made(
            populations=roles.count("neuron"),
            gates=roles.count("gate"),
            projections=len(network.projections),
            encoders=len(network.encoders),
            sums_of_spikes=None if sums is None else sums.report,
        )
        return Outcome(network, findings, report)
