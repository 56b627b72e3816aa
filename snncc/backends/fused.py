"""A Network made ready to run fast: all steps of a layer at once, few samples at a time.

1. What does not feed back is computed layer by layer, every step of some samples through one map
   and then through one compiled recurrence (`snncc.backends.membranes`). Populations that feed back
   go step by step, as `snncc.ir.interpreter` does it.
2. A tile is as many samples as keep the currents of the widest layer in the cache.
3. What an encoder says at every step is computed once.
4. In float32 features lie with their channels last, as convolutions of the processor want them.
   Few spikes are listed and only what fired is added up (`snncc.backends.events`); the convolution
   of an image is one compiled pass with its norms (`snncc.backends.images`).
5. What a tile needs and nobody sees stays for the next one (`snncc.backends.workspace`).

In float64 every map is the interpreter's own operation on the same frames. Sums over synapses may
be added in another order than there, in float32 also in one of another layout, and an average pool
before them divides the weights: exact sums (whole or dyadic weights that fit the dtype) give equal
spikes, others part at most at a tie (design, 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snncc.backends.events import Additions, Events, Windows, additions, listed, windows
from snncc.backends.images import filter_of
from snncc.backends.membranes import BLOCK, recurrence
from snncc.backends.workspace import Workspace
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
from snncc.ir.shapes import Shape

Array = NDArray[Any]

TILE = 4 << 20
"""Bytes of the currents of the widest layer in one tile."""

KEPT = 64 << 20
"""Bytes of a workspace that a Simulator keeps between runs."""


class _Weights(TensorStore):
    """Tensors of one dtype; kernels of convolutions with their channels last, if told."""

    def __init__(self, tensors: Tensors, dtype: torch.dtype, channels_last: bool) -> None:
        super().__init__(tensors, dtype)
        self._channels_last = channels_last

    def __getitem__(self, ref: str) -> Value:
        new = ref not in self._ready
        tensor = super().__getitem__(ref)
        if new and self._channels_last and tensor.dim() == 4:
            tensor = self._ready[ref] = tensor.contiguous(memory_format=torch.channels_last)
        return tensor


@dataclass(frozen=True, eq=False)
class _Layer:
    """A population's numbers in the order of memory; see `snncc.backends.membranes.recurrence`."""

    neuron: Neuron
    numbers: Array
    block: int

    @cached_property
    def fire(self) -> Callable[..., None]:
        return recurrence(self.neuron)


@dataclass(frozen=True, eq=False)
class _Said:
    """What a place says in a tile.

    ``values`` (N, T, neurons) in the order of memory, or (N, 1, neurons) where all steps are the
    same; ``events`` the same where they are few.
    """

    values: Array
    events: Events | None = None


@dataclass(frozen=True, eq=False)
class _Tile:
    """Some samples on their way through the network.

    ``kept`` (N, T, neurons) and ``outputs`` (T, N, *shape) are to be filled.
    """

    inputs: Mapping[str, Value]
    steps: int
    samples: int
    kept: Mapping[str, Array]
    outputs: Mapping[str, Array]
    work: Workspace
    said: dict[str, _Said] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Way:
    """A projection made ready: the ops of its map, and what does the first of them faster."""

    source: str
    shape: Shape
    delay: int
    ops: tuple[Op, ...]
    adding: Additions | None
    pool: Windows | None


