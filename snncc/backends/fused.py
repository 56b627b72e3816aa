"""A Network made ready to run fast: all steps of a layer at once, few samples at a time.

1. What does not feed back is computed layer by layer, every step of some samples through one map
   and then through one compiled recurrence (`snncc.backends.membranes`). Populations that feed back
   go step by step, as `snncc.ir.interpreter` does it.
2. A tile is as many samples as keep the currents of the widest layer in the cache.
3. What an encoder says at every step is computed once.
4. In float32 features lie with their channels last, as convolutions of the processor want them,
   and a convolution of few spikes adds up only what fired (`snncc.backends.events`).

In float64 every map is the interpreter's own operation on the same frames. Sums over synapses may
be added in another order than there, in float32 also in one of another layout: exact sums (whole
or dyadic weights that fit the dtype) give equal spikes, others part at most at a tie (design, 3).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from snncc.backends import events
from snncc.backends.membranes import BLOCK, recurrence
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
from snncc.ir.network import Encoder, Network, Neuron, Population, Projection, Readout, Source
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
from snncc.ir.shapes import output_shape

TILE = 4 << 20
"""Bytes of the currents of the widest layer in one tile."""


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
    numbers: NDArray[np.floating]
    block: int

    def fire(self, x: Value, spikes: Value) -> None:
        """Fill ``spikes`` (N, T, neurons) from the input ``x`` (N, T or 1, neurons)."""
        recurrence(self.neuron)(x.numpy(), self.numbers, self.block, spikes.numpy())


class Simulator:
    """A Network ready to run in ``dtype``; makes its tables once.

    ``keep`` names the places whose spikes a run holds, by default all; what is not kept never
    leaves the cache. Raises ValueError for a fixed Network, which runs in whole numbers.
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
        self._channels_last = dtype == torch.float32
        self._tensors = dict(network.tensors)
        self._maps = {p: tuple(_folded(p.map, self._tensors)) for p in network.projections}
        self._store = _Weights(self._tensors, dtype, self._channels_last)
        self._by_row: dict[str, Value] = {}
        self._encoders = {place.name: _once(place.graph) for place in network.encoders}
        self._chains = {name: _chain(graph) for name, graph in self._encoders.items()}
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

    def __call__(self, inputs: Mapping[str, Value], steps: int | None = None) -> Run:
        """Run on ``inputs`` as `snncc.ir.interpreter.run_network` takes them; the same Run.

        Its values are views (T, N, *shape) of memory in which the samples come first.
        """
        network = self._network
        steps = steps or steps_of(network, inputs)
        axes = sample_axes(network)
        samples = next(inputs[name].shape[axis] for name, axis in axes.items())
        kept = {p.name: self._empty(samples, steps, p.shape) for p in self._kept}
        outputs = {
            place.name: torch.empty(steps, samples, *place.shape, dtype=self._dtype)
            for place in network.readouts
        }
        start = 0
        for tile in chunks(inputs, axes, self._tile(steps)):
            (count,) = {tile[name].shape[axis] for name, axis in axes.items()}
            self._run(
                tile, steps, count,
                {name: spikes[start : start + count] for name, spikes in kept.items()},
                {name: sums[:, start : start + count] for name, sums in outputs.items()},
            )  # fmt: skip
            start += count
        spikes = {
            place.name: self._as_features(kept[place.name], place.shape).transpose(0, 1)
            for place in self._kept
        }
        logits = {
            place.name: read_out(place, outputs[place.name], self._store)
            for place in network.readouts
        }
        return Run(spikes, outputs, logits)

    def _run(
        self,
        inputs: Mapping[str, Value],
        steps: int,
        samples: int,
        kept: Mapping[str, Value],
        outputs: Mapping[str, Value],
    ) -> None:
        """One tile; fills ``kept`` (N, T, neurons) and ``outputs`` (T, N, *shape)."""
        said: dict[str, Value] = {}
        """(N, T, *shape) of every place, or (N, 1, *shape) where all steps are the same."""
        for group in self._groups:
            if group[0] in self._looped:
                for name, spikes in self._loop(group, said, steps, samples).items():
                    said[name] = spikes
                    if name in kept:
                        kept[name].copy_(self._as_memory(spikes))
                continue
            place = self._network.places[group[0]]
            shape = place.shape
            match place:
                case Source():
                    flat = self._as_memory(inputs[place.name].to(self._dtype).transpose(0, 1))
                    if place.name in kept:
                        flat = kept[place.name].copy_(flat)
                    said[place.name] = self._as_features(flat, shape)
                case Encoder():
                    said[place.name] = self._encode(place, inputs)
                case Population():
                    x = self._as_memory(self._gather(place.name, said, steps, samples))
                    keeps = place.name in kept
                    flat = kept[place.name] if keeps else self._empty(samples, steps, shape)
                    self._layers[place.name].fire(x, flat)
                    said[place.name] = self._as_features(flat, shape)
                case Readout():
                    sums = self._gather(place.name, said, steps, samples).transpose(0, 1)
                    unit, bias = (self._store.number(n) for n in (place.unit, place.bias))
                    outputs[place.name].copy_(sums * unit + bias)

    def _encode(self, encoder: Encoder, inputs: Mapping[str, Value]) -> Value:
        graph = self._encoders[encoder.name]
        given = {node.name: inputs[node.name] for node in graph.inputs}
        if self._channels_last:
            last = torch.channels_last
            given = {
                name: x.contiguous(memory_format=last) if x.dim() == 4 else x
                for name, x in given.items()
            }
        head = graph.heads["current"]
        chain = self._chains[encoder.name]
        if chain:
            (current,) = (x.to(self._dtype) for x in given.values())
            for op in chain:
                current = apply(op, [current], self._constants[encoder.name])
            return current[:, None]
        current = run_graph(graph, given, dtype=self._dtype)[head]
        stepwise = graph.nodes[head].signal.rate == "step"
        return current.transpose(0, 1) if stepwise else current[:, None]

    def _gather(
        self,
        target: str,
        said: Mapping[str, Value],
        steps: int,
        samples: int,
        apart_from: Collection[str] = (),
    ) -> Value:
        """The sum (N, T or 1, *shape) of all projections into ``target``."""
        total: Value | None = None
        for projection in self._network.incoming[target]:
            if projection.source in apart_from:
                continue
            x = said[projection.source]
            y = self._through(projection, x.flatten(0, 1)).unflatten(0, x.shape[:2])
            if late := projection.delay:
                y = y.expand(samples, steps, *y.shape[2:])
                y = torch.cat([torch.zeros_like(y[:, :late]), y[:, :-late]], 1)
            total = y if total is None else total + y
        if total is None:
            return torch.zeros(samples, 1, *self._network.places[target].shape, dtype=self._dtype)
        return total

    def _through(self, projection: Projection, y: Value) -> Value:
        """Values (B, *source) through the map of a projection."""
        for op in self._maps[projection]:
            few = self._few(op, y) if self._channels_last and isinstance(op, Conv) else None
            y = apply(op, [y], self._store) if few is None else few
        return y

    def _few(self, op: Conv, x: Value) -> Value | None:
        """The 2-D convolution of few spikes; None where they are many or it is another."""
        weight = self._store[op.weight]
        if weight.dim() != 4:
            return None
        most = events.few(op, weight.shape[1], len(weight), x.numel())
        if not most:
            return None
        if op.weight not in self._by_row:
            self._by_row[op.weight] = weight.permute(2, 3, 1, 0).contiguous()
        flat = x.permute(0, 2, 3, 1).contiguous()
        shape = output_shape(op, (tuple(x.shape[1:]),), self._tensors)
        y = torch.empty(len(x), *shape[1:], shape[0], dtype=x.dtype)
        fits = events.convolve(
            flat.numpy(), flat.view(torch.int64).numpy(), self._by_row[op.weight].numpy(),
            op.stride, op.padding, op.dilation, most, y.numpy(),
        )  # fmt: skip
        if not fits:
            return None
        return y.permute(0, 3, 1, 2)

    def _loop(
        self, names: Sequence[str], said: Mapping[str, Value], steps: int, samples: int
    ) -> dict[str, Value]:
        """The spikes (N, T, *shape) of populations that feed back."""
        given, cells = {}, {}
        for name in names:
            place = self._network.places[name]
            assert isinstance(place, Population)
            assert isinstance(place.neuron, Neuron)
            heard = self._gather(name, said, steps, samples, names)
            given[name] = heard.expand(samples, steps, *place.shape).transpose(0, 1)
            cells[name] = Cell(place.neuron, (samples, *place.shape), self._store)
        bring = self._through
        fired = fire_loop(self._network, names, given, bring, cells, {})
        return {name: spikes.transpose(0, 1) for name, (spikes, _) in fired.items()}

    # -- memory --------------------------------------------------------------------------------

    def _tile(self, steps: int) -> int:
        """Samples at a time."""
        widest = max(math.prod(place.shape) for place in self._network.places.values())
        return max(1, TILE // (widest * steps * self._dtype.itemsize))

    def _empty(self, samples: int, steps: int, shape: Sequence[int]) -> Value:
        return torch.empty(samples, steps, math.prod(shape), dtype=self._dtype)

    def _as_memory(self, x: Value) -> Value:
        """(N, T, *shape) as (N, T, neurons) in the order of memory, without a copy if it is."""
        if self._channels_last and x.dim() == 5:
            x = x.permute(0, 1, 3, 4, 2)
        return x.contiguous().flatten(2)

    def _as_features(self, flat: Value, shape: Sequence[int]) -> Value:
        """(N, T, neurons) in the order of memory as a view (N, T, *shape)."""
        if self._channels_last and len(shape) == 3:
            channels, height, width = shape
            last: Value = flat.unflatten(2, (height, width, channels))
            return last.permute(0, 1, 4, 2, 3)
        return flat.unflatten(2, shape) if shape else flat[..., 0]

    def _layer(self, shape: Sequence[int], neuron: Neuron) -> _Layer:
        numbers = (neuron.decay, neuron.threshold, neuron.bias, neuron.initial,
                   neuron.current_decay)  # fmt: skip
        whole = torch.stack([self._store.number(n).expand(*shape) for n in numbers])
        rows = self._as_memory(whole[:, None])[:, 0].numpy()
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
    for start in range(0, samples, size):
        count = min(size, samples - start)
        yield {name: inputs[name].narrow(axis, start, count) for name, axis in axes.items()}
