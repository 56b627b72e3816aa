"""Where on the board each core goes, so that spikes travel little: hops × spikes.

1. A first order from the spectrum of the traffic: the second eigenvectors of its normalised matrix
   are the coordinates that keep apart what does not talk (Hall, 1970); cores are dealt to the
   mesh column by column along one of them and within a column along another.
2. Then cores move towards the middle of those they talk to, each changing places with the core
   that is there, whenever that makes the sum smaller; many at a time, every gain computed exactly
   while the others stand still, and a round that does not gain as a whole is taken back.

Deterministic: the same traffic and seed give the same places.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from snncc.targets.mesh import Mesh

_VECTORS = 4
_SHARE = 16
"""One core in so many moves in a round."""


def hops(spikes: Any, mesh: Mesh, slots: np.ndarray) -> float:
    """Σ spikes · hops, if core i of the matrix ``spikes`` is at physical core ``slots[i]``."""
    flow = sparse.coo_array(spikes)
    return float(sum(flow.data @ kind for kind in mesh.hops(slots[flow.row], slots[flow.col])))


def at_random(cores: int, mesh: Mesh, seed: int) -> np.ndarray:
    """A place for each core, what a placement is compared with."""
    return np.random.default_rng(seed).permutation(mesh.cores)[:cores]


def placed(spikes: Any, mesh: Mesh, rounds: int = 2000, seed: int = 0) -> np.ndarray:
    """The physical core of each core of ``spikes`` (cores, cores); int64, all different."""
    flow = sparse.csr_array(spikes + spikes.T)
    flow.setdiag(0)
    flow.eliminate_zeros()
    starts = [np.arange(flow.shape[0]), *_spectral(flow, mesh)]
    first = min(starts, key=lambda slots: hops(flow, mesh, slots))
    return _Board(flow, mesh, first, seed).improved(rounds)


def _spectral(flow: Any, mesh: Mesh) -> list[np.ndarray]:
    """Rule 1, with each pair of the first eigenvectors; none for a few cores."""
    cores = flow.shape[0]
    if cores <= 2 * _VECTORS or not flow.nnz:
        return []
    scale = 1 / np.sqrt(np.maximum(flow.sum(1), 1e-12))
    normal = sparse.diags_array(scale) @ flow @ sparse.diags_array(scale)
    try:
        values, vectors = eigsh(normal, _VECTORS, which="LA", v0=np.ones(cores), tol=1e-4)
    except ArpackNoConvergence:
        return []
    axes = (vectors * scale[:, None])[:, np.argsort(-values)].T[1:]
    return [_dealt(across, down, mesh) for across, down in itertools.permutations(axes, 2)]


def _dealt(across: np.ndarray, down: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Cores sorted into the columns of the board by one coordinate, in each by the other."""
    slots = np.arange(mesh.cores)
    column, row = mesh.position(slots)
    slots = slots[np.lexsort((row, column))]
    ends = np.bincount(column).cumsum()
    shares = ends * len(across) // len(slots)  # columns are filled alike where cores are left over
    order = np.argsort(across, kind="stable")
    result = np.empty(len(across), np.int64)
    for begin, first, last in zip([0, *ends], [0, *shares], shares, strict=False):
        members = order[first:last]
        result[members[np.argsort(down[members], kind="stable")]] = slots[begin:][: last - first]
    return result


@dataclass
class _Board:
    """Cores on a mesh; those that hold nothing have numbers too, behind the others."""

    flow: Any
    mesh: Mesh
    slots: np.ndarray
    seed: int

    def __post_init__(self) -> None:
        self.cores = self.flow.shape[0]
        empty = np.setdiff1d(np.arange(self.mesh.cores), self.slots)
        self.slots = np.concatenate([self.slots, empty])
        size = self.mesh.cores
        self.flow = sparse.csr_array(
            (self.flow.data, self.flow.indices,
             np.pad(self.flow.indptr, (0, size - self.cores), mode="edge")),
            (size, size),
        )  # fmt: skip
        self.weight = np.maximum(np.asarray(self.flow.sum(1)).ravel(), 1e-12)

    def improved(self, rounds: int) -> np.ndarray:
        """Rule 2."""
        random = np.random.default_rng(self.seed)
        self._locate()
        now = self._cost()
        reach = float(self.mesh.columns + self.mesh.rows) / 8
        idle = 0
        for _ in range(rounds if self.cores > 1 and now else 0):
            first, second = self._proposed(random, reach)
            gain = self._gain(first, second)
            first, second = first[gain > 0], second[gain > 0]
            before = self.slots.copy()
            self._swap(first, second)
            after = self._cost()
            if after < now:
                idle = 0 if after < now * (1 - 1e-5) else idle + 1
                now = after
            else:
                idle += 1
                self.slots = before
                self._locate()
            reach = max(reach * 0.99, 1.0)
            if idle > 20 and reach == 1.0:
                break
        return self.slots[: self.cores]

    def _locate(self) -> None:
        self.holder = np.empty(self.mesh.cores, np.int64)
        self.holder[self.slots] = np.arange(self.mesh.cores)
        self.x, self.y = self.mesh.position(self.slots)

    def _swap(self, first: np.ndarray, second: np.ndarray) -> None:
        self.slots[first], self.slots[second] = self.slots[second], self.slots[first]
        self._locate()

    def _cost(self) -> float:
        rows = np.repeat(np.arange(len(self.slots)), np.diff(self.flow.indptr))
        return float(self.flow.data @ self._distance(rows, self.flow.indices))

    def _distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        across, down = self.x[one] - self.x[other], self.y[one] - self.y[other]
        return np.asarray(np.abs(across) + np.abs(down))

    def _proposed(self, random: Any, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of cores to swap, no core in two pairs."""
        count = max(self.cores // _SHARE, min(self.cores, 2))
        first = random.choice(self.cores, count, replace=False)
        rows = self.flow[first]
        noise = random.normal(0, reach, (2, count))
        target = [
            np.clip(np.rint(rows @ at / self.weight[first] + shift), 0, size - 1).astype(np.int64)
            for at, shift, size in zip(
                (self.x, self.y), noise, (self.mesh.columns, self.mesh.rows), strict=True
            )
        ]
        index = random.integers(0, self.mesh.chip.cores_per_tile, count)
        slot = self.mesh.core(target[0], target[1], index)
        second = np.where(slot >= 0, self.holder[slot], -1)
        taken = np.concatenate([first, second])
        _, once = np.unique(taken, return_index=True)
        alone = np.zeros(len(taken), bool)
        alone[once] = True
        pairs = alone[count:] & (second >= 0)
        return first[pairs], second[pairs]

    def _gain(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """What each swap would save if it were the only one."""
        total = np.zeros(len(first))
        for here, there in ((first, second), (second, first)):
            rows = self.flow[here]
            row = np.repeat(np.arange(len(here)), np.diff(rows.indptr))
            other = rows.indices
            apart = other != there[row]  # the two of a swap stay as far from each other
            before = self._distance(here[row], other)
            after = self._distance(there[row], other)
            saved = rows.data * (before - after) * apart
            total += np.bincount(row, saved, len(here))
        return total
