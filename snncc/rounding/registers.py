"""Scales and registers: from the numbers of a float Network to those of a fixed one.

A scale says how many units of weight make 1.0 at a population. It may differ along one ``axis`` of
the population (along the channels), or is one for all (axis None): its array has the population's
number of axes, each of size 1 but that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from snncc.ir.graph import Tensors
from snncc.ir.network import Neuron, Projection
from snncc.ir.ops import Conv, Dense, Number, Op, Ref, Reshape, Scale, Sparse
from snncc.ir.registers import FORGET, ONE, RANGES, UNITY, WEIGHTS, FixedNeuron
from snncc.ir.shapes import Shape

Array = np.ndarray

NEVER = 1e30
"""A threshold that nothing reaches, in place of infinity."""

LEAST = 1 / NEVER
"""A threshold below it is one of 0 with >: no scale makes it a number of units."""


def value(number: Number, tensors: Tensors) -> Array:
    return np.asarray(tensors[number] if isinstance(number, Ref) else float(number))


def step(weight_bits: int) -> int:
    """The distance of two weights of mixed sign in so many bits, the sign being one of them."""
    return 1 << (9 - weight_bits)


def along(numbers: Array, axis: int | None, rank: int) -> Array:
    """The largest of ``numbers``, which broadcast over a population, along ``axis`` or of all."""
    full = numbers.reshape((1,) * (rank - numbers.ndim) + numbers.shape)
    others = tuple(each for each in range(rank) if each != axis)
    return np.asarray(full.max(axis=others, keepdims=True))


@dataclass(frozen=True)
class Synapses:
    """The weights of one realised projection to a target of ``shape``.

    ``values`` are those of its Conv, Dense, Sparse or Scale; an identity weighs 1.
    """

    projection: Projection
    shape: Shape
    values: Array
    rows: Array | None = None
    """Of a Sparse, the target neuron of each weight."""

    @classmethod
    def of(cls, projection: Projection, shape: Shape, tensors: Tensors) -> Synapses:
        match _weighing(projection):
            case Conv() | Dense() as op:
                return cls(projection, shape, tensors[op.weight].astype(np.float64))
            case Sparse() as op:
                counts = np.diff(tensors[op.indptr])
                rows = np.repeat(np.arange(len(counts)), counts)
                return cls(projection, shape, tensors[op.data].astype(np.float64), rows)
            case Scale() as op:
                return cls(projection, shape, value(op.factor, tensors).astype(np.float64))
        return cls(projection, shape, np.ones(()))

    @cached_property
    def op(self) -> Op | None:
        return _weighing(self.projection)

    @property
    def axes(self) -> frozenset[int]:
        """The axes of the target along which every output may have a scale of its own."""
        match self.op:
            case Conv():
                return frozenset({0})
            case Dense():
                return frozenset({len(self.shape) - 1})
        return frozenset(range(len(self.shape)))

    def spread(self, scale: Array) -> Array:
        """A scale of the target as it broadcasts over ``values``."""
        match self.op:
            case Conv():
                return scale.reshape(-1, *[1] * (self.values.ndim - 1))
            case Dense():
                return scale.reshape(-1, 1)
            case Sparse():
                return np.broadcast_to(scale, self.shape).ravel()[self.rows]
        return scale

    def reach(self, axis: int | None, relative: Array) -> tuple[Array, Array]:
        """The most a weight times ``relative`` goes above 0 and below, for each scale."""
        values = self.values * self.spread(relative)
        rank = len(self.shape)
        return (
            along(self._each_output(np.maximum(values, 0), np.maximum), axis, rank),
            along(self._each_output(np.maximum(-values, 0), np.maximum), axis, rank),
        )

    def sums(self, values: Array) -> Array:
        """The sum of |values| over what an output gathers; broadcasts over the target."""
        return self._each_output(np.abs(values.astype(np.float64)), np.add)

    def _each_output(self, values: Array, function: np.ufunc) -> Array:
        match self.op:
            case Conv():
                flat = values.reshape(len(values), -1)
                return np.asarray(function.reduce(flat, 1)).reshape(
                    -1, *[1] * (len(self.shape) - 1)
                )
            case Dense():
                return np.asarray(function.reduce(values, 1))
            case Sparse():
                assert self.rows is not None
                total = np.zeros(math.prod(self.shape))
                function.at(total, self.rows, values)
                return total.reshape(self.shape)
        return values

    def rounded(self, scale: Array, weight_bits: int) -> Array:
        """``values`` in units, to the nearest the synapses hold; int16."""
        between, (low, _) = step(weight_bits), WEIGHTS
        units: Array = between * np.rint(self.values * self.spread(scale) / between)
        return units.clip(low, -low - between).astype(np.int16)

    def with_weights(self, number: Number) -> Projection:
        """The projection with other weights."""
        chain = self.projection.map
        new: tuple[Op, ...] = (Scale(number),)
        if isinstance(self.op, Conv | Dense):
            assert isinstance(number, Ref)
            new = (replace(self.op, weight=number),)
        elif isinstance(self.op, Sparse):
            assert isinstance(number, Ref)
            new = (replace(self.op, data=number),)
        kept = tuple(op for op in chain if isinstance(op, Reshape))
        return replace(self.projection, map=(*kept, *new))


def quantum(synapses: Sequence[Synapses]) -> float:
    """What all weights are whole multiples of, up to 127 times, or 0."""
    sizes = np.unique(np.concatenate([np.zeros(1), *(abs(e.values).ravel() for e in synapses)]))
    sizes = sizes[1:]
    if not sizes.size or sizes[-1] > 127.5 * sizes[0]:
        return 0.0
    multiples = sizes / sizes[0]
    whole = np.abs(multiples - np.rint(multiples)) < 1e-9 * multiples
    return float(sizes[0]) if whole.all() else 0.0


def _weighing(projection: Projection) -> Op | None:
    """The one op of a realised projection that weighs; None for an identity.

    Raises ValueError for a projection that is not realised.
    """
    weighing = [op for op in projection.map if not isinstance(op, Reshape)]
    if not weighing:
        return None
    if len(weighing) > 1 or not isinstance(weighing[0], Conv | Dense | Sparse | Scale):
        raise ValueError(f"{projection.source} -> {projection.target} is not realised")
    return weighing[0]


@dataclass(frozen=True)
class Levels:
    """The numbers of a ``Neuron`` as arrays."""

    decay: Array
    threshold: Array
    bias: Array
    initial: Array
    current_decay: Array

    @classmethod
    def of(cls, neuron: Neuron, tensors: Tensors) -> Levels:
        names = ("decay", "threshold", "bias", "initial", "current_decay")
        levels = cls(*(value(getattr(neuron, name), tensors) for name in names))
        return replace(levels, threshold=np.minimum(levels.threshold, NEVER))

    def lifted(self, to: Array) -> Levels:
        """A memoryless neuron with θ and bias raised alike, θ to ``to``."""
        return replace(self, threshold=to, bias=self.bias + (to - self.threshold))


def registers(neuron: Neuron, levels: Levels, scale: Array, offset: Array) -> dict[str, Array]:
    """The registers of ``neuron`` at a scale, by name.

    The threshold is that of a membrane of whole units, v ≥ θ being v > ⌈θ⌉ − 1, plus ``offset``. A
    bias gets the smallest exponent that its mantissa allows.
    """
    low, high = RANGES["vth"]
    vth = np.clip(np.ceil(levels.threshold * scale) - 1 + offset, low, high)
    mant, exp = mantissa_exponent(levels.bias * scale * ONE)
    du = np.clip(np.rint(UNITY * (1 - levels.current_decay)) - 1, *RANGES["du"])
    found = {
        "vth": vth,
        "dv": np.clip(np.rint(UNITY * (1 - levels.decay)), 0, FORGET),
        "du": du,
        "bias_mant": mant,
        "bias_exp": exp,
        "initial": np.clip(np.rint(levels.initial * scale * ONE), *RANGES["initial"]),
    }
    return {name: array.astype(np.int64) for name, array in found.items()}


def mantissa_exponent(bias: Array) -> tuple[Array, Array]:
    """``bias`` ≈ mantissa·2^exponent, the exponent the smallest that fits."""
    low, high = RANGES["bias_mant"]
    mant, exp = np.rint(bias), np.zeros(bias.shape)
    for e in range(1, RANGES["bias_exp"][1] + 1):
        outside = (mant < low) | (mant > high)
        mant = np.where(outside, np.rint(bias / (1 << e)), mant)
        exp = np.where(outside, float(e), exp)
    return np.clip(mant, low, high), exp


DTYPES: Mapping[str, type[np.signedinteger]] = {
    "vth": np.int32, "dv": np.int16, "du": np.int16, "bias_mant": np.int16, "bias_exp": np.int16,
    "initial": np.int32,
}  # fmt: skip


def as_neuron(
    neuron: Neuron, numbers: Mapping[str, Array], stem: str, tensors: dict[str, Array]
) -> FixedNeuron:
    """The neuron with these registers; what is not one number goes into ``tensors``."""
    fields: dict[str, int | Ref] = {}
    for name, array in numbers.items():
        if name == "bias_exp" and not numbers["bias_mant"].any():
            continue
        if np.all(array == array.flat[0]):
            fields[name] = int(array.flat[0])
        else:
            fields[name] = ref = Ref(f"{stem}.{name}")
            tensors[ref] = array.astype(DTYPES[name])
    biased = bool(numbers["bias_mant"].any())
    has_current = bool((numbers["du"] != UNITY - 1).any())
    into = "current" if biased and has_current else "membrane"
    return FixedNeuron(**fields, reset=neuron.reset, when=neuron.when, bias_into=into)  # type: ignore[arg-type]
