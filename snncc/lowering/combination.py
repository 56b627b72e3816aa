"""Linear combinations of spikes: what a linear region is, and how two of them add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from snncc.ir.ops import Op

Term = tuple[str, tuple[Op, ...]]


@dataclass(frozen=True)
class Region:
    """Σ coefficient·chain(source) + offset; ``broken``: some part of it was refused."""

    terms: Mapping[Term, float]
    offset: torch.Tensor | None = None
    broken: bool = False


def is_finite(region: Region) -> bool:
    """Whether all its numbers are finite."""
    finite = all(map(math.isfinite, region.terms.values()))
    return finite and (region.offset is None or bool(torch.isfinite(region.offset).all()))


def accumulate(terms: dict[Term, float], term: Term, coefficient: float) -> None:
    terms[term] = terms.get(term, 0.0) + coefficient


def plus(left: Region, right: Region, factor: float) -> Region:
    """left + factor · right."""
    terms = dict(left.terms)
    for term, coefficient in right.terms.items():
        accumulate(terms, term, factor * coefficient)
    offset = left.offset
    if right.offset is not None:
        part = right.offset * factor
        offset = part if offset is None else offset + part
    return Region(terms, offset, left.broken or right.broken)


def combine(parts: list[Region], weights: tuple[float, ...], constant: float) -> Region:
    """constant + Σ weight · part."""
    start = torch.tensor(constant, dtype=torch.float64) if constant else None
    total = Region({}, start)
    for part, weight in zip(parts, weights, strict=True):
        if weight:
            total = plus(total, part, weight)
    return total


def compact(tensor: torch.Tensor) -> torch.Tensor:
    """The same values with every axis that only repeats one value at size 1."""
    for axis in range(tensor.dim()):
        first = tensor.narrow(axis, 0, 1)
        if tensor.shape[axis] > 1 and bool((tensor == first).all()):
            tensor = first
    return tensor
