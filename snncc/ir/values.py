"""Value sets: what an edge can carry, for every input (design, section 2)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LIMIT = 4096
"""A set with more members is widened to ``REAL``: counting further proves nothing useful."""


@dataclass(frozen=True)
class ValueSet:
    """A finite set of possible values in rising order, or every real number (``members`` None)."""

    members: tuple[float, ...] | None

    @classmethod
    def of(cls, values: Iterable[float]) -> ValueSet:
        """The set of ``values``; ``REAL`` when there are more than ``LIMIT``."""
        members = sorted({float(value) + 0.0 for value in values})
        return REAL if len(members) > LIMIT else cls(tuple(members))

    @property
    def is_finite(self) -> bool:
        return self.members is not None

    @property
    def largest(self) -> float:
        """The largest member; infinity where any number may come."""
        return math.inf if self.members is None else max(self.members)

    @property
    def is_spike(self) -> bool:
        """No value but 0 and 1."""
        return self.members is not None and set(self.members) <= {0.0, 1.0}

    @property
    def is_count(self) -> bool:
        """Whole numbers from 0 up."""
        return self.members is not None and all(v >= 0 and v == int(v) for v in self.members)

    def image(self, function: Callable[..., float], *others: ValueSet) -> ValueSet:
        """All values of ``function`` over independent members of this set and ``others``."""
        sets = (self, *others)
        size = 1
        for values in sets:
            if values.members is None:
                return REAL
            size *= len(values.members)
        if size > LIMIT * 16:
            return REAL
        return ValueSet.of(
            function(*choice) for choice in itertools.product(*(v.members or () for v in sets))
        )

    def __str__(self) -> str:
        if self.members is None:
            return "real"
        whole = [int(value) for value in self.members if value == int(value)]
        if len(whole) == len(self.members) > 3 and whole == list(range(whole[0], whole[-1] + 1)):
            return f"{{{whole[0]}..{whole[-1]}}}"
        return "{" + ",".join(f"{value:g}" if value == float(f"{value:g}") else repr(value)
                              for value in self.members) + "}"  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> ValueSet:
        """The set that prints as ``text``. Raises ValueError."""
        if text == "real":
            return REAL
        inside = text.strip()[1:-1]
        if ".." in inside:
            low, high = inside.split("..")
            return cls.of(range(int(low), int(high) + 1))
        return cls.of(float(part) for part in inside.split(",") if part)


REAL = ValueSet(None)
ZERO = ValueSet((0.0,))
SPIKE = ValueSet((0.0, 1.0))
