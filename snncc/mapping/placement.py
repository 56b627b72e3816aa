"""Where on the board each core goes, so that spikes travel little: hops × spikes.

1. A first order from the spectrum of the traffic: the second eigenvectors of its normalised matrix
   are the coordinates that keep apart what does not talk (Hall, 1970); cores are dealt to the
   mesh column by column along one of them and within a column along another.
2. Then cores move towards the middle of those they talk to, one after the other, each changing
   places with the core that is there whenever that makes the sum smaller.

Deterministic: the same traffic and seed give the same places.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from snncc.mapping.searching import change_places
from snncc.targets.mesh import Mesh

_VECTORS = 4
_SHARE = 16
"""One core in so many moves in a round."""


def hops(spikes: Any, mesh: Mesh, slots: np.ndarray) -> float:
    """Σ spikes · hops, if core i of the matrix ``spikes`` is at physical core ``slots[i]``."""
    flow, (x, y) = sparse.coo_array(spikes), mesh.position(slots)
    apart = np.abs(x[flow.row] - x[flow.col])
    apart += np.abs(y[flow.row] - y[flow.col])
    return float(flow.data @ apart)


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
        self.holder = np.empty(size, np.int64)
        self.holder[self.slots] = np.arange(size)
        self.x, self.y = self.mesh.position(self.slots)

    def improved(self, rounds: int) -> np.ndarray:
        """Rule 2."""
        random = np.random.default_rng(self.seed)
        now = hops(self.flow, self.mesh, self.slots)
        reach = float(self.mesh.columns + self.mesh.rows) / 8
        idle = 0
        for _ in range(rounds if self.cores > 1 and now else 0):
            saved = self._change(*self._proposed(random, reach))
            idle = 0 if saved > 1e-5 * now else idle + 1
            now -= saved
            reach = max(reach * 0.99, 1.0)
            if idle > 20 and reach == 1.0:
                break
        return self.slots[: self.cores]

    def _change(self, first: np.ndarray, second: np.ndarray) -> float:
        """Let those pairs change places that gain by it; by how much Σ spikes · hops shrinks."""
        flow, changed = self.flow, np.zeros(len(first), bool)
        saved = change_places(
            flow.indptr, flow.indices, flow.data, self.x, self.y, first, second, changed
        )
        first, second = first[changed], second[changed]
        self.slots[first], self.slots[second] = self.slots[second], self.slots[first]
        self.holder[self.slots[first]], self.holder[self.slots[second]] = first, second
        return float(saved)

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
        second = self.holder[slot]
        taken = np.concatenate([first, second])
        _, once = np.unique(taken, return_index=True)
        alone = np.zeros(len(taken), bool)
        alone[once] = True
        pairs = alone[count:]
        return first[pairs], second[pairs]
