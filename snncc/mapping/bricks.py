"""How each place is cut: a grid of equal bricks, by channels, by space, or by both.

Among all grids whose bricks fit a core the one is taken that costs the fewest cores: synapse words
and fan-in lists that are stored more than once, axons that its sources need more, and room for
work that its bricks leave.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from snncc.ir.ops import Scale
from snncc.mapping.demands import Structure, Wire

Grid = tuple[int, ...]
"""Into how many parts each axis is cut."""

SHARE = 8
"""A population with little work is cut into bricks of one part in so many of what fits a core, so
that they find room beside others."""

AXONS = 2
"""What an axon costs more than other parts of a core: they run out first, and each carries spikes
across the board."""

_CANDIDATES = 20_000


def cut(shape: tuple[int, ...], grid: Grid) -> np.ndarray:
    """The brick of each neuron, int64 of ``shape``; parts of an axis differ by one at the most."""
    whole = np.zeros((), np.int64)
    for size, parts in zip(shape, grid, strict=True):
        whole = np.add.outer(whole * parts, np.arange(size) * parts // size)
    return whole


@dataclass
class Bricks:
    """The grid of every place, found from the last place to the first.

    ``most`` is the synaptic work, in operations per step, that a brick may cause.
    """

    structure: Structure
    most: float
    grids: dict[str, Grid] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tables = {id(wire): _Table(wire) for wire in self.structure.wires}
        places = list(reversed(list(self.structure.shapes)))
        # What works hardest is cut first, and what copies it is cut along.
        for name in sorted(places, key=self.is_light):
            self.grids[name] = self._best(name)

    def is_light(self, name: str) -> bool:
        """Whether a core full of these neurons would have less than half the work of others."""
        work = self.structure.work[name].max(initial=0)
        return bool(2 * work * self.structure.chip.neurons < self.most)

    def _best(self, name: str) -> Grid:
        chip, shape = self.structure.chip, self.structure.shapes[name]
        if not shape:
            return ()
        light = self.is_light(name)
        share = SHARE if light else 1
        grids = self._candidates(name, light)
        sizes = -(-np.array(shape) // grids)
        neurons, bricks = sizes.prod(1), grids.prod(1)
        words = lists = caused = np.zeros(len(grids))
        for wire in self.structure.into(name):
            table = self._tables[id(wire)]
            needed = table.lists(grids, neurons)
            lists = lists + needed
            words = words + table.words(sizes, neurons, needed)
            caused = caused + table.caused(grids)
        axons = neurons * self._fan_out(name)
        work = neurons * self.structure.work[name].max(initial=0)
        over = np.stack([
            neurons / chip.neurons, words / chip.synapse_words, lists / chip.fan_in_lists,
            axons / chip.fan_out_axons,
        ]).max(0) * share  # fmt: skip
        over = np.maximum(over, work / self.most)
        fits = over <= 1
        if not fits.any():
            fits = over == over.min()
        slots = np.where(2 * work > self.most, np.maximum(1 - work / self.most, 0), 0)
        cost = AXONS * caused / chip.fan_out_axons + bricks * (
            words / chip.synapse_words + lists / chip.fan_in_lists + slots
        )
        order = np.lexsort((bricks, cost))
        return tuple(int(parts) for parts in grids[order[fits[order]][0]])

    def _candidates(self, name: str, light: bool) -> np.ndarray:
        """(grids, axes); for a light place those first that refine the grid of what it copies."""
        shape = self.structure.shapes[name]
        if light and (known := list(self._alike(name))):
            grids = [
                tuple(a * b for a, b in zip(grid, more, strict=True))
                for grid in known
                for more in _grids(tuple(-(-n // g) for n, g in zip(shape, grid, strict=True)))
            ]
            kept = [g for g in grids if all(a <= n for a, n in zip(g, shape, strict=True))]
            return np.array(kept, np.int64)
        return np.array(_grids(shape), np.int64)

    def _alike(self, name: str) -> Iterator[Grid]:
        """Grids of places that this one is joined to neuron by neuron."""
        for wire in self.structure.wires:
            source, target = wire.projection.source, wire.projection.target
            other = {source: target, target: source}.get(name)
            if other in self.grids and source != target and _is_one_to_one(wire):
                yield self.grids[other]

    def _fan_out(self, name: str) -> float:
        """Bricks that a neuron reaches at the most, as far as they are known."""
        total = 0.0
        for wire in self.structure.out_of(name):
            grid = self.grids.get(wire.projection.target)
            total += self._tables[id(wire)].most_hit(grid) if grid else 1.0
        return total


def _is_one_to_one(wire: Wire) -> bool:
    return all(isinstance(op, Scale) for op in wire.projection.map)


def _grids(shape: tuple[int, ...]) -> list[Grid]:
    """All grids with bricks of different sizes; of very many, those with even steps between."""
    axes = [sorted({-(-n // -(-n // m)) for m in range(1, n + 1)}) for n in shape]
    while math.prod(map(len, axes)) > _CANDIDATES:
        longest = max(axes, key=len)
        longest[:] = [*longest[:-1:2], longest[-1]]
    return list(itertools.product(*axes))


class _Table:
    """For a wire, what follows from cutting its target: by axis and number of parts, once each."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._hit: list[dict[int, float]] = [{} for _ in wire.target]
        self._most: list[dict[int, int]] = [{} for _ in wire.target]
        self._reached: list[dict[int, int]] = [{} for _ in wire.target]

    def hit(self, grids: np.ndarray) -> np.ndarray:
        """Bricks that a source reaches, on the average, for each grid."""
        if self.wire.reach.axes is None:
            mean = self.wire.reach.between.nnz / self._sources
            return np.asarray(np.minimum(grids.prod(1), mean))
        along = [self._along(axis, grids[:, axis])[0] for axis in self._axes]
        return np.asarray(np.prod(along, axis=0))

    def most_hit(self, grid: Grid) -> float:
        """Bricks that a source reaches at the most."""
        if self.wire.reach.axes is None:
            return float(self.hit(np.array([grid]))[0])
        return math.prod(
            float(self._along(axis, np.array([parts]))[2][0]) for axis, parts in enumerate(grid)
        )

    def caused(self, grids: np.ndarray) -> np.ndarray:
        """Axons that the sources need."""
        return self._sources * self.hit(grids)

    def lists(self, grids: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """Fan-in lists of the largest brick, at the most."""
        wire = self.wire
        if wire.weight is None or wire.reach.axes is None:
            return np.asarray(np.minimum(neurons * self._inputs, self._sources))
        along = [self._along(axis, grids[:, axis])[1] for axis in self._axes]
        if not wire.is_kernel:
            rows = np.prod(along[:-1], axis=0, initial=1)
            return np.asarray(wire.distinct_columns * rows * np.ones(len(grids)))
        if wire.by_position:
            return np.asarray(np.prod(along[1:], axis=0, initial=1) * np.ones(len(grids)))
        channels = wire.weight.shape[1] if wire.groups == 1 else 1
        return np.asarray(np.prod(along, axis=0) * channels)

    def words(self, sizes: np.ndarray, neurons: np.ndarray, lists: np.ndarray) -> np.ndarray:
        """Synapse words of the largest brick, at the most where they cannot be told by its size."""
        wire = self.wire
        if wire.is_kernel:
            assert wire.weight is not None
            group = len(wire.weight) // wire.groups
            channels = sizes[:, 0] if sizes.shape[1] else np.ones(len(sizes), np.int64)
            stored = wire.kernel_words(np.minimum(channels, group))
            return np.asarray(-(-channels // group) * stored)
        if wire.weight is not None:
            return wire.distinct_columns * wire.words(sizes[:, -1])
        bits = neurons * self._inputs * wire.synapse_bits
        return np.asarray(bits / wire.chip.word_bits + lists)

    @property
    def _axes(self) -> range:
        return range(len(self.wire.target))

    @property
    def _sources(self) -> int:
        return math.prod(self.wire.source)

    @cached_property
    def _inputs(self) -> int:
        """The largest fan-in."""
        return int(self.wire.reach.arrivals(np.ones(self._sources)).max(initial=0))

    def _along(self, axis: int, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Along one axis: parts that a source reaches on the average, sources a part has at the
        most, and parts that a source reaches at the most."""
        assert self.wire.reach.axes is not None
        reach = self.wire.reach.axes[axis]
        size, columns = reach.shape
        for count in np.unique(parts).tolist():
            if count not in self._hit[axis]:
                of = np.arange(size) * count // size
                held = sparse.csr_array((np.ones(size, np.int64), (of, np.arange(size))))
                joined = sparse.csr_array(held @ reach)
                reached = np.diff(joined.indptr)
                most = np.bincount(joined.indices).max(initial=0)
                self._most[axis][count] = int(most)
                self._hit[axis][count] = float(reached.sum() / max(columns, 1))
                self._reached[axis][count] = int(reached.max(initial=0))
        every = parts.tolist()
        return (
            np.array([self._hit[axis][count] for count in every]),
            np.array([self._reached[axis][count] for count in every]),
            np.array([self._most[axis][count] for count in every]),
        )
