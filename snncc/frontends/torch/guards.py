"""What forward asks about the number of samples: each question is answered the other way, too.

The number of samples of a recording is 2 or 3, and a program takes any. So forward sees it as a
`Samples`, a whole number that knows what it would be for another number of samples. A comparison
with it is noted, and the module is later verified with the least number of samples for which the
comparison comes out otherwise.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from snncc.frontends.torch.axes import Axes

MOST = 4096
"""So many samples are looked through for another answer."""

FAR = tuple(2**power for power in range(13, 41))
"""And so many beyond."""

OTHERS = (1, 2, 5, 64, 4097, 2**31)
"""Numbers of samples for which a slice must be what it is for the recorded one."""

Guard = Callable[[int], bool]
"""The outcome of a comparison for a number of samples."""


Number = int | float


@dataclass(frozen=True)
class _Constant:
    """What is the same for every number of samples; 1 and 1.0 are two."""

    value: Number
    kind: type

    def __call__(self, samples: int) -> Number:
        return self.value


@dataclass(frozen=True)
class _Multiple:
    """``times`` the number of samples."""

    times: int

    def __call__(self, samples: int) -> int:
        return samples * self.times


@dataclass(frozen=True)
class _Computed:
    """``make`` of two numbers; the same question that is asked again is an equal one."""

    make: Callable[[Any, Any], Any]
    one: Callable[[int], Number]
    two: Callable[[int], Number]

    def __call__(self, samples: int) -> Any:
        return self.make(self.one(samples), self.two(samples))


class _Asked:
    """What `Samples` and `Share` have in common: whole and real numbers made of it.

    ``of`` gives the number for any number of samples; comparisons go into ``guards``, with their
    outcome.
    """

    of: Callable[[int], Number]
    guards: list[tuple[Guard, bool]]

    def plain(self) -> Number:
        """The number alone."""
        return int(self) if isinstance(self, int) else float(self)  # type: ignore[arg-type]

    def _compare(self, compare: Callable[[Any, Any], Any], other: object) -> Any:
        outcome = compare(self.plain(), _plain(other))
        if outcome is NotImplemented or not isinstance(other, int | float):
            return outcome
        self.guards.append((_Computed(compare, self.of, _of(other)), outcome))
        return outcome

    def _make(self, make: Callable[[Any, Any], Any], one: object, two: object) -> Any:
        if not (isinstance(one, int | float) and isinstance(two, int | float)):
            return NotImplemented
        value = make(_plain(one), _plain(two))
        return _made(value, _Computed(make, _of(one), _of(two)), self.guards)

    def __bool__(self) -> bool:
        return bool(self._compare(operator.ne, 0))

    def __neg__(self) -> Any:
        return self._make(operator.sub, 0, self)

    def __abs__(self) -> Any:
        return self._make(_size, self, 0)


class Samples(_Asked, int):
    """A whole number that forward made of the number of samples."""

    __hash__ = int.__hash__


class Share(_Asked, float):
    """A real number that forward made of the number of samples."""

    __hash__ = float.__hash__


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[_Asked, object], Any]:
    return lambda self, other: self._compare(compare, other)


def _operation(
    make: Callable[[Any, Any], Any], *, turned: bool = False
) -> Callable[[_Asked, object], Any]:
    if turned:
        return lambda self, other: self._make(make, other, self)
    return lambda self, other: self._make(make, self, other)


def _size(number: Any, _: Any) -> Any:
    return abs(number)


def _safe(make: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """0 where a number of samples divides by zero."""
    return lambda one, two: make(one, two) if two else 0


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "pow": operator.pow,
    "truediv": _safe(operator.truediv), "floordiv": _safe(operator.floordiv),
    "mod": _safe(operator.mod), "and": operator.and_, "or": operator.or_, "xor": operator.xor,
    "lshift": operator.lshift, "rshift": operator.rshift,
}  # fmt: skip
for _class in (Samples, Share):
    for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(_class, f"__{_name}__", _comparison(getattr(operator, _name)))
    for _name, _operator in _OPERATIONS.items():
        setattr(_class, f"__{_name}__", _operation(_operator))
        setattr(_class, f"__r{_name}__", _operation(_operator, turned=True))


def _plain(value: Any) -> Any:
    return value.plain() if isinstance(value, _Asked) else value


def _of(value: Number) -> Callable[[int], Number]:
    return value.of if isinstance(value, _Asked) else _Constant(value, type(value))


def for_samples(value: Any, samples: int) -> Any:
    """What ``value`` is for another number of samples."""
    return value.of(samples) if isinstance(value, _Asked) else value


def _made(value: Any, of: Callable[[int], Any], guards: list[tuple[Guard, bool]]) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    made: Samples | Share = Samples(value) if isinstance(value, int) else Share(value)
    made.of, made.guards = of, guards
    return made


def sizes(
    shape: Iterable[int], axes: Axes, steps: int | None, guards: list[tuple[Guard, bool]]
) -> torch.Size:
    """A shape as forward sees it: the axes of samples as `Samples`."""
    return torch.Size([
        _made(int(size), _Multiple(1 if role == "N" else steps or 1), guards)
        if "N" in role else size
        for size, role in zip(shape, axes, strict=True)
    ])  # fmt: skip


def other_answers(guards: Iterable[tuple[Guard, bool]]) -> frozenset[int]:
    """For each comparison the least number of samples that answers it otherwise, if any does."""
    found: set[int] = set()
    for asked, outcome in dict.fromkeys(guards):
        if any(asked(samples) != outcome for samples in found):
            continue
        other = next((n for n in (*range(1, MOST + 1), *FAR) if asked(n) != outcome), None)
        found |= set() if other is None else {other}
    return frozenset(found)
