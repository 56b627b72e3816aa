"""check-stock: Network → findings: what Lava's own processes do not compute.

1. a neuron that resets hard and at once and starts at 0, without a current of its own, or has no
   memory, is a LIF or LIFReset; every other needs a process of the emitted package, and so does in
   whole numbers one that a delay hears, which must be silent between samples
2. a projection that spans more than one step needs a delay line, and balance-delays{delays=0} has
   none; sources and readouts wait on the host
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from snncc.diagnostics import Finding
from snncc.ir.network import Network, Population
from snncc.ir.stages import Scheduled
from snncc.passes.base import Outcome, Pass


@dataclass(frozen=True)
class CheckStock(Pass[Scheduled, Scheduled]):
    """Refuses each population (SNN213) and each projection (SNN202) that is not Lava's own."""

    name: ClassVar[str] = "check-stock"
    summary: ClassVar[str] = "Checks that Lava's own processes compute everything."

    def __call__(self, form: Scheduled) -> Outcome[Scheduled]:
        return Outcome(form, (*_neurons(form), *_delays(form)))


def _neurons(network: Network) -> Iterator[Finding]:
    for place in network.populations:
        n = place.neuron
        silent = network.is_fixed and network.echo(place.name) > 0
        if not n.is_stock or silent:  # rule 1
            variant = n.variant or ("a soft reset" if n.reset == "soft" else "")
            starts = "" if n.initial == 0 else "a membrane that does not start at 0"
            pause = "a pause between samples" if silent else ""
            message = f"{place.name} has {' and '.join(filter(None, [variant, starts, pause]))}"
            yield Finding("SNN213", message, place.origin, place.name)


def _delays(network: Scheduled) -> Iterator[Finding]:
    for p in network.projections:
        if late := network.late(p):  # rule 2
            place = network.places[p.source]
            assert isinstance(place, Population)
            steps = f"{late} step{'s' * (late > 1)}"
            message = f"the projection {p.source} -> {p.target} has a delay of {steps}"
            help = "let relays hold back its spikes: balance-delays{delays=0}"
            yield Finding("SNN202", message, place.origin, p.source, help)
