"""What forward asks about the number of samples: each question is answered the other way, too.

The number of samples of a recording is 2 or 3, and a program takes any. So forward sees it as a
`Samples`, a whole number that knows what it would be for another number of samples. A comparison
with it is noted, and the module is later verified with the least number of samples for which the
comparison comes out otherwise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch

from snncc.frontends.torch.axes import Axes

MOST = 4096
"""So many samples are looked through for another answer."""

Guard = Callable[[int], bool]
"""The outcome of a comparison for a number of samples."""


class Samples(int):
    """A whole number that forward made of the number of samples.

    ``of`` gives it for any number of samples; comparisons go into ``guards``, with their outcome.
    """

    of: Callable[[int], int]
    guards: list[tuple[Guard, bool]]

    @classmethod
    def make(
        cls, value: int, of: Callable[[int], int], guards: list[tuple[Guard, bool]]
    ) -> Samples:
        made = cls(value)
        made.of, made.guards = of, guards
        return made

    def _asked(self, compare: Callable[[Any, Any], bool], other: object) -> Any:
        outcome = compare(int(self), int(other) if isinstance(other, Samples) else other)
        if outcome is NotImplemented or not isinstance(other, int | float):
            return outcome
        of, its = self.of, other.of if isinstance(other, Samples) else lambda samples: other
        self.guards.append((lambda samples: bool(compare(of(samples), its(samples))), outcome))
        return outcome

    def _made(self, make: Callable[[int, int], int], other: object, *, turned: bool = False) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        its = other.of if isinstance(other, Samples) else lambda samples: int(other)
        mine = self.of

        def of(samples: int) -> int:
            pair = (mine(samples), its(samples))
            return make(*(pair[::-1] if turned else pair))

        pair = (int(self), int(other))
        return Samples.make(make(*(pair[::-1] if turned else pair)), of, self.guards)

    def __eq__(self, other: object) -> Any:
        return self._asked(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._asked(operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._asked(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._asked(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._asked(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._asked(operator.ge, other)

    def __bool__(self) -> bool:
        return bool(self._asked(operator.ne, 0))

    __hash__ = int.__hash__

    def __add__(self, other: Any) -> Any:
        return self._made(operator.add, other)

    def __radd__(self, other: Any) -> Any:
        return self._made(operator.add, other, turned=True)

    def __sub__(self, other: Any) -> Any:
        return self._made(operator.sub, other)

    def __rsub__(self, other: Any) -> Any:
        return self._made(operator.sub, other, turned=True)

    def __mul__(self, other: Any) -> Any:
        return self._made(operator.mul, other)

    def __rmul__(self, other: Any) -> Any:
        return self._made(operator.mul, other, turned=True)

    def __floordiv__(self, other: Any) -> Any:
        return self._made(_quotient, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._made(_quotient, other, turned=True)

    def __mod__(self, other: Any) -> Any:
        return self._made(_rest, other)


def _quotient(one: int, two: int) -> int:
    return one // two if two else 0


def _rest(one: int, two: int) -> int:
    return one % two if two else 0


def sizes(
    shape: Iterable[int], axes: Axes, steps: int | None, guards: list[tuple[Guard, bool]]
) -> torch.Size:
    """A shape as forward sees it: the axes of samples as `Samples`."""

    def of(role: str) -> Callable[[int], int]:
        return (lambda samples: samples) if role == "N" else lambda samples: samples * (steps or 1)

    return torch.Size([
        Samples.make(size, of(role), guards) if "N" in role else size
        for size, role in zip(shape, axes, strict=True)
    ])  # fmt: skip


def other_answers(guards: Iterable[tuple[Guard, bool]]) -> frozenset[int]:
    """For each comparison the least number of samples that answers it otherwise, if any does."""
    found: set[int] = set()
    for asked, outcome in guards:
        if any(asked(samples) != outcome for samples in found):
            continue
        other = next((n for n in range(1, MOST + 1) if asked(n) != outcome), None)
        found |= set() if other is None else {other}
    return frozenset(found)
