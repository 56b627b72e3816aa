"""What the parts of a network ask of the cores that hold them, by structure alone.

A part is any set of neurons: what is cut out of a population, or all that is on one core. A spike
travels once to each part that holds any of its targets, and finds there one list of synapses for
each projection.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from snncc.ir.network import Encoder, Network, Projection
from snncc.ir.ops import Conv, Dense, Scale
from snncc.ir.synapses import Reach, reach
from snncc.targets.chip import Chip

LIMITS = {
    "neurons": "neurons",
    "words": "synapse_words",
    "lists": "fan_in_lists",
    "axons": "fan_out_axons",
    "entries": "routing_entries",
}
"""What is limited on a core, and the constant of the chip that limits it."""


def limits(chip: Chip) -> np.ndarray:
    """The limits of a core, in the order of ``LIMITS``."""
    return np.array([getattr(chip, constant) for constant in LIMITS.values()])


Parts = Mapping[str, np.ndarray]
"""The number of the part of each neuron, by place; a number belongs to the whole network."""

Activity = Mapping[str, np.ndarray]
"""Spikes that each neuron sends in a step, on the average, by place."""


@dataclass(frozen=True)
class Wire:
    """A projection and the structure of its map, as ``chip`` stores it.

    1. A Conv stores for each input channel the taps to the output channels that are there, once
       for all positions; a copy and a Scale by one number are Convs of one tap and one channel.
       Where the chip has population axons, all channels of one position share a fan-in list.
    2. A Dense map stores a row of weights for each source; sources with equal weights share it,
       and its fan-in list.
    3. Any other map stores synapse by synapse, each with the index of its target.
    """

    projection: Projection
    source: tuple[int, ...]
    target: tuple[int, ...]
    reach: Reach
    chip: Chip
    weight: np.ndarray | None
    groups: int

    @classmethod
    def of(cls, projection: Projection, network: Network, chip: Chip) -> Wire:
        source, target = (
            network.places[end].shape for end in (projection.source, projection.target)
        )
        found = reach(projection.map, source, network.tensors)
        weight, groups = None, 0
        match projection.map:
            case (Conv() as op,):
                weight, groups = network.tensors[op.weight], op.groups
            case () | (Scale(factor=float()),):
                groups = source[0] if source else 1
                weight = np.ones((groups, 1, 1))
            case (*_, Dense() as op):
                weight = network.tensors[op.weight]
        return cls(projection, source, target, found, chip, weight, groups)

    @property
    def is_kernel(self) -> bool:
        """Rule 1."""
        return self.groups > 0

    @property
    def by_position(self) -> bool:
        """Whether all channels of a position share a fan-in list."""
        return self.is_kernel and bool(self.chip.population_axons) and len(self.source) > 1

    @cached_property
    def lists(self) -> np.ndarray:
        """The fan-in list of each flat source neuron, int64."""
        number = np.arange(math.prod(self.source))
        if self.by_position:
            return number % math.prod(self.source[1:])
        if self.weight is not None and not self.is_kernel:
            row, column = np.divmod(number, self.weight.shape[1])
            return np.asarray(row * self.weight.shape[1] + self.columns[column])
        return number

    @cached_property
    def columns(self) -> np.ndarray:
        """Of a Dense map, a number for each column of weights that equal columns share."""
        assert self.weight is not None
        return np.unique(self.weight, axis=1, return_inverse=True)[1].reshape(-1)

    @property
    def distinct_columns(self) -> int:
        return int(self.columns.max(initial=-1)) + 1

    @property
    def synapse_bits(self) -> int:
        dense = self.weight is not None
        return self.chip.weight_bits + (0 if dense else self.chip.index_bits)

    def kernel_words(self, channels: np.ndarray) -> np.ndarray:
        """Words for so many output channels of one group (rule 1)."""
        assert self.weight is not None
        taps = math.prod(self.weight.shape[2:])
        return np.asarray(self.weight.shape[1] * self.words(channels * taps))

    def words(self, synapses: np.ndarray) -> np.ndarray:
        """Words of a list of so many synapses."""
        return -(-synapses * self.synapse_bits // self.chip.word_bits)

    def words_of(self, parts: np.ndarray, count: int) -> np.ndarray:
        """Words that each of ``count`` parts of the target stores; int64."""
        if self.is_kernel:
            assert self.weight is not None
            group = len(self.weight) // self.groups
            channel = np.arange(len(self.weight)).reshape(-1, *(1,) * (parts.ndim - 1))
            held = np.unique(parts * len(self.weight) + channel)  # a channel counts once a part
            of, number = np.divmod(held, len(self.weight))
            pairs, channels = np.unique(of * self.groups + number // group, return_counts=True)
            stored = self.kernel_words(channels)
            return _whole(np.bincount(pairs // self.groups, stored, count))
        if self.weight is not None:  # rule 2: a weight serves all positions of the other axes
            rows = np.broadcast_to(np.arange(parts.shape[-1]), parts.shape)
            held = np.unique(parts.ravel() * parts.shape[-1] + rows.ravel())
            of, number = np.unique(held // parts.shape[-1], return_counts=True)
            return _whole(np.bincount(of, self.distinct_columns * self.words(number), count))
        synapses = sparse.csr_array(self.reach.per_part(parts, count).T)
        sources = np.bincount(self.reach.sources, minlength=synapses.shape[1])
        synapses.data = self.words(synapses.data) * sources[synapses.indices]
        return np.asarray(synapses.sum(1), np.int64)

    def lists_of(self, parts: np.ndarray, count: int) -> np.ndarray:
        """Fan-in lists that each of ``count`` parts of the target needs; int64."""
        size = int(self.lists.max(initial=-1)) + 1
        classes, lists = np.divmod(
            np.unique(self.reach.sources.astype(np.int64) * size + self.lists), size
        )
        known, reached = self.reach.between.shape[1], self.reached(parts, count)
        if len(np.unique(lists)) == len(lists):  # no list is of two classes
            return np.asarray(reached.T @ np.bincount(classes, minlength=known), np.int64)
        ones = np.ones(len(lists), np.int64)
        of_class = sparse.csr_array((ones, (classes, lists)), (known, size))
        return np.asarray(np.diff(sparse.csr_array(reached.T @ of_class).indptr), np.int64)

    def reached(self, parts: np.ndarray, count: int) -> Any:
        """Which parts each class of sources reaches: 0-1 CSR (source classes, parts)."""
        return _ones(self.reach.per_part(parts, count))


@dataclass(frozen=True)
class Demands:
    """What each part needs: int64 arrays by part, work in float64.

    ``work`` is synaptic operations in a step. ``spikes`` (parts, parts), CSR of float64, is what
    travels from one part to another in a step.
    """

    neurons: np.ndarray
    words: np.ndarray
    lists: np.ndarray
    axons: np.ndarray
    entries: np.ndarray
    work: np.ndarray
    spikes: Any

    @property
    def limited(self) -> np.ndarray:
        """(parts, limits), in the order of ``LIMITS``."""
        return np.stack([getattr(self, name) for name in LIMITS], 1)


@dataclass(frozen=True)
class Structure:
    """A scheduled network as cores see it: the places that need cores, and the wires to each."""

    network: Network
    chip: Chip
    wires: tuple[Wire, ...]
    activity: Activity

    @classmethod
    def of(cls, network: Network, chip: Chip, activity: Activity | None = None) -> Structure:
        """Without ``activity`` every neuron counts as one that fires at every step."""
        wires = tuple(
            Wire.of(p, network, chip)
            for p in network.projections
            if not isinstance(network.places[p.source], Encoder)
        )
        given = activity or {}
        rates = {n: given.get(n, np.ones(shape)) for n, shape in network.on_chip.items()}
        return cls(network, chip, wires, rates)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self.network.on_chip

    def into(self, name: str) -> Iterator[Wire]:
        return (wire for wire in self.wires if wire.projection.target == name)

    def out_of(self, name: str) -> Iterator[Wire]:
        return (wire for wire in self.wires if wire.projection.source == name)

    @cached_property
    def work(self) -> Mapping[str, np.ndarray]:
        """Synaptic operations that each neuron causes in its own core, in a step; by place."""
        work = {name: np.zeros(shape) for name, shape in self.shapes.items()}
        for wire in self.wires:
            sent = self.activity[wire.projection.source].ravel().astype(float)
            work[wire.projection.target] += wire.reach.arrivals(sent).reshape(wire.target)
        return work

    def demands(self, parts: Parts) -> Demands:
        """Everything at once; part numbers run from 0 to the largest that is used."""
        parts = {name: part.astype(np.int64) for name, part in parts.items()}  # products of them
        count = 1 + max((int(p.max(initial=-1)) for p in parts.values()), default=-1)
        neurons, words, lists, axons = np.zeros((4, count), np.int64)
        work = np.zeros(count)
        spikes = knows = sparse.csr_array((count, count))
        for name, part in parts.items():
            neurons += np.bincount(part.ravel(), minlength=count)
            work += np.bincount(part.ravel(), self.work[name].ravel(), count)
            for wire in self.into(name):
                words += wire.words_of(part, count)
                lists += wire.lists_of(part, count)
            sent, to, travelling = self._sent(name, parts, count)
            axons += sent
            knows = knows + to
            spikes = spikes + travelling
        entries = np.diff(sparse.csr_array(knows).indptr).astype(np.int64)
        return Demands(neurons, words, lists, axons, entries, work, sparse.csr_array(spikes))

    def _sent(self, name: str, parts: Parts, count: int) -> tuple[np.ndarray, Any, Any]:
        """Axons of each part of one place, and its axons and its spikes from part to part."""
        wires = list(self.out_of(name))
        if not wires:
            none = sparse.csr_array((count, count))
            return np.zeros(count, np.int64), none, none
        joint, ways = _joint([wire.reach.sources for wire in wires])
        reached = [
            wire.reached(parts[wire.projection.target], count)[way]
            for wire, way in zip(wires, ways, strict=True)
        ]
        to = _ones(sparse.csr_array(sum(reached[1:], reached[0])))  # rows: joint classes
        part, rows = parts[name], to.shape[0]
        held = _counts(part, joint, count, rows)
        axons = held @ np.diff(to.indptr)
        spikes = sparse.csr_array(
            (self.activity[name].ravel().astype(float), (part.ravel(), joint)),
            (count, rows),
        )
        return axons.astype(np.int64), held @ to, spikes @ to


def _joint(classes: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Classes of neurons that are alike for all of ``classes``, and which of each they are."""
    if len(classes) == 1:
        return classes[0], [np.arange(int(classes[0].max(initial=-1)) + 1)]
    whole = np.zeros(classes[0].shape, np.int64)
    for each in classes:
        whole = whole * (int(each.max(initial=0)) + 1) + each
    _, first, joint = np.unique(whole, return_index=True, return_inverse=True)
    return joint, [each[first] for each in classes]


def _counts(parts: np.ndarray, classes: np.ndarray, count: int, size: int) -> Any:
    """How many neurons of each class each part holds: CSR (parts, classes)."""
    ones = np.ones(parts.size, np.int64)
    return sparse.csr_array((ones, (parts.ravel(), classes)), (count, size))


def _ones(matrix: Any) -> Any:
    matrix.sum_duplicates()
    matrix.data = np.ones_like(matrix.data)
    return matrix


def _whole(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(values), np.int64)
