"""Where floating point computes a Network without any rounding.

A number is dyadic where it is a whole multiple of a power of two, its unit. Sums of multiples of a
unit are exact, in any order, as long as all are below 2ᵖ units, where p is how many bits the dtype
holds (24 in float32). All here is bounds: of what a sum can be, and of the unit it is counted in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from snncc.ir.graph import Tensors
from snncc.ir.interpreter.operations import TensorStore, Value, apply
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import (
    AdaptivePool,
    Conv,
    ConvTranspose,
    Dense,
    Number,
    Op,
    Pad,
    Permute,
    Pool,
    Ref,
    Reshape,
    Scale,
    Slice,
    Sparse,
    Upsample,
)
from snncc.ir.shapes import Shape

MOVES = (Reshape, Permute, Pad, Slice, Upsample)
"""Ops that compute nothing."""

LONGEST = 1 << 14
"""Steps beyond which nothing is looked at: each takes its time."""


def sums_are_exact(
    network: Network, steps: int, dtype: torch.dtype, counts: Mapping[str, int] | None = None
) -> bool:
    """Whether spikes and outputs in ``dtype`` are proved to be those of exact arithmetic.

    That is where every weight, threshold, bias and initial membrane is dyadic and no sum or
    membrane, in so many ``steps``, can outgrow what ``dtype`` holds in their unit; decays are
    powers of two or 0, and averages divide by powers of two. Then float32 gives what float64 gives.
    ``counts`` are the largest counts that sources of that kind send; without one nothing is proved,
    and neither is it of what an encoder says. Where it cannot be proved the answer is False. What
    the host makes of the outputs over time is not looked at.
    """
    if network.is_fixed or network.encoders or steps > LONGEST:
        return False
    largest = {p.name: 1 for p in network.places.values() if isinstance(p, Source | Population)}
    for source in network.sources:
        if source.kind == "count":
            if source.name not in (counts or {}):
                return False
            largest[source.name] = (counts or {})[source.name]
    try:
        for place in network.places.values():
            if isinstance(place, Population | Readout):
                heard = _Bound(Fraction(0), None)
                for projection in network.incoming[place.name]:
                    heard += _brought(network, projection, largest[projection.source], dtype)
                _check(heard, dtype)
                _finish(place, heard, steps, network.tensors, dtype)
    except _Unproved:
        return False
    return True


def heaviest(map: Sequence[Op], shape: Shape, tensors: Tensors) -> float:
    """The largest sum of absolute weights into one target, of a map from features of ``shape``.

    So far from 0 can spikes bring a target, and all sums on the way.
    """
    return float(_most(_through(map, torch.ones(1, *shape, dtype=torch.float64), tensors)))


class _Unproved(Exception):
    """A sum may round."""


@dataclass(frozen=True)
class _Bound:
    """Numbers not beyond ``most`` that are multiples of 2 to the ``unit``; None: they are all 0."""

    most: Fraction
    unit: int | None

    def __add__(self, other: _Bound) -> _Bound:
        units = [unit for unit in (self.unit, other.unit) if unit is not None]
        return _Bound(self.most + other.most, min(units, default=None))

    def __mul__(self, other: _Bound) -> _Bound:
        if self.unit is None or other.unit is None:
            return _Bound(Fraction(0), None)
        return _Bound(self.most * other.most, self.unit + other.unit)


def _check(bound: _Bound, dtype: torch.dtype) -> _Bound:
    """Raises _Unproved unless ``dtype`` holds all such numbers."""
    kind = torch.finfo(dtype)
    bits, smallest = 1 - round(math.log2(kind.eps)), round(math.log2(kind.tiny))
    if bound.unit is not None and (
        bound.most >= Fraction(2) ** (bits + bound.unit)
        or bound.unit < smallest
        or bound.most > Fraction(kind.max)
    ):
        raise _Unproved
    return bound


def _values(number: Number, tensors: Tensors) -> np.ndarray:
    return np.asarray(tensors[number] if isinstance(number, Ref) else number, np.float64)


def _bound(values: np.ndarray) -> _Bound:
    """Of given numbers."""
    if not np.isfinite(values).all():
        raise _Unproved
    some = values[values != 0]
    if not some.size:
        return _Bound(Fraction(0), None)
    mantissas, exponents = np.frexp(np.abs(some))
    whole = (mantissas * 2.0**53).astype(np.int64)
    # The lowest bit of each, and where it stands.
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return _Bound(Fraction(float(np.abs(some).max())), int((exponents - 53 + lowest).min()))


def _brought(network: Network, projection: Projection, largest: int, dtype: torch.dtype) -> _Bound:
    """What a projection brings at most, every sum on the way checked."""
    tensors, shape = network.tensors, network.places[projection.source].shape
    x = torch.full((1, *shape), float(largest), dtype=torch.float64)
    bound = _check(_Bound(Fraction(largest), 0), dtype)
    for op in projection.map:
        y = _through((op,), x, tensors)
        unit = bound.unit
        assert unit is not None
        match op:
            case Conv() | ConvTranspose() | Dense() | Sparse() | Scale():
                number = op.factor if isinstance(op, Scale) else (
                    op.data if isinstance(op, Sparse) else op.weight)  # fmt: skip
                weights = _check(_bound(_values(number, tensors)), dtype)
                unit += weights.unit or 0
                bound = _check(_Bound(_most(y), unit), dtype)
            case Pool() | AdaptivePool():
                windows = _window(op, tuple(x.shape[1:]))
                bound = _check(_Bound(_most(y) * windows, unit), dtype)
                bound = _check(_Bound(_most(y), unit - windows.bit_length() + 1), dtype)
            case _ if isinstance(op, MOVES):
                bound = _Bound(_most(y), unit)
            case _:
                raise _Unproved
        x = y
    return bound


def _window(op: Pool | AdaptivePool, shape: Shape) -> int:
    """What all windows divide by. Raises _Unproved where they differ or it is no power of two."""
    if op.kind != "average":
        return 1
    if isinstance(op, Pool):
        alike = not op.ceil and (op.count_padding or not any(op.padding))
        count = math.prod(op.kernel)
    else:
        sizes = list(zip(shape[-len(op.size) :], op.size, strict=True))
        alike = all(size % parts == 0 for size, parts in sizes)
        count = math.prod(size // parts for size, parts in sizes)
    if not alike or count & (count - 1):
        raise _Unproved
    return count


def _through(map: Sequence[Op], x: Value, tensors: Tensors) -> Value:
    """The most that numbers up to ``x`` come to: through the same map with absolute weights.

    float64 adds such sums up without rounding, or to no less than 2⁵³ units.
    """
    absolute: dict[str, np.ndarray] = {}
    for op in map:
        places = (op.indices, op.indptr) if isinstance(op, Sparse) else ()
        for ref in op.refs():
            values = np.asarray(tensors[ref])
            absolute[ref] = values if ref in places else np.abs(values.astype(np.float64))
    store = TensorStore(absolute, torch.float64)
    for op in map:
        x = apply(op, [x], store).abs()
    return x


def _most(x: Value) -> Fraction:
    most = float(x.max()) if x.numel() else 0.0
    if not math.isfinite(most):
        raise _Unproved
    return Fraction(most)


def _finish(
    place: Population | Readout, heard: _Bound, steps: int, tensors: Tensors, dtype: torch.dtype
) -> None:
    """Check what a place makes of what it hears."""
    if isinstance(place, Readout):
        unit = _check(_bound(_values(place.unit, tensors)), dtype)
        scaled = _check(heard * unit, dtype)
        _check(scaled + _check(_bound(_values(place.bias, tensors)), dtype), dtype)
        return
    neuron = place.neuron
    assert isinstance(neuron, Neuron)
    bias, theta, v = (
        _check(_bound(_values(number, tensors)), dtype)
        for number in (neuron.bias, neuron.threshold, neuron.initial)
    )
    decay, fade = (_decay(number, tensors) for number in (neuron.decay, neuron.current_decay))
    kept = _decay(neuron.keep, tensors) if neuron.keeps else _Bound(Fraction(0), None)
    x = _check(heard + bias, dtype)
    has_current = isinstance(neuron.current_decay, Ref) or neuron.current_decay != 0
    current = x if not has_current else _check(
        _bound(_values(neuron.current_initial, tensors)), dtype)  # fmt: skip
    for _ in range(steps):
        if has_current:
            current = _check(_check(current * fade, dtype) + x, dtype)
        h = _check(_check(v * decay, dtype) + current, dtype)
        if neuron.keeps:
            part = _check(h * kept, dtype)
            h = _Bound(max(h.most, part.most), (h + part).unit)
            _check(h, dtype)
        before, v = v, h
        if neuron.reset == "soft" or neuron.when == "both":
            # Of what fires now a threshold is taken off; late, it may be so twice, and from 0.
            least = _values(neuron.threshold, tensors).min(initial=0)
            falls = neuron.when == "now" and least >= 0
            lowered = h + theta if falls else h + theta + theta
            v = _check(_Bound(h.most if falls else lowered.most, lowered.unit), dtype)
        if v == before and not has_current:
            break


def _decay(number: Number, tensors: Tensors) -> _Bound:
    """Of decays that are powers of two, or 0. Raises _Unproved for others."""
    values = np.abs(_values(number, tensors))
    if not np.isin(np.frexp(values)[0], (0.0, 0.5)).all():
        raise _Unproved
    return _bound(values)
