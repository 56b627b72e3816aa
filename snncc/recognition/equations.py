"""Equations of membranes: sums of real variables whose coefficients hang on spikes, exactly.

A value is a sum of terms (coefficient × spikes × at most one real variable). Spikes are 0 or 1, so
that each is there once in a term. Coefficients are fractions of the float64 numbers, or arrays of
them, one per channel or one per neuron: no rounding, and no evaluation at a few points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

Coefficient = Any
"""A Fraction, or an array of them that broadcasts over the features."""


@dataclass(frozen=True, order=True)
class Bit:
    """The spikes of a comparison, of this step or ``late``, of the step before."""

    name: str
    late: bool = False


Term = tuple[frozenset[Bit], str]
"""The spikes and the real variable of a term, "" for none."""


MOST = 4096
"""So many terms a product may have."""


class NoForm(Exception):
    """An equation that is no such sum; says what stands in the way.

    ``node`` is where, if it is not the comparison, and ``help`` what to do about it.
    """

    def __init__(self, said: str, node: str = "", help: str = "") -> None:
        super().__init__(said)
        self.node, self.help = node, help


@dataclass(frozen=True, eq=False)
class Sum:
    """Terms with their coefficients, none of which is 0."""

    terms: Mapping[Term, Coefficient]

    @classmethod
    def of(cls, terms: Iterable[tuple[Term, Coefficient]]) -> Sum:
        total: dict[Term, Coefficient] = {}
        for term, coefficient in terms:
            total[term] = total[term] + coefficient if term in total else coefficient
        return cls({term: c for term, c in total.items() if not is_zero(c)})

    @classmethod
    def constant(cls, value: Coefficient) -> Sum:
        return cls.of([((frozenset(), ""), value)])

    @classmethod
    def variable(cls, name: str) -> Sum:
        return cls({(frozenset(), name): Fraction(1)})

    @classmethod
    def bit(cls, bit: Bit) -> Sum:
        return cls({(frozenset([bit]), ""): Fraction(1)})

    def __add__(self, other: Sum) -> Sum:
        return Sum.of([*self.terms.items(), *other.terms.items()])

    def __sub__(self, other: Sum) -> Sum:
        return self + other.times(Fraction(-1))

    def times(self, factor: Coefficient) -> Sum:
        return Sum.of((term, scaled(c, factor)) for term, c in self.terms.items())

    def __mul__(self, other: Sum) -> Sum:
        if len(self.terms) * len(other.terms) > MOST:
            raise NoForm("a product of too many spikes")
        return Sum.of(self._products(other))

    def _products(self, other: Sum) -> Iterator[tuple[Term, Coefficient]]:
        for ((bits, name), c), ((others, more), d) in product(
            self.terms.items(), other.terms.items()
        ):
            if name and more:
                raise NoForm(f"`{name}` times `{more}`")
            yield (bits | others, name or more), scaled(c, d)

    @property
    def variables(self) -> frozenset[str]:
        return frozenset(name for _, name in self.terms if name)

    @property
    def bits(self) -> frozenset[Bit]:
        return frozenset(bit for bits, _ in self.terms for bit in bits)

    def at(self, spikes: Mapping[Bit, int]) -> Sum:
        """With some spikes known."""
        return Sum.of(
            ((frozenset(b for b in bits if b not in spikes), name), c)
            for (bits, name), c in self.terms.items()
            if all(spikes.get(bit, 1) for bit in bits)
        )

    def renamed(self, names: Mapping[Bit, Bit]) -> Sum:
        return Sum.of(
            ((frozenset(names.get(bit, bit) for bit in bits), name), c)
            for (bits, name), c in self.terms.items()
        )

    def put(self, name: str, value: Sum) -> Sum:
        """With ``value`` in the place of a variable."""
        rest = Sum.of((term, c) for term, c in self.terms.items() if term[1] != name)
        for (bits, variable), c in self.terms.items():
            if variable == name:
                rest = rest + Sum.of([((bits, ""), c)]) * value
        return rest

    def of_variable(self, name: str) -> Coefficient:
        """The coefficient of a variable, or of none, in a sum without spikes."""
        return self.terms.get((frozenset(), name), Fraction(0))

    @property
    def constant_part(self) -> Coefficient:
        """What stands alone, in a sum without spikes."""
        return self.of_variable("")

    @property
    def is_spike(self) -> bool:
        """Whether it is 0 or 1 whatever the spikes are."""
        bits = sorted(self.bits)
        if self.variables or len(bits) > 3:
            return False
        values = (
            self.at({bit: number >> i & 1 for i, bit in enumerate(bits)}).constant_part
            for number in range(1 << len(bits))
        )
        return all(isinstance(v, Fraction) and v in (0, 1) for v in values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and not (self - other).terms

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        shown = " + ".join(_shown(term, c) for term, c in self.terms.items()) or "0"
        return shown.replace("+ -", "− ").replace("-", "−")


def _shown(term: Term, coefficient: Coefficient) -> str:
    bits, name = term
    number = _number(coefficient)
    factors = [] if number == "1" and (bits or name) else [number]
    factors += [f"{bit.name}{'.before' if bit.late else ''}" for bit in sorted(bits)]
    return "·".join([*factors, *([name] if name else [])])


def _number(coefficient: Coefficient) -> str:
    if isinstance(coefficient, Fraction):
        return f"{float(coefficient):g}"
    return "[…]"


ONE = Fraction(1)


def exact(values: Any) -> Coefficient:
    """Numbers as fractions: one where all are the same, or an array of them."""
    array = np.asarray(values, np.float64)
    if array.size and (array == array.flat[0]).all():
        return Fraction(float(array.flat[0]))
    known = {float(value): Fraction(float(value)) for value in np.unique(array)}
    result = np.empty(array.shape, object)
    result.reshape(-1)[:] = [known[float(value)] for value in array.reshape(-1)]
    return result


def is_zero(coefficient: Coefficient) -> bool:
    if isinstance(coefficient, Fraction):
        return coefficient == 0
    return not np.any(coefficient != 0)


def is_never_zero(coefficient: Coefficient) -> bool:
    if isinstance(coefficient, Fraction):
        return coefficient != 0
    return bool(np.all(coefficient != 0))


def alike(one: Coefficient, two: Coefficient) -> bool:
    return bool(np.all(one == two))


def scaled(coefficient: Coefficient, factor: Coefficient) -> Coefficient:
    """Their product; an array times 1 costs nothing."""
    for one, two in ((coefficient, factor), (factor, coefficient)):
        if isinstance(one, Fraction) and (one == 1 or isinstance(two, Fraction)):
            return two if one == 1 else one * two
    return coefficient * factor


def joined(coefficient: Coefficient) -> Coefficient:
    """One number where all are the same."""
    if isinstance(coefficient, Fraction) or (coefficient != coefficient.flat[0]).any():
        return coefficient
    return coefficient.flat[0]


def is_float(coefficient: Coefficient) -> bool:
    """Whether float64 holds it."""
    if isinstance(coefficient, Fraction):
        return Fraction(float(coefficient)) == coefficient
    return all(map(is_float, coefficient.reshape(-1)))


def as_float(coefficient: Coefficient) -> float | np.ndarray:
    """Rounded once to float64; one number where all are the same."""
    if isinstance(coefficient, Fraction):
        return float(coefficient)
    array = np.array([float(c) for c in coefficient.reshape(-1)]).reshape(coefficient.shape)
    return float(array.flat[0]) if (array == array.flat[0]).all() else array
