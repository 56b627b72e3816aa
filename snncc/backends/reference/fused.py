"""A Network made ready to run fast: all steps of a layer at once, few samples at a time.

1. What does not feed back is computed layer by layer, every step of some samples through one map
   and then through one compiled recurrence (`membranes`). Populations that feed back go step by
   step, as `snncc.ir.interpreter` does it.
2. A tile is as many samples as keep the currents of the widest layer in the cache.
3. What an encoder says at every step is computed once.
4. In float32 features lie with their channels last, as convolutions of the processor want them.
   Few spikes are listed and only what fired is added up (`events`); the convolution of an image is
   one compiled pass with its norms (`images`).
5. What a tile needs and nobody sees stays for the next one (`workspace`).
6. Tiles go to several threads (`workers`). How many samples a tile has depends on network, steps
   and dtype alone, torch computes each in one thread, and what is added up between tiles is whole.
   So a run is the same, bit for bit, for any number of threads.
7. A fixed Network takes the same way. Its sums of weights are computed in float32, where weights
   say that all are below 2²⁴ and so exact, or else in float64 as `run_fixed` does; its neurons
   have a recurrence of their own.

In float64 every map is the interpreter's own operation on the same frames. Sums over synapses may
be added in another order than there, in float32 also in one of another layout, and an average pool
before them divides the weights: exact sums (whole or dyadic weights that fit the dtype) give equal
spikes, others part at most at a tie (design, 3).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snncc.backends.reference.events import Additions, Events, Windows, additions, listed, windows
from snncc.backends.reference.images import filter_of
from snncc.backends.reference.membranes import (
    BLOCK,
    count,
    count_spikes,
    fixed_numbers,
    fixed_recurrence,
    narrow_enough,
    recurrence,
)
from snncc.backends.reference.workers import cores, together
from snncc.backends.reference.workspace import Workspace
from snncc.ir.exactness import heaviest
from snncc.ir.graph import Graph, Tensors
from snncc.ir.interpreter import (
    Cell,
    Run,
    TensorStore,
    Value,
    apply,
    feeds_back,
    fire_loop,
    read_out,
    run_graph,
    steps_of,
)
from snncc.ir.interpreter.fixed import summed
from snncc.ir.interpreter.fixed_cell import CONV_BITS, FixedCell, WholeStore
from snncc.ir.interpreter.runs import chained
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Population,
    Projection,
    Readout,
    Source,
)
from snncc.ir.ops import (
    Conv,
    Delay,
    Dynamics,
    Elementwise,
    Input,
    Op,
    OverTime,
    Ref,
    Repeat,
    Scale,
)  # fmt: skip
from snncc.ir.registers import FixedNeuron, weights
from snncc.ir.shapes import Shape

Array = NDArray[Any]

TILE = 4 << 20
"""Bytes of the currents of the widest layer in one tile."""

THRICE = 3
"""Numbers for each neuron and step that the workspace of a tile takes, about."""

KEPT = 64 << 20
"""Bytes of a workspace that a Simulator keeps between runs."""


class _Weights(TensorStore):
    """Tensors of one dtype; kernels of convolutions with their channels last, if told."""

    def __init__(self, tensors: Tensors, dtype: torch.dtype, channels_last: bool) -> None:
        super().__init__(tensors, dtype)
        self._channels_last = channels_last

    def __getitem__(self, ref: str) -> Value:
        tensor = super().__getitem__(ref)
        if self._channels_last and tensor.dim() == 4:
            # At every call, since another thread may be about to do it; the second time it is free.
            tensor = tensor.contiguous(memory_format=torch.channels_last)
            self._ready[ref] = tensor
        return tensor


EXACT = 1 << 24
"""Sums of whole numbers below this are exact in float32."""

UNWRAPPED = 1 << (CONV_BITS - 1)
"""Sums below this wrap in no projection."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """A population's numbers in the order of memory; see `membranes.recurrence`."""

    neuron: Neuron | FixedNeuron
    numbers: Array
    block: int

    @cached_property
    def fire(self) -> Callable[..., None]:
        assert isinstance(self.neuron, Neuron)
        return recurrence(self.neuron)

    def fire_whole(self, x: Array, most: float, spikes: Array) -> tuple[int, int]:
        """The same of a FixedNeuron, for sums up to ``most``; how many wrapped and were held."""
        assert isinstance(self.neuron, FixedNeuron)
        narrow = narrow_enough(most)
        numbers = self._narrow if narrow else self.numbers
        return fixed_recurrence(self.neuron, narrow)(x, numbers, self.block, spikes)

    @cached_property
    def _narrow(self) -> Array:
        return self.numbers.astype(np.int32)


