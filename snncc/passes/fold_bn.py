"""fold-bn: Network → Network; the spikes.

Projections end in diagonals (what is left of their norms, coefficients). With f the diagonal and
q = |f| (design, *BN into thresholds*):

1. into=threshold: the projection keeps f/q, the population gets threshold/q, bias/q, initial/q
2. several projections with different diagonals: q is that of the projection with the most weights,
   the ratio stays on the others
3. where f = 0, q is the next projection's |f|, or 1: zero weights, bias and threshold unchanged
4. the sign stays a diagonal on the projection, so that shared weights stay shared; a diagonal of
   ones goes
5. into=weights: f is multiplied into the weights of the conv or dense map before it
6. gates keep their whole numbers, and so do neurons in Loihi's registers
7. so does a population all of whose diagonals are whole numbers: to divide by 3 would not be exact
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from snncc.ir.network import Network, Neuron, Place, Population, Projection
from snncc.ir.ops import Conv, ConvTranspose, Dense, Number, Op, Ref, Scale
from snncc.passes.base import Outcome, Pass
from snncc.reports import Report


@dataclass(frozen=True, kw_only=True)
class Folded(Report):
    """How many populations, or into weights how many projections, had a norm folded."""

    populations_folded: int | None = None
    projections_folded: int | None = None


@dataclass(frozen=True)
class FoldBn(Pass[Network, Network]):
    """``into``: "threshold" (per-channel thresholds) or "weights"."""

    name: ClassVar[str] = "fold-bn"
    summary: ClassVar[str] = "Folds batch norms into thresholds or weights."
    reports: ClassVar[type[Report]] = Folded

    into: str = "threshold"

    def __call__(self, form: Network) -> Outcome[Network]:
        if self.into == "weights":
            return _into_weights(form)
        tensors = dict(form.tensors)
        places: dict[str, Place] = dict(form.places)
        projections: list[Projection] = []
        folded = 0
        for place in form.places.values():
            incoming = form.incoming[place.name]
            if not _is_scaled(place):  # rule 6
                projections += incoming
                continue
            factors = [_diagonal(p, tensors) for p in incoming]
            if all(_is_whole(f) for f in factors):  # rule 7
                projections += incoming
                continue
            q = _common(incoming, factors, tensors)
            assert isinstance(place, Population)
            places[place.name] = _scaled(place, q, tensors)
            for number, (projection, factor) in enumerate(zip(incoming, factors, strict=True)):
                name = f"{place.name}.diagonal" + (f".{number}" if number else "")
                projections.append(_with_diagonal(projection, factor / q, name, tensors))
            folded += 1
        network = form.with_changes(places.values(), projections, tensors)
        return Outcome(network, report=Folded(populations_folded=folded))


def _is_scaled(place: Place) -> bool:
    return (
        isinstance(place, Population)
        and place.role == "neuron"
        and isinstance(place.neuron, Neuron)
    )


def _split(chain: Sequence[Op]) -> tuple[tuple[Op, ...], tuple[Scale, ...]]:
    """A chain as maps and its trailing diagonals."""
    cut = len(chain)
    while cut and isinstance(chain[cut - 1], Scale):
        cut -= 1
    return tuple(chain[:cut]), tuple(op for op in chain[cut:] if isinstance(op, Scale))


def _value(number: Number, tensors: dict[str, np.ndarray]) -> np.ndarray:
    return tensors[number] if isinstance(number, Ref) else np.asarray(float(number))


def _diagonal(projection: Projection, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """The product of the trailing diagonals."""
    factor = np.asarray(1.0)
    for scale in _split(projection.map)[1]:
        factor = factor * _value(scale.factor, tensors)
    return factor


def _is_whole(factor: np.ndarray) -> bool:
    """One whole number for all, and not 0."""
    number = float(factor.reshape(-1)[0])
    return factor.size == 1 and number != 0 and number == int(number)


def _common(
    incoming: Sequence[Projection], factors: Sequence[np.ndarray], tensors: dict[str, np.ndarray]
) -> np.ndarray:
    """q > 0 for the population: rules 2 and 3."""

    def weights(projection: Projection) -> int:
        return sum(tensors[ref].size for op in projection.map for ref in op.refs())

    order = sorted(range(len(incoming)), key=lambda i: -weights(incoming[i]))
    q = np.zeros(np.broadcast_shapes(*(f.shape for f in factors)))
    for index in order:
        q = np.where(q == 0, np.abs(factors[index]), q)
    return np.where(q == 0, 1.0, q)


def _scaled(place: Population, q: np.ndarray, tensors: dict[str, np.ndarray]) -> Population:
    """The population with threshold, bias, initial membrane and current divided by ``q``."""
    neuron = place.neuron
    assert isinstance(neuron, Neuron)

    def divided(value: Number, what: str) -> Number:
        if not isinstance(value, Ref) and value == 0:
            return value
        return _number(_value(value, tensors) / q, f"{place.name}.{what}.folded", tensors)

    return replace(
        place,
        neuron=replace(
            neuron,
            threshold=divided(neuron.threshold, "threshold"),
            bias=divided(neuron.bias, "bias"),
            initial=divided(neuron.initial, "initial"),
            current_initial=divided(neuron.current_initial, "current_initial"),
        ),
    )


def _number(value: np.ndarray, name: str, tensors: dict[str, np.ndarray]) -> Number:
    if value.size == 1 and value.ndim == 0:
        return float(value)
    tensors[name] = value
    return Ref(name)


def _with_diagonal(
    projection: Projection, factor: np.ndarray, name: str, tensors: dict[str, np.ndarray]
) -> Projection:
    """The projection with its trailing diagonals replaced by ``factor`` (rule 4)."""
    maps, _ = _split(projection.map)
    if np.all(factor == 1):
        return replace(projection, map=maps)
    number: Number = float(factor.reshape(-1)[0]) if np.all(factor == factor.reshape(-1)[0]) else (
        _number(factor, name, tensors))  # fmt: skip
    return replace(projection, map=(*maps, Scale(number)))


def _into_weights(network: Network) -> Outcome[Network]:
    """Rule 5. A diagonal that varies along other axes than the outputs stays where it is."""
    tensors = dict(network.tensors)
    projections: list[Projection] = []
    folded = 0
    for projection in network.projections:
        maps, scales = _split(projection.map)
        factor = _diagonal(projection, tensors)
        last = maps[-1] if maps else None
        if scales and isinstance(last, Conv | ConvTranspose | Dense):
            weight = tensors[last.weight]
            groups = last.groups if isinstance(last, ConvTranspose) else 0
            outputs = weight.shape[1] * groups if groups else len(weight)
            per_output = _per_output(factor, outputs, not isinstance(last, Dense))
            if per_output is not None:
                name = f"{last.weight}.folded:{len(projections)}"
                tensors[name] = weight * _along_outputs(per_output, weight, groups)
                maps = (*maps[:-1], replace(last, weight=Ref(name)))
                projection = replace(projection, map=maps)
                folded += 1
        projections.append(projection)
    changed = network.with_changes(projections=projections, tensors=tensors)
    return Outcome(changed, report=Folded(projections_folded=folded))


def _per_output(factor: np.ndarray, outputs: int, channel_first: bool) -> np.ndarray | None:
    """``factor`` as one number an output channel or row, or None."""
    if factor.size == 1:
        return np.full(outputs, float(factor.reshape(-1)[0]))
    axis = 0 if channel_first else factor.ndim - 1
    fits = factor.shape[axis] == outputs and factor.size == outputs
    return factor.reshape(-1) if fits else None


def _along_outputs(factor: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    """One number an output so that it multiplies a weight (O, I, …).

    With ``groups`` the weight is (I, O/groups, …), that of a transposed conv.
    """
    tail = (1,) * (weight.ndim - 2)
    if not groups:
        return factor.reshape(-1, 1, *tail)
    repeated = factor.reshape(groups, -1).repeat(len(weight) // groups, 0)
    return repeated.reshape(len(weight), -1, *tail)