class Simulator:
    """A Network ready to run in ``dtype``; makes its tables once.

    ``keep`` names the places whose spikes a run holds, by default all; what is not kept never
    leaves the cache. Threads may share one. Raises ValueError for a fixed Network, which runs in
    whole numbers.
    """

    def __init__(
        self,
        network: Network,
        dtype: torch.dtype = torch.float64,
        keep: Collection[str] | None = None,
    ) -> None:
        if network.is_fixed:
            raise ValueError("a fixed Network runs in whole numbers")
        self._network, self._dtype = network, dtype
        self._number = np.dtype(str(dtype).removeprefix("torch."))
        self._channels_last = dtype == torch.float32
        self._tensors = dict(network.tensors)
        self._axes = sample_axes(network)
        self._maps = {p: tuple(_folded(p.map, self._tensors)) for p in network.projections}
        self._store = _Weights(self._tensors, dtype, self._channels_last)
        self._encoders = {place.name: _once(place.graph) for place in network.encoders}
        self._chains = {name: _chain(graph) for name, graph in self._encoders.items()}
        self._filters = {
            name: filter_of(ops, graph.inputs[0].signal.shape, graph.tensors)
            for name, graph in self._encoders.items()
            if self._channels_last and (ops := self._chains[name])
        }
        self._constants = {
            name: _Weights(graph.tensors, dtype, self._channels_last)
            for name, graph in self._encoders.items()
        }
        self._groups = tuple(network.groups)
        self._looped = {name for g in self._groups if feeds_back(network, g) for name in g}
        firing = [place for place in network.places.values() if _fires(place)]
        self._kept = [place for place in firing if keep is None or place.name in keep]
        self._layers = {
            place.name: self._layer(place.shape, place.neuron)
            for place in network.populations
            if place.name not in self._looped and isinstance(place.neuron, Neuron)
        }
        self._ways = {
            name: [self._way(p) for p in projections]
            for name, projections in network.incoming.items()
        }
        self._read: dict[str, list[Additions]] = {name: [] for name in network.places}
        for way in chain.from_iterable(self._ways.values()):
            if way.adding is not None:
                self._read[way.source].append(way.adding)
        self._scales = {
            place.name: tuple(self._store.number(n).numpy() for n in (place.unit, place.bias))
            for place in network.readouts
        }
        self._idle: list[Workspace] = []

    def _way(self, projection: Projection) -> _Way:
        source = self._network.places[projection.source]
        ops = self._maps[projection]
        binary = isinstance(source, Population) or (
            isinstance(source, Source) and source.kind == "spike"
        )
        last = self._channels_last
        adding = additions(ops, source.shape, self._tensors) if last and binary else None
        pool = windows(ops, source.shape, self._tensors) if last else None
        return _Way(source.name, source.shape, projection.delay, ops, adding, pool)

    def __call__(self, inputs: Mapping[str, Value], steps: int | None = None) -> Run:
        """Run on ``inputs`` as `snncc.ir.interpreter.run_network` takes them; the same Run.

        Its values are views (T, N, *shape) of memory in which the samples come first.
        """
        network = self._network
        steps = steps or steps_of(network, inputs)
        samples = next(inputs[name].shape[axis] for name, axis in self._axes.items())
        kept = {
            place.name: np.empty((samples, steps, math.prod(place.shape)), self._number)
            for place in self._kept
        }
        outputs = {
            place.name: np.empty((steps, samples, *place.shape), self._number)
            for place in network.readouts
        }
        try:
            work = self._idle.pop()
        except IndexError:
            work = Workspace()
        start = 0
        for part in chunks(inputs, self._axes, self._at_once(steps)):
            (count,) = {part[name].shape[axis] for name, axis in self._axes.items()}
            end = start + count
            self._run(_Tile(
                part, steps, count,
                {name: spikes[start:end] for name, spikes in kept.items()},
                {name: sums[:, start:end] for name, sums in outputs.items()}, work,
            ))  # fmt: skip
            start = end
        if work.bytes <= KEPT:
            self._idle.append(work)
        spikes = {
            place.name: torch.from_numpy(
                self._as_features(kept[place.name], place.shape).swapaxes(0, 1)
            )
            for place in self._kept
        }
        sums = {name: torch.from_numpy(y) for name, y in outputs.items()}
        logits = {p.name: read_out(p, sums[p.name], self._store) for p in network.readouts}
        return Run(spikes, sums, logits)

    def _run(self, tile: _Tile) -> None:
        """One tile; fills what it keeps and its outputs."""
        for group in self._groups:
            if group[0] in self._looped:
                for name, fired in self._loop(group, tile).items():
                    self._say(name, self._as_memory(fired), tile)
                continue
            place = self._network.places[group[0]]
            match place:
                case Source():
                    given = tile.inputs[place.name].to(self._dtype).transpose(0, 1)
                    self._say(place.name, self._as_memory(given), tile)
                case Encoder():
                    tile.said[place.name] = _Said(self._encode(place, tile))
                case Population():
                    layer = self._layers[place.name]
                    x = self._gather(place.name, tile)
                    spikes = self._spikes(place, tile)
                    layer.fire(x, layer.numbers, layer.block, spikes)
                    self._say(place.name, spikes, tile)
                case Readout():
                    sums = self._as_features(self._gather(place.name, tile), place.shape)
                    unit, bias = self._scales[place.name]
                    y = np.multiply(sums.swapaxes(0, 1), unit, out=tile.outputs[place.name])
                    y += bias

    def _spikes(self, place: Population, tile: _Tile) -> Array:
        """Where the spikes (N, T, neurons) of a population are to be written.

        In float32, where most are only listed, those that are not kept are bytes.
        """
        if place.name in tile.kept:
            return tile.kept[place.name]
        shape = (tile.samples, tile.steps, math.prod(place.shape))
        number = np.uint8 if self._channels_last else self._number
        return tile.work.array(f"spikes of {place.name}", shape, number)

    def _say(self, name: str, spikes: Array, tile: _Tile) -> None:
        """Note spikes (N, T, neurons), and list them where few go somewhere faster."""
        kept = tile.kept.get(name, spikes)
        if kept is not spikes:
            kept[...] = spikes
        events = None
        if ways := self._read[name]:
            frames = tile.samples * tile.steps
            most = max(way.most(frames) for way in ways)
            events = listed(spikes.reshape(-1), frames, ways[0].shape, most, tile.work, name)
        tile.said[name] = _Said(spikes, events)

    def _encode(self, encoder: Encoder, tile: _Tile) -> Array:
        """The currents (N, T or 1, neurons) of an encoder."""
        graph, ops = self._encoders[encoder.name], self._chains[encoder.name]
        given = {node.name: tile.inputs[node.name] for node in graph.inputs}
        if ops:
            (images,) = given.values()
            if (filter := self._filters.get(encoder.name)) is not None:
                y = filter(images.numpy(), tile.work, f"currents of {encoder.name}")
                return y.reshape(tile.samples, 1, -1)
            current = images.to(self._dtype)
            if self._channels_last and current.dim() == 4:
                current = current.contiguous(memory_format=torch.channels_last)
            for op in ops:
                current = apply(op, [current], self._constants[encoder.name])
            return self._as_memory(current[:, None])
        head = graph.heads["current"]
        current = run_graph(graph, given, dtype=self._dtype)[head]
        stepwise = graph.nodes[head].signal.rate == "step"
        return self._as_memory(current.transpose(0, 1) if stepwise else current[:, None])

    def _gather(self, target: str, tile: _Tile, apart_from: Collection[str] = ()) -> Array:
        """The sum (N, T or 1, neurons) of all projections into ``target``.

        It may lie where the next call writes.
        """
        total: Array | None = None
        for index, way in enumerate(self._ways[target]):
            if way.source in apart_from:
                continue
            y = self._brought(way, tile, f"sum {index}")
            if late := way.delay:
                now = np.zeros((tile.samples, tile.steps, y.shape[2]), y.dtype)
                now[:, late:] = y[:, :-late] if y.shape[1] > 1 else y
                y = now
            total = y if total is None else total + y
        if total is None:
            neurons = math.prod(self._network.places[target].shape)
            return np.zeros((tile.samples, 1, neurons), self._number)
        return total

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
        if values.dtype != self._number:
            values = values.astype(self._number)
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

    # -- memory --------------------------------------------------------------------------------

    def _at_once(self, steps: int) -> int:
        """Samples in a tile."""
        return max(1, TILE // (self._widest * steps * self._dtype.itemsize))

    @cached_property
    def _widest(self) -> int:
        return max(math.prod(place.shape) for place in self._network.places.values())

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

    def _layer(self, shape: Sequence[int], neuron: Neuron) -> _Layer:
        numbers = (neuron.decay, neuron.threshold, neuron.bias, neuron.initial,
                   neuron.current_decay)  # fmt: skip
        whole = torch.stack([self._store.number(n).expand(tuple(shape)) for n in numbers])
        rows = self._as_memory(whole[:, None])[:, 0]
        neurons = rows.shape[1]
        innermost = shape[0] if self._channels_last and len(shape) == 3 else neurons
        for period in (1, innermost):
            if (rows.reshape(5, -1, period) == rows[:, None, :period]).all():
                block = period * min(-(-BLOCK // period), neurons // period)
                return _Layer(neuron, np.tile(rows[:, :period], block // period), block)
        return _Layer(neuron, rows, BLOCK)


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


def _fires(place: object) -> bool:
    return isinstance(place, Source | Population)


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
    if samples <= size:
        yield {name: inputs[name] for name in axes}
        return
    for start in range(0, samples, size):
        count = min(size, samples - start)
        yield {name: inputs[name].narrow(axis, start, count) for name, axis in axes.items()}