@dataclass(frozen=True, eq=False)
class _Said:
    """What a place says in a tile.

    ``values`` (N, T, neurons) in the order of memory, or (N, 1, neurons) where all steps are the
    same; ``events`` the same where they are few. No value is beyond ``largest``.
    """

    values: Array
    events: Events | None = None
    largest: float = 1


@dataclass(eq=False)
class _Tally:
    """What one thread has added up: counts by place, and the logits of each tile.

    ``sent`` are the counts of all neurons that fire, place by place, in the order of memory.
    """

    sent: Array
    wraps: dict[str, int] = field(default_factory=dict)
    saturations: dict[str, int] = field(default_factory=dict)
    logits: dict[int, dict[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Some samples on their way through the network.

    ``kept`` (N, T, neurons) and ``outputs`` (T, N, *shape) are to be filled.
    """

    first: int
    inputs: Mapping[str, Value]
    steps: int
    samples: int
    kept: Mapping[str, Array]
    outputs: Mapping[str, Array]
    work: Workspace
    tally: _Tally
    said: dict[str, _Said] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Way:
    """A projection made ready: the ops of its map, and what does the first of them faster.

    ``most`` is how far from 0 spikes can bring a target, of whole weights; infinite of others.
    """

    projection: Projection
    source: str
    shape: Shape
    delay: int
    ops: tuple[Op, ...]
    adding: Additions | None
    pool: Windows | None
    most: float


class Simulator:
    """A Network ready to run in ``dtype``; makes its tables once.

    ``keep`` names the places whose spikes a run holds, by default all; what is not kept never
    leaves the cache. They are kept in the dtype ``spikes``, by default ``dtype``, but counts from a
    source always in ``dtype``. A fixed Network runs in whole numbers, and there ``dtype`` says
    nothing: outputs, and by default spikes, are float64 as those of `run_fixed`. Threads may share
    one.
    """

    def __init__(
        self,
        network: Network,
        dtype: torch.dtype = torch.float64,
        keep: Collection[str] | None = None,
        *,
        spikes: torch.dtype | None = None,
    ) -> None:
        self._network, self._fixed = network, network.is_fixed
        self._result = _number_of(torch.float64 if self._fixed else dtype)
        self._spike = self._result if spikes is None else _number_of(spikes)
        self._dtype = dtype = torch.float32 if self._fixed else dtype
        self._number = _number_of(dtype)
        self._channels_last = dtype == torch.float32
        self._whole = WholeStore.of(network) if self._fixed else WholeStore({})
        self._tensors = dict(network.tensors)
        if self._fixed:
            for ref in {ref for p in network.projections for ref in _weights_of(p.map)}:
                self._tensors[ref] = network.tensors[ref].astype(np.float64)
        self._axes = sample_axes(network)
        self._maps = {p: tuple(_folded(p.map, self._tensors)) for p in network.projections}
        self._store = _Weights(self._tensors, dtype, self._channels_last)
        self._on_host(network)
        self._groups = tuple(network.groups)
        self._looped = {name for g in self._groups if feeds_back(network, g) for name in g}
        self._firing = [p for p in network.places.values() if isinstance(p, Source | Population)]
        self._kept = [place for place in self._firing if keep is None or place.name in keep]
        ends = [0, *accumulate(math.prod(place.shape) for place in self._firing)]
        self._spans = {p.name: slice(*ends[i : i + 2]) for i, p in enumerate(self._firing)}
        self._neurons = ends[-1]
        every = torch.empty(self._neurons, dtype=torch.int64)
        places = {p.name: self._featured(every[self._spans[p.name]], p.shape) for p in self._firing}
        self._views = {n: (v.shape, v.stride(), v.storage_offset()) for n, v in places.items()}
        self._layers = {
            place.name: self._layer(place.shape, place.neuron)
            for place in network.populations
            if place.name not in self._looped
        }
        self._ways = {
            name: [self._way(p) for p in projections]
            for name, projections in network.incoming.items()
        }
        self._read: dict[str, list[Additions]] = {name: [] for name in network.places}
        for way in chain.from_iterable(self._ways.values()):
            if way.adding is not None:
                self._read[way.source].append(way.adding)
        self._last = self._whole if self._fixed else self._store
        self._scales = {
            place.name: tuple(self._last.number(n).numpy() for n in (place.unit, place.bias))
            for place in network.readouts
        }
        self._idle: list[Workspace] = []

    def _on_host(self, network: Network) -> None:
        """What encoders compute, and with what."""
        self._encoders = {place.name: _once(place.graph) for place in network.encoders}
        self._chains = {name: _chain(graph) for name, graph in self._encoders.items()}
        self._filters = {
            name: filter_of(ops, graph.inputs[0].signal.shape, graph.tensors)
            for name, graph in self._encoders.items()
            if self._channels_last and (ops := self._chains[name])
        }
        self._constants = {
            name: _Weights(graph.tensors, self._dtype, self._channels_last)
            for name, graph in self._encoders.items()
        }

    def _way(self, projection: Projection) -> _Way:
        source = self._network.places[projection.source]
        ops = self._maps[projection]
        binary = isinstance(source, Population) or (
            isinstance(source, Source) and source.kind == "spike"
        )
        last = self._channels_last
        adding = additions(ops, source.shape, self._tensors) if last and binary else None
        pool = windows(ops, source.shape, self._tensors) if last else None
        weighed = self._fixed and not isinstance(source, Encoder)
        most = heaviest(ops, source.shape, self._tensors) if weighed else math.inf
        return _Way(
            projection, source.name, source.shape, projection.delay, ops, adding, pool, most
        )

    def __call__(
        self,
        inputs: Mapping[str, Value],
        steps: int | None = None,
        *,
        threads: int | None = None,
    ) -> Run:
        """Run on ``inputs`` as `snncc.ir.interpreter.run_network` takes them; the same Run.

        Its values are views (T, N, *shape) of memory in which the samples come first, and ``sent``
        is counted. Tiles go to so many ``threads``, by default as many as torch has (`cores`), one
        tile to the thread that calls.
        """
        network = self._network
        steps = steps or steps_of(network, inputs)
        samples = next(inputs[name].shape[axis] for name, axis in self._axes.items())
        kept = {
            place.name: np.empty((samples, steps, math.prod(place.shape)), self._kept_as(place))
            for place in self._kept
        }
        outputs = {
            place.name: np.empty((steps, samples, *place.shape), self._result)
            for place in network.readouts
        }
        size = self.tile(steps)
        starts = range(0, max(samples, 1), size)
        left = iter(starts)

        def work_through() -> _Tally:
            tally, work = _Tally(np.zeros(self._neurons, np.int64)), self._workspace()
            try:
                for start in left:
                    end = min(start + size, samples)
                    self._run(_Tile(
                        start, _between(inputs, self._axes, start, end), steps, end - start,
                        {name: spikes[start:end] for name, spikes in kept.items()},
                        {name: sums[:, start:end] for name, sums in outputs.items()}, work, tally,
                    ))  # fmt: skip
            finally:
                deque(left, 0)  # after an error the other threads stop as well
            if work.bytes <= KEPT:
                self._idle.append(work)
            return tally

        tallies = together(work_through, max(1, min(threads or cores(), len(starts))))
        spikes = {
            place.name: torch.from_numpy(
                self._as_features(kept[place.name], place.shape).swapaxes(0, 1)
            )
            for place in self._kept
        }
        sums = {name: torch.from_numpy(y) for name, y in outputs.items()}
        return Run(
            spikes, sums, self._logits(tallies), wraps=added([t.wraps for t in tallies]),
            saturations=added([t.saturations for t in tallies]), sent=self._sent(tallies),
        )  # fmt: skip

    def _logits(self, tallies: Sequence[_Tally]) -> dict[str, Value]:
        by_tile = {start: parts for tally in tallies for start, parts in tally.logits.items()}
        in_order = [by_tile[start] for start in sorted(by_tile)]
        return {
            place.name: torch.cat(
                [parts[place.name] for parts in in_order], int(place.over_time == "none")
            )
            for place in self._network.readouts
        }

    def _sent(self, tallies: Sequence[_Tally]) -> dict[str, Value]:
        total = torch.from_numpy(sum((tally.sent for tally in tallies[1:]), tallies[0].sent))
        return {
            name: total.as_strided(shape, stride, start)
            for name, (shape, stride, start) in self._views.items()
        }

    def tile(self, steps: int) -> int:
        """Samples in a tile: as many of so many ``steps`` as are computed together."""
        return tile_of(self._network, steps, self._dtype)

    def bytes(self, steps: int, threads: int | None = None) -> tuple[int, int]:
        """What a run takes: for each sample its inputs, spikes and outputs, and for all threads."""
        network = self._network
        axes = [(p.shape, True) for p in network.sources]
        axes += [
            (node.signal.shape, node.signal.rate == "step")
            for encoder in network.encoders
            for node in encoder.graph.inputs
        ]
        sample = (
            sum(math.prod(shape) * (steps if stepwise else 1) for shape, stepwise in axes)
            * self._number.itemsize
        )
        sample += sum(math.prod(p.shape) * self._kept_as(p).itemsize for p in self._kept) * steps
        sample += sum(math.prod(p.shape) for p in network.readouts) * self._result.itemsize * steps
        neurons = sum(math.prod(place.shape) for place in network.places.values())
        tile = THRICE * neurons * steps * self._dtype.itemsize * self.tile(steps)
        return sample, tile * (threads or cores())

    def _workspace(self) -> Workspace:
        try:
            return self._idle.pop()
        except IndexError:
            return Workspace()

    def _kept_as(self, place: Source | Population) -> np.dtype[Any]:
        """The dtype in which the spikes of a place are kept."""
        counts = isinstance(place, Source) and place.kind == "count"
        return self._result if counts else self._spike

    def _run(self, tile: _Tile) -> None:
        """One tile; fills what it keeps and its outputs."""
        for group in self._groups:
            if group[0] in self._looped:
                loop = self._loop_whole if self._fixed else self._loop
                for name, fired in loop(group, tile).items():
                    self._say(name, self._as_memory(fired), tile)
                continue
            place = self._network.places[group[0]]
            match place:
                case Source():
                    self._say_source(place, tile)
                case Encoder():
                    tile.said[place.name] = _Said(self._encode(place, tile))
                case Population():
                    layer, spikes = self._layers[place.name], self._spikes(place, tile)
                    x = self._gather(place.name, tile)
                    if self._fixed:
                        most = self._most(place.name, tile)
                        wraps, held = layer.fire_whole(x, most, spikes)
                        _add(tile.tally.wraps, place.name, wraps)
                        _add(tile.tally.saturations, place.name, held)
                    else:
                        layer.fire(x, layer.numbers, layer.block, spikes)
                    self._say(place.name, spikes, tile)
                case Readout():
                    self._read_out(place, tile)

    def _read_out(self, readout: Readout, tile: _Tile) -> None:
        """The outputs of a tile and, from them as they lie here, its logits, in float64."""
        sums = self._as_features(self._gather(readout.name, tile), readout.shape).swapaxes(0, 1)
        if self._fixed:
            _add(tile.tally.wraps, readout.name, 0)
        unit, bias = self._scales[readout.name]
        shape = (tile.steps, tile.samples, *readout.shape)
        y = tile.work.array(f"outputs of {readout.name}", shape, self._result)
        np.multiply(sums, unit, out=y, dtype=self._result)
        y += bias
        tile.outputs[readout.name][...] = y
        logits = read_out(readout, torch.from_numpy(y).double(), self._whole)
        each = tile.tally.logits.setdefault(tile.first, {})
        each[readout.name] = logits.clone()

    def _say_source(self, source: Source, tile: _Tile) -> None:
        """Note what comes from outside; counts that float32 does not hold stay in float64."""
        given, largest, dtype = tile.inputs[source.name], 1.0, self._dtype
        if self._fixed and source.kind == "count" and given.numel():
            largest = float(given.abs().max())
            dtype = dtype if largest < EXACT else torch.float64
        shape = (tile.samples, tile.steps, math.prod(source.shape))
        number = _number_of(dtype)
        spikes = tile.work.array(f"{number} of {source.name}", shape, number)
        features = torch.from_numpy(self._as_features(spikes, source.shape))
        features.copy_(given.transpose(0, 1))
        self._say(source.name, spikes, tile, largest)

    def _spikes(self, place: Population, tile: _Tile) -> Array:
        """Where the spikes (N, T, neurons) of a population are to be written.

        In float32, where most are only listed, they are bytes.
        """
        shape = (tile.samples, tile.steps, math.prod(place.shape))
        number = np.uint8 if self._channels_last else self._number
        return tile.work.array(f"spikes of {place.name}", shape, number)

    def _say(self, name: str, spikes: Array, tile: _Tile, largest: float = 1) -> None:
        """Note and count spikes (N, T, neurons), and list them where few go somewhere faster."""
        if name in tile.kept:
            tile.kept[name][...] = spikes
        add = count_spikes if spikes.dtype == np.uint8 else count
        add(spikes.reshape(-1, spikes.shape[2]), tile.tally.sent[self._spans[name]])
        events = None
        if ways := self._read[name]:
            frames = tile.samples * tile.steps
            most = max(way.most(frames) for way in ways)
            events = listed(spikes.reshape(-1), frames, ways[0].shape, most, tile.work, name)
        tile.said[name] = _Said(spikes, events, largest)

    def _encode(self, encoder: Encoder, tile: _Tile) -> Array:
        """The currents (N, T or 1, neurons) of an encoder."""
        graph, ops = self._encoders[encoder.name], self._chains[encoder.name]
        given = {node.name: tile.inputs[node.name] for node in graph.inputs}
        if ops and not self._fixed:
            (images,) = given.values()
            if (filter := self._filters.get(encoder.name)) is not None:
                y = filter(images.numpy(), tile.work, f"currents of {encoder.name}")
                return y.reshape(tile.samples, 1, -1)
            current = images.to(self._dtype, copy=True)
            if self._channels_last and current.dim() == 4:
                current = current.contiguous(memory_format=torch.channels_last)
            for op in ops:
                current = apply(op, [current], self._constants[encoder.name])
            return self._as_memory(current[:, None])
        head = graph.heads["current"]
        given = {name: images.clone() for name, images in given.items()}
        dtype = torch.float64 if self._fixed else self._dtype
        current = run_graph(graph, given, dtype=dtype)[head]
        stepwise = graph.nodes[head].signal.rate == "step"
        return self._as_memory(current.transpose(0, 1) if stepwise else current[:, None])

    def _gather(self, target: str, tile: _Tile, apart_from: Collection[str] = ()) -> Array:
        """The sum (N, T or 1, neurons) of all projections into ``target``.

        It may lie where the next call writes.
        """
        if self._fixed and self._most(target, tile) >= UNWRAPPED:
            return self._gather_whole(target, tile, apart_from)
        total: Array | None = None
        for index, way in enumerate(self._ways[target]):
            if way.source in apart_from:
                continue
            y = self._delayed(self._brought(way, tile, f"sum {index}"), way.delay, tile)
            if total is None:
                total = y
                continue
            shape = max(total.shape, y.shape)
            total = np.add(total, y, out=tile.work.array("total", shape, self._number))
        if total is None:
            neurons = math.prod(self._network.places[target].shape)
            return np.zeros((tile.samples, 1, neurons), self._number)
        return total

    def _most(self, target: str, tile: _Tile) -> float:
        """How far from 0 the sum of all projections into ``target`` can be."""
        return sum(way.most * tile.said[way.source].largest if way.source in tile.said else way.most
                   for way in self._ways[target])  # fmt: skip

    def _gather_whole(self, target: str, tile: _Tile, apart_from: Collection[str] = ()) -> Array:
        """The same sum as int64, for currents of the host and sums that may wrap."""
        shape = self._network.places[target].shape
        total = np.zeros((tile.samples, tile.steps, math.prod(shape)), np.int64)
        for index, way in enumerate(self._ways[target]):
            if way.source in apart_from:
                continue
            said = tile.said[way.source]
            if way.most * said.largest < EXACT:
                y = self._brought(way, tile, f"sum {index}")
            else:
                values = said.values.astype(np.float64)
                each = torch.from_numpy(self._as_features(values, way.shape)).flatten(0, 1)
                for op in way.projection.map:
                    each = apply(op, [each], self._whole)
                y = self._as_memory(each.unflatten(0, values.shape[:2]))
            sums = torch.from_numpy(self._delayed(y, way.delay, tile))
            if isinstance(self._network.places[way.source], Encoder):
                total += sums.round().long().numpy()
                continue
            held, wraps = summed(way.projection, sums)
            _add(tile.tally.wraps, target, wraps)
            total += held.numpy()
        return total

    def _delayed(self, y: Array, late: int, tile: _Tile) -> Array:
        """What came (N, T or 1, neurons), so many steps later."""
        if not late:
            return y
        now = np.zeros((tile.samples, tile.steps, y.shape[2]), y.dtype)
        now[:, late:] = y[:, :-late] if y.shape[1] > 1 else y
        return now

    def _brought(self, way: _Way, tile: _Tile, name: str) -> Array:
        """What a place says through the map of a projection, (N, T or 1, neurons)."""
        said = tile.said[way.source]
        values, shape, ops = said.values, way.shape, way.ops
        lead = values.shape[:2]
        added = None
        if way.adding is not None and said.events is not None:
            added = way.adding(said.events, tile.work, name)
        if way.adding is not None and added is not None:
            values, shape, ops = added, way.adding.yields, way.adding.rest
        elif way.pool is not None:
            frames = values.reshape(-1, *way.pool.shape)
            values, shape, ops = way.pool(frames, tile.work, name), way.pool.yields, ops[1:]
        values = values.reshape(*lead, -1)
        match ops:
            case [Scale(factor=float(factor)), *rest] if values.dtype != self._number:
                number = self._number.type(factor)
                scaled = tile.work.array(f"{name} of", values.shape, self._number)
                values, ops = np.multiply(values, number, out=scaled), tuple(rest)
        if values.dtype != self._number:
            there = tile.work.array(f"{name} of", values.shape, self._number)
            there[...] = values
            values = there
        if not ops:
            return values
        y = torch.from_numpy(self._as_features(values, shape)).flatten(0, 1)
        for op in ops:
            y = apply(op, [y], self._store)
        return self._as_memory(y.unflatten(0, lead))

    def _through(self, projection: Projection, y: Value) -> Value:
        """Values (B, *source) through the map of a projection."""
        for op in self._maps[projection]:
            y = apply(op, [y], self._store)
        return y

    def _loop(self, names: Sequence[str], tile: _Tile) -> dict[str, Value]:
        """The spikes (N, T, *shape) of populations that feed back."""
        given, cells = {}, {}
        for name in names:
            place = self._network.places[name]
            assert isinstance(place, Population)
            assert isinstance(place.neuron, Neuron)
            heard = self._as_features(self._gather(name, tile, names).copy(), place.shape)
            every = torch.from_numpy(heard).expand(tile.samples, tile.steps, *place.shape)
            given[name] = every.transpose(0, 1)
            cells[name] = Cell(place.neuron, (tile.samples, *place.shape), self._store)
        fired = fire_loop(self._network, names, given, self._through, cells, {})
        return {name: spikes.transpose(0, 1) for name, (spikes, _) in fired.items()}

    def _loop_whole(self, names: Sequence[str], tile: _Tile) -> dict[str, Value]:
        """The same of a fixed Network, as `snncc.ir.interpreter.fixed.fire_loop` has it."""
        given, cells = {}, {}
        for name in names:
            place = self._network.places[name]
            assert isinstance(place, Population)
            assert isinstance(place.neuron, FixedNeuron)
            heard = self._as_features(self._gather_whole(name, tile, names), place.shape)
            given[name] = torch.from_numpy(heard).transpose(0, 1)
            cells[name] = FixedCell(place.neuron, given[name].shape[1:], self._whole)

        def bring(projection: Projection, y: Value) -> Value:
            held, wraps = summed(projection, chained(projection, y.double(), self._whole))
            _add(tile.tally.wraps, projection.target, wraps)
            return held

        fired = fire_loop(self._network, names, given, bring, cells, {})
        for name, cell in cells.items():
            _add(tile.tally.wraps, name, cell.wraps)
            _add(tile.tally.saturations, name, cell.saturations)
        return {name: spikes.byte().transpose(0, 1) for name, (spikes, _) in fired.items()}

    # -- memory --------------------------------------------------------------------------------

    def _as_memory(self, x: Value) -> Array:
        """(N, T, *shape) as (N, T, neurons) in the order of memory, without a copy if it is."""
        if self._channels_last and x.dim() == 5:
            x = x.permute(0, 1, 3, 4, 2)
        return x.contiguous().reshape(*x.shape[:2], -1).numpy()

    def _as_features(self, flat: Array, shape: Sequence[int]) -> Array:
        """(N, T, neurons) in the order of memory as a view (N, T, *shape)."""
        if self._channels_last and len(shape) == 3:
            channels, height, width = shape
            last = flat.reshape(*flat.shape[:2], height, width, channels)
            return last.transpose(0, 1, 4, 2, 3)
        return flat.reshape(*flat.shape[:2], *shape)

    def _featured(self, flat: Value, shape: Sequence[int]) -> Value:
        """(neurons,) in the order of memory as a view (*shape)."""
        if self._channels_last and len(shape) == 3:
            channels, height, width = shape
            return flat.view(height, width, channels).permute(2, 0, 1)
        return flat.view(tuple(shape))

    def _layer(self, shape: Sequence[int], neuron: Neuron | FixedNeuron) -> _Layer:
        if isinstance(neuron, FixedNeuron):
            numbers = fixed_numbers(neuron, self._whole.whole)
        else:
            numbers = [self._store.number(n) for n in (
                neuron.decay, neuron.threshold, neuron.bias, neuron.initial, neuron.current_decay,
                neuron.keep, neuron.current_initial,
            )]  # fmt: skip
        whole = torch.stack([number.expand(tuple(shape)) for number in numbers])
        rows = self._as_memory(whole[:, None])[:, 0]
        neurons = rows.shape[1]
        innermost = shape[0] if self._channels_last and len(shape) == 3 else neurons
        for period in (1, innermost):
            if (rows.reshape(len(rows), -1, period) == rows[:, None, :period]).all():
                block = period * min(-(-BLOCK // period), neurons // period)
                return _Layer(neuron, np.tile(rows[:, :period], block // period), block)
        return _Layer(neuron, rows, BLOCK)


def _number_of(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype(str(dtype).removeprefix("torch."))


def _weights_of(map: Sequence[Op]) -> Iterator[Ref]:
    """The tensors that the map of a fixed Network multiplies with."""
    yield from (number for op in map if isinstance(number := weights(op), Ref))


def _add(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more


def added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, more in each.items():
            _add(total, name, more)
    return total


def _once(graph: Graph) -> Graph:
    """The graph for one step, where it has the same values at all of them."""
    over_time = any(isinstance(n.op, Dynamics | Delay | OverTime) for n in graph.nodes.values())
    from_outside = any(node.signal.rate == "step" for node in graph.inputs)
    return graph if over_time or from_outside else replace(graph, time_steps=1)


def _chain(graph: Graph) -> tuple[Op, ...]:
    """The ops from the one input to the head, where nothing else is there and no step is told."""
    ops: list[Op] = []
    before: tuple[str, ...] = ()
    for node in graph.nodes.values():
        fits = isinstance(node.op, Input) if not before else node.inputs == before
        if not fits or (isinstance(node.op, Dynamics | Delay | OverTime | Elementwise)):
            return ()
        before = (node.name,)
        if not isinstance(node.op, Input | Repeat):
            ops.append(node.op)
    stepwise = any(node.signal.rate == "step" for node in graph.inputs)
    return () if stepwise or before != (graph.heads["current"],) else tuple(ops)


def _folded(map: Sequence[Op], tensors: dict[str, NDArray[Any]]) -> Iterator[Op]:
    """The map with scales by powers of two, signs above all, moved into the kernel before them.

    That is exact. New kernels are added to ``tensors``.
    """
    ops = list(map)
    while ops:
        op = ops.pop(0)
        while isinstance(op, Conv) and ops and isinstance(ops[0], Scale):
            factor = ops[0].factor
            values = tensors[factor] if isinstance(factor, Ref) else np.asarray(factor, float)
            kernel = tensors[op.weight]
            per_channel = values.size == 1 or values.shape == (
                len(kernel),
                *[1] * (kernel.ndim - 2),
            )
            if not per_channel or (np.abs(np.frexp(values)[0]) != 0.5).any():
                break
            folded = Ref(f"{op.weight} times {factor}")
            tensors[folded] = kernel * values.reshape(-1, *[1] * (kernel.ndim - 1))
            op = replace(op, weight=folded)
            ops.pop(0)
        yield op


def tile_of(network: Network, steps: int, dtype: torch.dtype) -> int:
    """Samples in a tile of so many ``steps``."""
    widest = max(math.prod(place.shape) for place in network.places.values())
    return max(1, TILE // (widest * steps * dtype.itemsize))


def sample_axes(network: Network) -> dict[str, int]:
    """For each input of the network, the axis of its tensor that counts the samples."""
    axes = {source.name: 1 for source in network.sources}
    for encoder in network.encoders:
        for node in encoder.graph.inputs:
            axes[node.name] = 1 if node.signal.rate == "step" else 0
    return axes


def chunks(
    inputs: Mapping[str, Value], axes: Mapping[str, int], size: int
) -> Iterator[dict[str, Value]]:
    """The inputs, ``size`` samples at a time."""
    samples = next(inputs[name].shape[axis] for name, axis in axes.items())
    for start in range(0, max(samples, 1), size):
        yield _between(inputs, axes, start, min(start + size, samples))


def _between(
    inputs: Mapping[str, Value], axes: Mapping[str, int], start: int, end: int
) -> dict[str, Value]:
    """The inputs of some samples."""
    return {name: inputs[name].narrow(axis, start, end - start) for name, axis in axes.items()}
