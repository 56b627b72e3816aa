"""What a Network becomes on its way to a chip: a schedule, then a mapping to cores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from snncc.ir.graph import Tensors
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.network import Network, Place, Population, Projection, Readout


@dataclass(frozen=True)
class Scheduled(Network):
    """A Network whose places have levels.

    ``levels``: the step at which each place answers step 0 of the input. They are of the schedule
    alone: what a place says in its step t keeps that number.
    """

    levels: Mapping[str, int] = field(kw_only=True)

    @classmethod
    def of(cls, network: Network, levels: Mapping[str, int]) -> Scheduled:
        """``network`` with these levels, one for each place. Raises ValueError."""
        if missing := [name for name in network.places if name not in levels]:
            raise ValueError(f"place {missing[0]} has no level")
        return Scheduled(
            network.places, network.projections, network.tensors, network.name,
            network.time_steps, levels=levels,
        )  # fmt: skip

    def with_changes(
        self,
        places: Iterable[Place] | None = None,
        projections: Iterable[Projection] | None = None,
        tensors: Tensors | None = None,
    ) -> Scheduled:
        """The same with some parts replaced, with the same levels and on no cores yet."""
        return Scheduled.of(super().with_changes(places, projections, tensors), self.levels)

    def span(self, p: Projection) -> int:
        """Steps from the spike to its arrival."""
        return self.levels[p.target] + p.delay - self.levels[p.source]

    def late(self, p: Projection) -> int:
        """Steps beyond the one of every projection that spikes wait on the target.

        What the host sends and what it hears waits there.
        """
        source, target = self.places[p.source], self.places[p.target]
        on_host = not isinstance(source, Population) or isinstance(target, Readout)
        return 0 if on_host else self.span(p) - 1


@dataclass(frozen=True)
class Mapped(Scheduled):
    """A Network on the cores of a chip. ``mapping``: the core of every neuron."""

    mapping: CoreMapping = field(kw_only=True, repr=False)

    @classmethod
    def on(cls, network: Scheduled, mapping: CoreMapping) -> Mapped:
        """``network`` on these cores."""
        return Mapped(
            network.places, network.projections, network.tensors, network.name,
            network.time_steps, levels=network.levels, mapping=mapping,
        )  # fmt: skip
