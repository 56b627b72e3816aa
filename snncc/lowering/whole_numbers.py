"""Networks whose neurons come in Loihi's registers: what lowering makes of them (SNN214).

Their numbers are taken as they are. A spike that a readout hears as it is gets a weight of 2, the
smallest that a synapse holds, and the host halves the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.graph import Tensors
from snncc.ir.network import Encoder, Place, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Op, Ref, Reshape, Scale
from snncc.ir.registers import FixedNeuron, weight_misfits, weights
from snncc.ir.values import ValueSet
from snncc.lowering.draft import Draft

SMALLEST = 2.0
"""The smallest weight above 0 of a synapse of mixed sign."""

CONV_SUMS = 1 << 23
"""Where the sums of a convolution wrap."""


def in_registers(draft: Draft) -> None:
    """Where neurons come in whole numbers, so must all the rest."""
    neurons = [place.neuron for place in draft.places.values() if isinstance(place, Population)]
    if not any(isinstance(neuron, FixedNeuron) for neuron in neurons):
        return
    whole = WholeNumbers(draft.all_places, draft.projections, draft.tensors, draft.sets)
    draft.places, draft.projections = whole.places, whole.projections
    draft.tensors = whole.tensors
    for finding in whole.findings:
        draft.found.setdefault((finding.code, f"{finding.node} {finding.message}"), finding)


class WholeNumbers:
    """Places and projections of which some are in whole numbers, and what is wrong with them.

    ``places``, ``projections`` and ``tensors`` are those that stand in the registers, ``findings``
    say what does not. ``sets``: the values of sources by name.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        projections: Iterable[Projection],
        tensors: Tensors,
        sets: Mapping[str, ValueSet],
    ) -> None:
        self.tensors, self._sets = dict(tensors), sets
        self.places, self.findings = dict(places), list[Finding]()
        for place in places.values():
            if isinstance(place, Population) and not isinstance(place.neuron, FixedNeuron):
                said = f"{place.role} {place.name} computes in floats and others in whole numbers"
                finding = Finding("SNN214", said, node=place.name, help=_MIXED)
                self.findings.append(finding.at(place.origin))
                del self.places[place.name]
        self._is_mixed = bool(self.findings)
        known = [p for p in projections if {p.source, p.target} <= self.places.keys()]
        self.projections = [p for p in known if not self._is_read_out(p)]
        self.projections += self._read_out([p for p in known if self._is_read_out(p)])
        self.projections = [p for p in self.projections if not self._refused(p)]
        for number in (weights(op) for p in self.projections for op in p.map):
            if isinstance(number, Ref):
                self.tensors[number] = self.tensors[number].astype(np.int16)

    def _is_read_out(self, p: Projection) -> bool:
        return isinstance(self.places[p.target], Readout)

    def _read_out(self, projections: Iterable[Projection]) -> Iterator[Projection]:
        """Projections into readouts, in units of the readout."""
        units: dict[str, set[float]] = {}
        for p in projections:
            chain, unit = _unit(p.map)
            units.setdefault(p.target, set()).add(unit)
            yield replace(p, map=chain)
        for name, found in units.items():
            readout = self.places[name]
            assert isinstance(readout, Readout)
            if len(found) > 1:
                said = f"readout {name} adds up spikes that are worth {len(found)} numbers"
                self.findings.append(Finding("SNN214", said, node=name))
            self.places[name] = replace(readout, unit=min(found))

    def _refused(self, p: Projection) -> bool:
        if isinstance(self.places[p.source], Encoder):
            return False
        problems = list(weight_misfits(p.map, self.tensors)) or list(self._wraps(p))
        if self._is_mixed:
            return bool(problems)  # not to be told of a network that is no whole one
        target = self.places[p.target]
        for problem in problems:
            said = f"projection {p.source} -> {p.target} {problem}"
            finding = Finding("SNN214", said, node=p.target, help=_WEIGHTS)
            origin = target.origin if isinstance(target, Population) else None
            self.findings.append(finding if origin is None else finding.at(origin))
        return bool(problems)

    def _wraps(self, p: Projection) -> Iterator[str]:
        """Sums of a convolution that leave their 24 bits."""
        source = self.places[p.source]
        count = self._sets[p.source].largest if isinstance(source, Source) else 1.0
        for op in p.map:
            if isinstance(op, Conv):
                weight = np.abs(self.tensors[op.weight].astype(np.float64))
                if weight.reshape(len(weight), -1).sum(1).max(initial=0) * count >= CONV_SUMS:
                    yield "has sums beyond 24 bits"


_MIXED = "make all of the network of layers of the file, without functions of spikes between them"
_WEIGHTS = "weights of a signed synapse are even whole numbers from -256 to 254"


def _unit(chain: tuple[Op, ...]) -> tuple[tuple[Op, ...], float]:
    """A chain into a readout with weights a synapse holds, and what one of its sum is worth."""
    unit = 1.0
    while chain and isinstance(chain[-1], Scale) and not isinstance(chain[-1].factor, Ref):
        unit, chain = unit * chain[-1].factor, chain[:-1]
    if all(isinstance(op, Reshape) or weights(op) is None for op in chain):
        return (*chain, Scale(SMALLEST)), unit / SMALLEST
    return chain, unit
