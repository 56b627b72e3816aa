"""Bricks into cores: each core as full as the chip allows, bricks that talk on one core."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from snncc.mapping.demands import Demands
from snncc.mapping.searching import nearest_with_room


@dataclass
class Packing:
    """Cores filled one brick at a time; ``core`` is that of each brick, −1 before it has one.

    ``need`` (bricks, resources) and ``room`` (resources,) of an empty core. ``kind``: bricks of
    different kinds never share a core.
    """

    need: np.ndarray
    room: np.ndarray
    demands: Demands
    kind: np.ndarray
    core: np.ndarray = field(init=False)
    cores: int = 0

    def __post_init__(self) -> None:
        self.core = np.full(len(self.need), -1, np.int64)
        self._free = np.empty((256, len(self.room)))
        self._kinds = np.full(256, -1, np.int64)
        self._below, self._above = np.arange(256), np.arange(256)
        self._least = self.need.min(0, initial=np.inf)
        talk = self.demands.spikes
        self._talk = (talk + talk.T).tocsr()

    def _open(self, brick: int) -> None:
        """Give ``brick`` a new core, with what room is left for others."""
        if self.cores == len(self._free):
            self._free = np.concatenate([self._free, np.empty_like(self._free)])
            self._kinds = np.concatenate([self._kinds, np.full_like(self._kinds, -1)])
            more = np.arange(self.cores, 2 * self.cores)
            self._below = np.concatenate([self._below, more])
            self._above = np.concatenate([self._above, more])
        self._free[self.cores] = self.room
        self._kinds[self.cores] = self.kind[brick]
        self.cores += 1
        self._put(brick, self.cores - 1)

    def join(self, bricks: Iterable[int]) -> None:
        """Put each brick where it fits: with those it talks to most, else near them, else alone."""
        for brick in bricks:
            friends = self._friends(brick)
            need = self.need[brick]
            for core in friends[:4]:
                if self._kinds[core] == self.kind[brick] and (need <= self._free[core]).all():
                    self._put(brick, int(core))
                    break
            else:
                near = int(friends[0]) if len(friends) else 0
                core = nearest_with_room(
                    self._free, self._kinds, self.cores, self._below, self._above,
                    need, self.kind[brick], near,
                )  # fmt: skip
                if core < 0:
                    self._open(brick)
                else:
                    self._put(brick, core)

    def _put(self, brick: int, core: int) -> None:
        self.core[brick] = core
        self._free[core] -= self.need[brick]
        if (self._free[core] < self._least).any():  # closed: no brick fits any more
            self._below[core], self._above[core] = core - 1, core + 1

    def _friends(self, brick: int) -> np.ndarray:
        """Cores of the bricks it talks to, those of most spikes first."""
        begin, end = self._talk.indptr[brick : brick + 2]
        cores = self.core[self._talk.indices[begin:end]]
        placed = cores >= 0
        found, at = np.unique(cores[placed], return_inverse=True)
        return found[
            np.argsort(-np.bincount(at, self._talk.data[begin:end][placed]), kind="stable")
        ]
