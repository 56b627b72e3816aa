"""The role of each axis of a recorded tensor, and how ops that move axes change it.

Roles: "T" time, "N" samples, "TN" and "NT" both flattened into one axis (the first varies
slowest), "F" a feature, "1" an axis of size 1 that an ``unsqueeze`` put there and that may yet
become time (``repeat``) or a feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Axes = tuple[str, ...]

BATCH = ("T", "N", "TN", "NT")


class MixedAxes(ValueError):
    """An op joins features with time or samples, or one of these with itself out of order."""


@dataclass(frozen=True)
class Extent:
    """How many time steps and samples the recording has."""

    steps: int | None
    samples: int

    def size(self, role: str) -> int:
        sizes = {"T": self.steps or 1, "N": self.samples}
        product = 1
        for letter in role:
            product *= sizes[letter]
        return product


def features(axes: Axes, shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the feature axes."""
    return tuple(int(n) for role, n in zip(axes, shape, strict=True) if role == "F")


def feature_index(axes: Axes, dim: int) -> int:
    """Which feature axis the tensor axis ``dim`` is. Raises MixedAxes when it is none."""
    dim %= len(axes)
    if axes[dim] != "F":
        raise MixedAxes(f"axis {dim} is {describe(axes[dim])}")
    return axes[:dim].count("F")


def describe(role: str) -> str:
    names = {"T": "time", "N": "the samples", "F": "a feature", "1": "a placeholder"}
    return names.get(role, "time and samples")


def written_out(index: Any, rank: int) -> list[Any]:
    """An index by numbers and slices as one item an axis, and None where one is made."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [int(i) if isinstance(i, np.integer) else i for i in items]
    named = sum(i is not None and i is not Ellipsis for i in items)
    if Ellipsis in items:
        place = items.index(Ellipsis)
        items[place : place + 1] = [slice(None)] * (rank - named)
    return items + [slice(None)] * (rank - sum(i is not None for i in items))


def without_time(axes: Axes) -> Axes:
    """The roles of one step of what has these."""
    return tuple(role.replace("T", "") for role in axes if role != "T")


def reshaped(axes: Axes, shape: Sequence[int], target: Sequence[int], extent: Extent) -> Axes:
    """Roles after a row-major reshape to ``target``.

    Raises MixedAxes when an axis of ``target`` would hold features and time or samples together.
    """
    atoms: list[tuple[str, int]] = []
    for role, size in zip(axes, shape, strict=True):
        if role in BATCH:
            atoms += [(letter, extent.size(letter)) for letter in role]
        elif role == "F":
            if atoms and atoms[-1][0] == "F":
                atoms[-1] = ("F", atoms[-1][1] * int(size))
            else:
                atoms.append(("F", int(size)))
    roles: list[str] = []
    position, left = 0, atoms[0][1] if atoms else 1

    def advance() -> None:
        nonlocal position, left
        position += 1
        left = atoms[position][1] if position < len(atoms) else 1

    for size in target:
        while position < len(atoms) and atoms[position] == ("F", left) and left == 1:
            advance()
        role = atoms[position][0] if position < len(atoms) else ""
        if size == 1 and not (role in ("T", "N") and left == 1):
            roles.append("F")
        elif role == "F":
            if left % size:
                raise MixedAxes(
                    f"shape {tuple(shape)} cannot become {tuple(target)} sample by sample"
                )
            roles.append("F")
            left //= size
            if left == 1:
                advance()
        else:
            letters, product = "", 1
            while product < size or not letters:
                if position >= len(atoms) or atoms[position][0] == "F":
                    raise MixedAxes("features are joined with time or samples")
                letters += atoms[position][0]
                product *= left
                advance()
            if product != size:
                raise MixedAxes(
                    "time and samples are cut apart elsewhere than where they were joined"
                )
            roles.append(letters)
    if any(atom[0] != "F" for atom in atoms[position:]):
        raise MixedAxes("an axis of time or samples is lost")
    return tuple(roles)


def permuted(axes: Axes, order: Sequence[int]) -> tuple[Axes, tuple[int, ...]]:
    """Roles after a permutation, and the permutation of the feature axes alone."""
    rank = {dim: index for index, dim in enumerate(d for d, r in enumerate(axes) if r == "F")}
    return tuple(axes[dim] for dim in order), tuple(rank[d] for d in order if axes[d] == "F")


def broadcast(all_axes: Sequence[Axes]) -> Axes:
    """Roles of an elementwise result, arguments aligned at the right.

    Raises MixedAxes when two arguments have different roles at one place.
    """
    length = max(map(len, all_axes))
    padded = [("1",) * (length - len(axes)) + axes for axes in all_axes]
    roles = []
    for place in zip(*padded, strict=True):
        strong = {role for role in place if role != "1"}
        if len(strong) > 1:
            raise MixedAxes(" and ".join(sorted(map(describe, strong))) + " meet in one axis")
        roles.append(strong.pop() if strong else "1")
    return tuple(roles)
