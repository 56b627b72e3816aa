"""A mapped Network as tables: who sends packets where, over which links, and what they start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snncc.backends.cycle.kernels import END
from snncc.backends.cycle.tables import Groups, Hearing, Order, Paths, Rows, Used
from snncc.ir.mapping import Mapping
from snncc.ir.network import Encoder, Network, Neuron, Population, Readout, Source
from snncc.ir.ops import Number, Ref
from snncc.ir.registers import FixedNeuron
from snncc.ir.stages import Scheduled
from snncc.ir.synapses import Reach, reach
from snncc.targets.chip import Chip
from snncc.targets.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Place:
    """A place of the network on the chip.

    ``updates``: its neurons are updated every step; those of a source only send. ``forgets``: a
    spike brings a neuron to rest, ``memoryless``: a step without events does. ``rest`` is 1 where
    a neuron is at rest when a sample begins, ``driven`` where it has a current of its own in every
    step; both (n,) uint8.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    lag: int
    updates: bool
    forgets: bool
    memoryless: bool
    rest: np.ndarray
    driven: np.ndarray
    hears: tuple[Hearing, ...]


@dataclass(frozen=True, eq=False)
class Wiring:
    """Who sends packets where, over which links, and what they start.

    Neurons are numbered place after place, each flat; ``first`` (P + 1,) is where each place
    begins. Cores are numbered 0 … K − 1, ``cores`` their physical numbers; ``core`` (n,).
    """

    chip: Chip
    chips: int
    mesh: Mesh
    places: tuple[Place, ...]
    cores: np.ndarray
    first: np.ndarray
    core: np.ndarray
    order: Order
    rows: Rows
    groups: Groups
    paths: Paths

    @property
    def neurons(self) -> int:
        return int(self.first[-1])

    @cached_property
    def core_updates(self) -> np.ndarray:
        """(K,) how many neurons each core updates every step."""
        updated = np.repeat([place.updates for place in self.places], np.diff(self.first))
        return np.bincount(self.core[updated], minlength=len(self.cores))

    @cached_property
    def layer_updates(self) -> np.ndarray:
        """(P,) how many of each place are updated every step."""
        return np.diff(self.first) * [place.updates for place in self.places]

    @cached_property
    def used(self) -> Used:
        """The links in use, and the paths over them."""
        start = self.paths.start
        used, links = np.unique(self.paths.links, return_inverse=True)
        ways = np.insert(links.astype(np.uint32), start[1:], END)
        return Used(used, ways, start[:-1] + np.arange(len(start) - 1))

    @cached_property
    def entries(self) -> np.ndarray:
        """The entry of each packet of a group."""
        return _entries(self.groups.row, self.rows.start)

    @property
    def tiles(self) -> int:
        """How many tiles hold a core in use."""
        return len(np.unique(self.cores // self.chip.cores_per_tile))

    @property
    def barrier_s(self) -> float:
        """The barrier at the end of every step."""
        return self.chip.barrier_s(self.tiles, self.chips)

    @property
    def lag(self) -> int:
        """Steps from the first place to the last."""
        return max((place.lag for place in self.places), default=0)


def wire(network: Scheduled, mapping: Mapping, chip: Chip) -> Wiring:
    """The tables of ``network``, scheduled and mapped by ``mapping`` to ``chip``.

    No synapse is written down: a convolution has one row for each position of its input. Raises
    ValueError where the mapping is not of this network and chip.
    """
    mapping.verify(network.on_chip, chip.cores)
    mesh = Mesh(chip, mapping.chips)
    on_chip = [p for p in network.places.values() if not isinstance(p, Encoder)]
    number = {place.name: index for index, place in enumerate(on_chip)}
    sizes = [int(np.prod(place.shape, dtype=np.int64)) for place in on_chip]
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    cores = mapping.cores
    core = np.concatenate([
        np.searchsorted(cores, mapping.core_of[place.name].ravel()) for place in on_chip
    ]).astype(np.int32)  # fmt: skip

    reaches: dict[int, Reach] = {}
    for index, p in enumerate(network.projections):
        if p.source in number:
            shape = network.places[p.source].shape
            reaches[index] = reach(p.map, shape, network.tensors)

    places = tuple(_places(network, number, reaches))
    rows = _all_rows(network, number, reaches, first, core, len(cores))
    groups, paths = _groups(mesh, cores, core, rows)
    order = _order(places, first, core, len(cores))
    return Wiring(chip, mapping.chips, mesh, places, cores, first, core, order, rows, groups, paths)


def _order(places: tuple[Place, ...], first: np.ndarray, core: np.ndarray, cores: int) -> Order:
    """The neurons core by core, place after place in each."""
    order = np.argsort(core, kind="stable").astype(np.int32)
    place_of = np.repeat(np.arange(len(places), dtype=np.int32), np.diff(first))[order]
    change = np.flatnonzero((np.diff(place_of) != 0) | (np.diff(core[order]) != 0)) + 1
    run_start = np.concatenate([[0], change, [len(order)]]).astype(np.int64)
    return Order(
        order, run_start, place_of[run_start[:-1]],
        _starts(core[order][run_start[:-1]], cores),
        np.array([place.lag for place in places], np.int64),
        np.array([place.updates for place in places]),
    )  # fmt: skip


def _all_rows(
    network: Network, number: dict[str, int], reaches: dict[int, Reach],
    first: np.ndarray, core: np.ndarray, cores: int,
) -> Rows:  # fmt: skip
    """The rows of all places, one place after the other."""
    parts: list[_Row] = []
    row = np.full(first[-1], -1, np.int32)
    for name, index in number.items():
        mine = [
            (number[p.target], reaches[at])
            for at, p in enumerate(network.projections)
            if p.source == name
        ]
        if mine:
            here = _rows(mine, first, core, cores)
            parts.append(here)
            begin = sum(r.count for r in parts[:-1])
            kind = np.where(here.sends, here.kind + begin, -1)
            row[first[index] :][: len(kind)] = kind
    count = sum(r.count for r in parts)
    entry_row, entry_core, entry_events = _stacked(parts, "cores")
    layer_row, layer_place, layer_events = _stacked(parts, "layers")
    return Rows(
        row, _starts(entry_row, count), entry_core.astype(np.int32), entry_events.astype(np.int64),
        _starts(layer_row, count), layer_place.astype(np.int32), layer_events.astype(np.int64),
    )  # fmt: skip


def _groups(mesh: Mesh, cores: np.ndarray, core: np.ndarray, rows: Rows) -> tuple[Groups, Paths]:
    """The rows as each core sends them, and the ways of their packets."""
    sending = np.flatnonzero(rows.of >= 0)
    pairs = rows.of[sending].astype(np.int64) * len(cores) + core[sending]
    kinds, of = np.unique(pairs, return_inverse=True)
    group = np.full(len(core), -1, np.int32)
    group[sending] = of
    row, sender = (part.astype(np.int32) for part in np.divmod(kinds, len(cores)))
    hops, begins, paths = _routes(mesh, cores, row, sender, rows)
    return Groups(group, row, hops, begins), paths


Entries = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row, column and value, by row and column."""


@dataclass(frozen=True, eq=False)
class _Row:
    """The rows of one place: ``kind`` (n,) of each neuron, ``sends`` where it has targets."""

    kind: np.ndarray
    sends: np.ndarray
    count: int
    cores: Entries
    layers: Entries


def _rows(mine: list[tuple[int, Reach]], first: np.ndarray, core: np.ndarray, cores: int) -> _Row:
    classes = np.stack([r.sources for _, r in mine], 1)
    combined, kind = np.unique(classes, axis=0, return_inverse=True)
    per_core: list[Entries] = []
    per_layer: list[Entries] = []
    for (target, r), chosen in zip(mine, combined.T, strict=True):
        part = r.per_part(core[first[target] : first[target + 1]], cores)[chosen].tocoo()
        per_core.append((part.row, part.col, part.data))
        per_layer.append((part.row, np.full(len(part.row), target), part.data))
    cores_of, layers_of = _summed(per_core, cores), _summed(per_layer, len(first))
    sends = np.zeros(len(combined), bool)
    sends[cores_of[0]] = True
    kind = kind.ravel()
    return _Row(kind, sends[kind], len(combined), cores_of, layers_of)


def _summed(parts: list[Entries], width: int) -> Entries:
    row, column, value = (
        np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)
    )
    keys, at = np.unique(row * width + column, return_inverse=True)
    total = np.zeros(len(keys), np.int64)
    np.add.at(total, at, value)
    return keys // width, keys % width, total


def _stacked(rows: list[_Row], which: str) -> Entries:
    begins = np.cumsum([0, *(r.count for r in rows)])
    parts: list[Entries] = [getattr(r, which) for r in rows]
    if not parts:
        return (np.empty(0, np.int64),) * 3
    row = np.concatenate([part[0] + begin for part, begin in zip(parts, begins[:-1], strict=True)])
    return row, *(np.concatenate([part[i] for part in parts]) for i in (1, 2))  # type: ignore[return-value]


def _starts(sorted_keys: np.ndarray, count: int) -> np.ndarray:
    return np.searchsorted(sorted_keys, np.arange(count + 1)).astype(np.int64)


def _entries(group_row: np.ndarray, row_start: np.ndarray) -> np.ndarray:
    """The entries of the row of each group, one group after the other."""
    sizes = np.diff(row_start)[group_row]
    begins = np.cumsum(sizes) - sizes
    return np.repeat(row_start[group_row] - begins, sizes) + np.arange(sizes.sum())


def _routes(
    mesh: Mesh, cores: np.ndarray, row: np.ndarray, sender: np.ndarray, rows: Rows
) -> tuple[np.ndarray, np.ndarray, Paths]:
    """Hops of every group, where its packets begin, and their paths.

    Group g is of ``row[g]`` and sent by the core ``sender[g]``. Cores of the same two tiles share a
    path.
    """
    sizes = np.diff(rows.start)[row]
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    to = rows.core[_entries(row, rows.start)]
    tile = cores // mesh.chip.cores_per_tile
    width = int(tile.max(initial=0)) + 1
    ends = tile[np.repeat(sender, sizes)].astype(np.int64) * width + tile[to]
    kinds, path = np.unique(ends, return_inverse=True)
    source, target = (part * mesh.chip.cores_per_tile for part in np.divmod(kinds, width))
    walks = [mesh.route(a, b) for a, b in zip(source.tolist(), target.tolist(), strict=True)]
    start = np.concatenate([[0], np.cumsum([len(walk) for walk in walks])]).astype(np.int64)
    links = np.concatenate([np.empty(0, np.int64), *walks]).astype(np.int32)
    hops = np.stack(mesh.hops(source, target), 1).reshape(-1, 3)[path.ravel()]
    of_groups = np.zeros((len(row), 3), np.int64)
    np.add.at(of_groups, np.repeat(np.arange(len(row)), sizes), hops)
    return of_groups, begins, Paths(path.ravel().astype(np.int32), start, links)


def _places(
    network: Scheduled, number: dict[str, int], reaches: dict[int, Reach]
) -> Iterable[Place]:
    for name in number:
        place = network.places[name]
        assert not isinstance(place, Encoder)
        size = int(np.prod(place.shape, dtype=np.int64))
        hears = tuple(
            _hearing(number[p.source], p.delay, reaches[index])
            for index, p in enumerate(network.projections)
            if p.target == name and index in reaches
        )
        rest, driven = np.ones(size, np.uint8), np.zeros(size, np.uint8)
        neuron = place.neuron if isinstance(place, Population) else Neuron(decay=0.0)
        if isinstance(place, Population):
            rest = 1 - _nonzero(network, neuron.initial, place.shape)
            if isinstance(neuron, Neuron) and neuron.current_decay != 0:
                rest &= 1 - _nonzero(network, neuron.current_initial, place.shape)
            encoders = {encoder.name for encoder in network.encoders}
            fed = any(p.source in encoders for p in network.incoming[name])
            driven = rest * 0 + 1 if fed else _nonzero(network, _bias(neuron), place.shape)
        elif isinstance(place, Readout):
            driven = _nonzero(network, place.bias, place.shape)
        yield Place(
            name, place.role if isinstance(place, Population) else type(place).__name__.lower(),
            place.shape, network.levels[name], not isinstance(place, Source),
            _rests(neuron), neuron.is_memoryless,
            rest, driven, hears,
        )  # fmt: skip


def _rests(neuron: Neuron | FixedNeuron) -> bool:
    """Whether a spike leaves it as it began."""
    keeps = isinstance(neuron, Neuron) and neuron.keeps
    return neuron.reset == "hard" and neuron.when == "now" and not keeps


def _bias(neuron: Neuron | FixedNeuron) -> Number:
    return neuron.bias_mant if isinstance(neuron, FixedNeuron) else neuron.bias


def _hearing(source: int, delay: int, r: Reach) -> Hearing:
    heard = r.between.tocsc()
    return Hearing(
        source, delay, r.sources, r.targets,
        heard.indptr.astype(np.int64), heard.indices.astype(np.int32),
    )  # fmt: skip


def _nonzero(network: Network, number: Number, shape: tuple[int, ...]) -> np.ndarray:
    value = network.tensors[number] if isinstance(number, Ref) else np.asarray(number)
    return (np.broadcast_to(value, shape) != 0).ravel().astype(np.uint8)
