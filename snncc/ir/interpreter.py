"""What a Graph and a Network mean: the interpreter all else is held against.

Values are torch tensors. A static or final value has axes (N, *features), a step value
(T, N, *features). Everything is computed in ``dtype``, float64 unless told otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy.sparse
import torch
from torch.nn import functional as F

from snncc.ir.elementwise import function
from snncc.ir.graph import Graph, Node, Tensors
from snncc.ir.network import Encoder, Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Delay,
    Dense,
    Dynamics,
    Elementwise,
    Identity,
    Input,
    MatMul,
    Membrane,
    Norm,
    Normalise,
    Number,
    Op,
    OverTime,
    Pad,
    Permute,
    Pool,
    Reduce,
    Ref,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Sparse,
    Upsample,
)  # fmt: skip
from snncc.ir.shapes import adaptive_spans, window_count

Value = torch.Tensor


class TensorStore:
    """The tensors of a Graph or Network as torch tensors of one dtype, converted when asked."""

    def __init__(self, tensors: Tensors, dtype: torch.dtype) -> None:
        self._tensors, self._dtype = tensors, dtype
        self._ready: dict[str, Value] = {}

    def __getitem__(self, ref: str) -> Value:
        if ref not in self._ready:
            tensor = torch.from_numpy(np.ascontiguousarray(self._tensors[ref]))
            whole = not tensor.is_floating_point() and tensor.dtype != torch.bool
            self._ready[ref] = tensor if whole else tensor.to(self._dtype)
        return self._ready[ref]

    def optional(self, ref: Ref | None) -> Value | None:
        return None if ref is None else self[ref]

    def number(self, number: Number) -> Value:
        if isinstance(number, Ref):
            return self[number]
        return torch.tensor(float(number), dtype=self._dtype)


# -- one op on a batch (B, *features) ----------------------------------------------------------


def _conv(op: Conv, args: list[Value], store: TensorStore) -> Value:
    weight, bias = store[op.weight], store.optional(op.bias)
    run: Callable[..., Value] = (F.conv1d, F.conv2d, F.conv3d)[weight.dim() - 3]
    return run(args[0], weight, bias, op.stride, op.padding, op.dilation, op.groups)


def _conv_transpose(op: ConvTranspose, args: list[Value], store: TensorStore) -> Value:
    weight, bias = store[op.weight], store.optional(op.bias)
    runs = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
    run: Callable[..., Value] = runs[weight.dim() - 3]
    return run(
        args[0], weight, bias, op.stride, op.padding, op.output_padding, op.groups, op.dilation
    )


def _pool(op: Pool, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    lead = x.shape[1 : x.dim() - len(op.kernel)]
    single = len(lead) == 1
    flat = x if single else x.reshape(-1, 1, *x.shape[x.dim() - len(op.kernel) :])
    index = len(op.kernel) - 1
    if op.kind == "max":
        pool: Callable[..., Value] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[index]
        y = pool(flat, op.kernel, op.stride, op.padding, op.dilation, op.ceil)
    elif op.kind == "sum":
        y = _window_sums(op, flat)
    else:
        average: Callable[..., Value] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[index]
        y = average(flat, op.kernel, op.stride, op.padding, op.ceil, op.count_padding)
    return y.reshape(x.shape[0], *lead, *y.shape[2:])


def _window_sums(op: Pool, x: Value) -> Value:
    """A convolution with ones, what a window has outside counting nothing."""
    settings = zip(x.shape[2:], op.kernel, op.stride, op.padding, op.dilation, strict=True)
    widths: list[int] = []
    for size, kernel, stride, before, dilation in settings:
        count = window_count(size, kernel, stride, before, before, dilation, op.ceil)
        reach = (count - 1) * stride + dilation * (kernel - 1) + 1
        widths = [before, max(reach - size - before, 0), *widths]
    if len(op.kernel) == 2 and set(op.dilation) == {1}:
        return F.avg_pool2d(F.pad(x, widths), op.kernel, op.stride, divisor_override=1)
    run: Callable[..., Value] = (F.conv1d, F.conv2d, F.conv3d)[len(op.kernel) - 1]
    channels = x.shape[1]
    ones = torch.ones(channels, 1, *op.kernel, dtype=x.dtype)
    return run(F.pad(x, widths), ones, None, op.stride, 0, op.dilation, channels)


def _adaptive(op: AdaptivePool, args: list[Value], store: TensorStore) -> Value:
    (x,), rank = args, len(op.size)
    if op.kind == "sum":
        for axis, count in enumerate(op.size, x.dim() - rank):
            spans = torch.zeros(count, x.shape[axis], dtype=x.dtype)
            for i, (first, last) in enumerate(adaptive_spans(x.shape[axis], count)):
                spans[i, first:last] = 1
            x = (x.transpose(axis, -1) @ spans.T).transpose(axis, -1)
        return x
    flat = x.reshape(-1, 1, *x.shape[x.dim() - rank :])
    most = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
    mean = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    run: Callable[..., Value] = (most if op.kind == "max" else mean)[rank - 1]
    return run(flat, op.size).reshape(*x.shape[: x.dim() - rank], *op.size)


def channelwise(tensor: Value, rank: int) -> Value:
    """A (C,) tensor so that it broadcasts over features of ``rank`` axes, channel first."""
    return tensor.reshape(-1, *[1] * (rank - 1))


def _norm(op: Norm, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    if not op.outside:
        return F.batch_norm(
            x, store[op.mean], store[op.variance], store.optional(op.scale),
            store.optional(op.shift), False, 0.0, op.epsilon,
        )  # fmt: skip
    rank = x.dim() - 1
    deviation = torch.sqrt(store[op.variance]) + op.epsilon
    y = (x - channelwise(store[op.mean], rank)) / channelwise(deviation, rank)
    if op.scale is not None:
        y = y * channelwise(store[op.scale], rank)
    return y if op.shift is None else y + channelwise(store[op.shift], rank)


def _normalise(op: Normalise, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    scale, shift = store.optional(op.scale), store.optional(op.shift)
    if op.kind == "layer":
        return F.layer_norm(x, [x.shape[axis + 1] for axis in op.axes], scale, shift, op.epsilon)
    return F.group_norm(x, op.groups, scale, shift, op.epsilon)


def _sparse(op: Sparse, args: list[Value], store: TensorStore) -> Value:
    flat = args[0].reshape(args[0].shape[0], -1)
    parts = (store[op.data].numpy(), store[op.indices].numpy(), store[op.indptr].numpy())
    matrix = scipy.sparse.csr_matrix(parts, (math.prod(op.shape), flat.shape[1]))
    return torch.from_numpy((matrix @ flat.numpy().T).T).reshape(-1, *op.shape)


def _upsample(op: Upsample, args: list[Value], store: TensorStore) -> Value:
    (x,) = args
    for axis, factor in enumerate(op.factors, x.dim() - len(op.factors)):
        x = x.repeat_interleave(factor, axis)
    return x


def _reduce(op: Reduce, args: list[Value], store: TensorStore) -> Value:
    axes = [axis + 1 for axis in op.axes]
    return args[0].mean(axes, op.keep) if op.kind == "mean" else args[0].sum(axes, op.keep)


def _slice(op: Slice, args: list[Value], store: TensorStore) -> Value:
    index = [slice(None)] * (op.axis + 1) + [slice(op.start, op.stop, op.step)]
    return args[0][tuple(index)]


def _concat(op: Concat, args: list[Value], store: TensorStore) -> Value:
    rank = max(x.dim() for x in args)
    (lead,) = {x.shape[0] for x in args if x.dim() == rank}
    return torch.cat(
        [x if x.dim() == rank else x.expand(lead, *x.shape) for x in args], op.axis + 1
    )


def _softmax(op: Softmax, args: list[Value], store: TensorStore) -> Value:
    return (F.log_softmax if op.log else F.softmax)(args[0], op.axis + 1)


_APPLY: dict[type[Op], Callable[..., Value]] = {
    Conv: _conv,
    ConvTranspose: _conv_transpose,
    Dense: lambda op, args, store: F.linear(args[0], store[op.weight], store.optional(op.bias)),
    Sparse: _sparse,
    Pool: _pool,
    AdaptivePool: _adaptive,
    Norm: _norm,
    Normalise: _normalise,
    Scale: lambda op, args, store: args[0] * store.number(op.factor),
    Reshape: lambda op, args, store: args[0].reshape(args[0].shape[0], *op.shape),
    Permute: lambda op, args, store: args[0].permute(0, *(axis + 1 for axis in op.axes)),
    Broadcast: lambda op, args, store: args[0].expand(args[0].shape[0], *op.shape),
    Pad: lambda op, args, store: F.pad(args[0], [n for pair in reversed(op.widths) for n in pair]),
    Slice: _slice,
    Concat: _concat,
    Reduce: _reduce,
    Upsample: _upsample,
    Elementwise: lambda op, args, store: function(op.function)(*args),
    Identity: lambda op, args, store: args[0],
    Softmax: _softmax,
    MatMul: lambda op, args, store: args[0] @ args[1],
    Argmax: lambda op, args, store: args[0].argmax(op.axis + 1),
}


def apply(op: Op, args: list[Value], store: TensorStore) -> Value:
    """``op`` on arguments (B, *features), or constants that broadcast over the features."""
    return _APPLY[type(op)](op, args, store)


# -- a Graph -----------------------------------------------------------------------------------


def run_graph(
    graph: Graph,
    inputs: Mapping[str, Value],
    *,
    keep: Collection[str] = (),
    forced: Mapping[str, Value] | None = None,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Value]:
    """Run every node; return the values of the heads' nodes and of the nodes in ``keep``.

    ``inputs`` holds one tensor for each Input node, (T, N, *features), or (N, *features) where its
    rate is static. ``forced`` replaces the values of the nodes it names. Without any step input, T
    comes from ``graph.time_steps``.
    """
    forced = forced or {}
    store = TensorStore(graph.tensors, dtype)
    steps = graph.time_steps
    for node in graph.inputs:
        if node.signal.rate == "step" and node.name in inputs:
            steps = inputs[node.name].shape[0]
    for name, value in forced.items():
        if name in graph.nodes and graph.nodes[name].signal.rate == "step":
            steps = value.shape[0]
    wanted = set(keep) | set(graph.heads.values())
    needed = _needed(graph, wanted, set(forced))
    readers = {n: sum(r in needed for r in graph.readers[n]) for n in needed}
    values: dict[str, Value] = {}
    for name in forced.keys() & needed:
        values[name] = _given(graph.nodes[name], forced[name], dtype)
    for group in graph.groups(needed - forced.keys()):
        if len(group) > 1:
            values |= _run_loop(graph, group, values, store, _known(steps, graph.nodes[group[0]]))
        else:
            node = graph.nodes[group[0]]
            values[node.name] = _run_node(graph, node, values, inputs, store, steps, dtype)
        for name in group:
            for source in dict.fromkeys(graph.nodes[name].inputs):
                readers[source] -= 1
                if not readers[source] and source not in wanted:
                    del values[source]
    return {name: values[name] for name in wanted}


def _run_loop(
    graph: Graph, names: Sequence[str], values: Mapping[str, Value], store: TensorStore, steps: int
) -> dict[str, Value]:
    """The nodes of a loop, step after step; only a Delay reads one behind itself."""
    outside = {s: graph.nodes[s] for n in names for s in graph.nodes[n].inputs if s not in names}
    samples = next(
        values[name].shape[node.signal.rate == "step"]
        for name, node in outside.items()
        if not isinstance(node.op, Constant)
    )
    cells: dict[str, Written] = {}
    past: dict[str, list[Value]] = {name: [] for name in names}

    def argument(name: str, t: int) -> Value:
        if name in past:
            return past[name][t]
        return values[name][t] if outside[name].signal.rate == "step" else values[name]

    for t in range(steps):
        for name in names:
            node = graph.nodes[name]
            op = node.op
            if isinstance(op, Delay):
                first = store.number(op.initial).expand(samples, *node.signal.shape)
                value = argument(node.inputs[0], t - 1) if t else first
            elif isinstance(op, Dynamics):
                current = argument(node.inputs[0], t)
                cell = cells.setdefault(name, Written(op, current.shape, store))
                value = cell.value(current)
            else:
                value = apply(op, [argument(source, t) for source in node.inputs], store)
            past[name].append(value)
    return {name: torch.stack(steps) for name, steps in past.items()}


def _needed(graph: Graph, wanted: set[str], forced: set[str]) -> set[str]:
    needed: set[str] = set()
    pending = list(wanted)
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            if name not in forced:
                pending.extend(graph.nodes[name].inputs)
    return needed


def _run_node(
    graph: Graph,
    node: Node,
    values: Mapping[str, Value],
    inputs: Mapping[str, Value],
    store: TensorStore,
    steps: int | None,
    dtype: torch.dtype,
) -> Value:
    op = node.op
    args = [values[name] for name in node.inputs]
    rates = [graph.nodes[name].signal.rate for name in node.inputs]
    match op:
        case Input():
            return _given(node, inputs[node.name], dtype)
        case Constant():
            return store.number(op.value)
        case Repeat():
            return args[0].expand(_known(steps, node), *args[0].shape)
        case OverTime():
            if op.kind == "last":
                return args[0][-1]
            return args[0].mean(0) if op.kind == "mean" else args[0].sum(0)
        case Dynamics():
            current = args[0]
            if rates[0] != "step":
                current = current.expand(_known(steps, node), *current.shape)
            return fire_as_written(op, current, store)
        case Delay():
            whole = args[0]
            if rates[0] != "step":
                whole = whole.expand(_known(steps, node), *whole.shape)
            first = store.number(op.initial).expand(whole.shape[1:])
            return torch.cat([first[None].to(dtype), whole[:-1]])
        case Elementwise():
            return apply(op, args, store)
    if "step" not in rates:
        return apply(op, args, store)
    lead = next(a.shape[:2] for a, rate in zip(args, rates, strict=True) if rate == "step")
    constant = [isinstance(graph.nodes[name].op, Constant) for name in node.inputs]
    each = [
        a if rate == "step" or lone else a.expand(*lead, *a.shape[1:])
        for a, rate, lone in zip(args, rates, constant, strict=True)
    ]
    flat = [a if lone else a.flatten(0, 1) for a, lone in zip(each, constant, strict=True)]
    together: Value = apply(op, flat, store).unflatten(0, lead)
    return together


def _given(node: Node, value: Value, dtype: torch.dtype) -> Value:
    """A value from outside; a static one may come once for every step."""
    repeated = node.signal.rate == "static" and value.dim() == len(node.signal.shape) + 2
    return (value[0] if repeated else value).to(dtype)


def _known(steps: int | None, node: Node) -> int:
    if steps is None:
        raise ValueError(f"{node.name}: the number of time steps is not known")
    return steps


class Written:
    """A neuron in its framework's order of work, step after step.

    A call takes the current (N, *features) of a step and returns the spikes, as booleans, and the
    membrane before its reset; ``v`` is the membrane after it.
    """

    def __init__(self, op: Dynamics, shape: Sequence[int], store: TensorStore) -> None:
        self._op = op
        self._leak, self._threshold = store.number(op.leak), store.number(op.threshold)
        self._decay = None if op.decay is None else store.number(op.decay)
        self._current_decay = store.number(op.current_decay)
        self._integrates = not isinstance(op.leak, Ref) and op.leak == 0
        self._current: Value | None = None
        self.v = store.number(op.initial).expand(*shape)

    def _fires(self, v: Value) -> Value:
        return v > self._threshold if self._op.strict else v >= self._threshold

    def _charged(self, x: Value) -> Value:
        op, v = self._op, self.v
        if isinstance(op.current_decay, Ref) or op.current_decay != 0:
            before = torch.zeros_like(x) if self._current is None else self._current
            x = self._current = self._current_decay * before + x
        if self._decay is not None:
            return self._decay * v + x
        if self._integrates:
            return v + x
        if op.decay_input:
            return v + (x - (v - op.v_reset)) * self._leak
        return v - (v - op.v_reset) * self._leak + x

    def __call__(self, x: Value) -> tuple[Value, Value]:
        op, h = self._op, self._charged(x)
        late = self._fires(self.v) if op.when != "now" else None
        if late is not None and op.reset == "hard":
            h = torch.where(late, op.v_reset, h)
        elif late is not None and op.reset == "soft":
            h = h - self._threshold * late.to(h.dtype)
        s = self._fires(h)
        self.v = h
        if op.when == "both":
            assert late is not None
            self.v = h - self._threshold * (s.to(h.dtype) - late.to(h.dtype))
        elif op.when == "now" and op.reset == "hard":
            self.v = torch.where(s, op.v_reset, h)
        elif op.when == "now" and op.reset == "soft":
            self.v = h - self._threshold * s.to(h.dtype)
        return s, h

    def value(self, x: Value) -> Value:
        """The spikes of a step, or the membrane that a ``Membrane`` shows."""
        s, h = self(x)
        if isinstance(self._op, Membrane):
            return h if self._op.before else self.v
        return s.to(x.dtype)


def fire_as_written(op: Dynamics, current: Value, store: TensorStore) -> Value:
    """The spikes or membranes of ``op`` for currents (T, N, *features)."""
    neuron = Written(op, current.shape[1:], store)
    values = torch.empty_like(current)
    for t, x in enumerate(current):
        values[t] = neuron.value(x)
    return values


# -- a Network ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disagreement:
    """Where a population's own spikes part from the forced ones, teacher-forced.

    ``index`` is (step, sample, *neuron); ``membrane`` the value compared with ``threshold``.
    """

    population: str
    index: tuple[int, ...]
    membrane: float
    threshold: float

    @property
    def is_tie(self) -> bool:
        """So close to the threshold that the order of float additions decides (design, 3)."""
        return abs(self.membrane / self.threshold - 1) < 1e-9 if self.threshold else False


@dataclass(frozen=True)
class Run:
    """One run of a Network.

    ``spikes`` (T, N, *shape) of every population and source, ``outputs`` (T, N, *shape) of every
    readout, ``logits`` (N, *shape) after its work over time. With forced spikes,
    ``disagreements`` holds up to ``limit`` of them and ``ties``, ``mismatches`` count all.

    Of a fixed Network, by place: sums and currents that ``wraps``, membranes whose ``saturations``
    were held, and with forced spikes the ``flips``, which ``mismatches`` adds up.
    """

    spikes: Mapping[str, Value]
    outputs: Mapping[str, Value]
    logits: Mapping[str, Value]
    disagreements: tuple[Disagreement, ...] = ()
    ties: int = 0
    mismatches: int = 0
    compared: int = 0
    wraps: Mapping[str, int] = field(default_factory=dict)
    saturations: Mapping[str, int] = field(default_factory=dict)
    flips: Mapping[str, int] = field(default_factory=dict)


def run_network(
    network: Network,
    inputs: Mapping[str, Value],
    *,
    forced: Mapping[str, Value] | None = None,
    steps: int | None = None,
    dtype: torch.dtype = torch.float64,
    limit: int = 20,
) -> Run:
    """Run every place.

    ``inputs`` holds, for each Source, its spikes (T, N, *shape) and, for each encoder, the analog
    input under the name of its Graph's Input node, (N, …) where static, else (T, N, …).
    ``forced`` maps what populations stand for (or their names) to given spikes: each population is
    compared with them, resets by them and passes them on, so that one difference stays one.
    A fixed Network runs in whole numbers, whatever the ``dtype``.
    """
    if network.is_fixed:
        from snncc.ir.fixed import run_fixed  # which builds on this module

        return run_fixed(network, inputs, forced=forced, steps=steps, limit=limit)
    store = TensorStore(network.tensors, dtype)
    steps = steps or steps_of(network, inputs)
    spikes: dict[str, Value] = {}
    currents: dict[str, Value] = {}
    outputs: dict[str, Value] = {}
    logits: dict[str, Value] = {}
    found: list[Disagreement] = []
    ties = mismatches = compared = 0
    teachers = {name: given.to(dtype) for name, given in teaching(network, forced or {}).items()}
    for group in network.groups:
        looped: dict[str, tuple[Value, Value]] = {}
        if feeds_back(network, group):
            given = {name: gather(network, name, spikes, currents, store, group) for name in group}
            cells = {
                place.name: Cell(place.neuron, given[place.name].shape[1:], store)
                for place in network.populations
                if place.name in group and isinstance(place.neuron, Neuron)
            }
            bring = partial(chained, store=store)
            looped = fire_loop(network, group, given, bring, cells, teachers)
        for place in map(network.places.__getitem__, group):
            match place:
                case Source():
                    spikes[place.name] = inputs[place.name].to(dtype)
                case Encoder():
                    currents[place.name] = encoded(place, inputs, steps, dtype)
                case Population(neuron=Neuron() as neuron):
                    teacher = teachers.get(place.name)
                    if looped:
                        s, h = looped[place.name]
                    else:
                        x = gather(network, place.name, spikes, currents, store)
                        s, h = fire(neuron, x, store, teacher)
                    if teacher is not None:
                        theta = store.number(neuron.threshold).expand(s.shape)
                        compared += s.numel()
                        for index in (s != teacher).nonzero().tolist():
                            at = tuple(index)
                            one = Disagreement(place.name, at, float(h[at]), float(theta[at]))
                            ties += one.is_tie
                            mismatches += not one.is_tie
                            if len(found) < limit:
                                found.append(one)
                        s = teacher
                    spikes[place.name] = s
                case Readout():
                    sums = gather(network, place.name, spikes, currents, store)
                    y = sums * store.number(place.unit) + store.number(place.bias)
                    outputs[place.name] = y
                    logits[place.name] = read_out(place, y, store)
    return Run(spikes, outputs, logits, tuple(found), ties, mismatches, compared)


def teaching(network: Network, forced: Mapping[str, Value]) -> dict[str, Value]:
    """The forced spikes of each population, given by what it stands for or else by its name."""
    return {
        place.name: forced[known]
        for place in network.populations
        for known in (place.name, place.stands_for)
        if known in forced
    }


Step = Callable[[Value, Value | None], tuple[Value, Value]]
"""Neurons: spikes and membranes (N, *shape) of a step from its input and maybe a teacher."""


def fire_loop(
    network: Network,
    names: Sequence[str],
    given: Mapping[str, Value],
    bring: Callable[[Projection, Value], Value],
    cells: Mapping[str, Step],
    teachers: Mapping[str, Value],
) -> dict[str, tuple[Value, Value]]:
    """Spikes and membranes (T, N, *shape) of populations that feed back, step after step.

    ``given``: what each hears from outside the loop. ``bring``: what a projection makes of the
    spikes of one step.
    """
    past: dict[str, list[Value]] = {name: [] for name in names}
    seen: dict[str, list[tuple[Value, Value]]] = {name: [] for name in names}
    for t in range(len(given[names[0]])):
        for name in names:
            x = given[name][t]
            for projection in network.incoming[name]:
                if projection.source in past and projection.delay <= t:
                    x = x + bring(projection, past[projection.source][t - projection.delay])
            teacher = teachers[name][t] if name in teachers else None
            seen[name].append(cells[name](x, teacher))
            past[name].append(seen[name][t][0] if teacher is None else teacher)
    return {
        name: (torch.stack([s for s, _ in steps]), torch.stack([h for _, h in steps]))
        for name, steps in seen.items()
    }


def feeds_back(network: Network, group: Sequence[str]) -> bool:
    """Whether the places of one of ``Network.groups`` hear each other."""
    return any(p.source in group for p in network.incoming[group[0]])


def chained(projection: Projection, y: Value, store: TensorStore) -> Value:
    """Values (N, *source) through the map of a projection."""
    for op in projection.map:
        y = apply(op, [y], store)
    return y


def read_out(readout: Readout, y: Value, store: TensorStore) -> Value:
    """What the host makes of the sums (T, N, *shape) of every step."""
    match readout.over_time:
        case "mean":
            y = y.mean(0)
        case "sum":
            y = y.sum(0)
        case "last":
            y = y[-1]
    for op in readout.host:
        if readout.over_time == "none":
            y = apply(op, [y.flatten(0, 1)], store).unflatten(0, y.shape[:2])
        else:
            y = apply(op, [y], store)
    return y


def encoded(
    encoder: Encoder, inputs: Mapping[str, Value], steps: int, dtype: torch.dtype = torch.float64
) -> Value:
    """The currents (T, N, *shape) of an encoder."""
    head = encoder.graph.heads["current"]
    given = {node.name: inputs[node.name] for node in encoder.graph.inputs}
    current = run_graph(encoder.graph, given, dtype=dtype)[head]
    static = encoder.graph.nodes[head].signal.rate != "step"
    return current.expand(steps, *current.shape) if static else current


def steps_of(network: Network, inputs: Mapping[str, Value]) -> int:
    """T of a run. Raises ValueError where neither inputs nor network say it."""
    for source in network.sources:
        return int(inputs[source.name].shape[0])
    for encoder in network.encoders:
        for node in encoder.graph.inputs:
            if node.signal.rate == "step":
                return int(inputs[node.name].shape[0])
    if network.time_steps is None:
        raise ValueError("the number of time steps is not known")
    return network.time_steps


def project(projection: Projection, x: Value, store: TensorStore) -> Value:
    """Spikes (T, N, *source) to input (T, N, *target), ``delay`` steps later."""
    lead = x.shape[:2]
    y: Value = chained(projection, x.flatten(0, 1), store).unflatten(0, lead)
    if projection.delay:
        y = torch.cat([torch.zeros_like(y[: projection.delay]), y[: -projection.delay]])
    return y


def gather(
    network: Network,
    target: str,
    spikes: Mapping[str, Value],
    currents: Mapping[str, Value],
    store: TensorStore,
    apart_from: Collection[str] = (),
) -> Value:
    """The sum (T, N, *shape) of all projections into ``target``, those ``apart_from`` left out."""
    total: Value | None = None
    for projection in network.incoming[target]:
        if projection.source in apart_from:
            continue
        x = spikes.get(projection.source)
        y = project(projection, currents[projection.source] if x is None else x, store)
        total = y if total is None else total + y
    if total is None:
        lead = next(iter([*spikes.values(), *currents.values()])).shape[:2]
        return torch.zeros(*lead, *network.places[target].shape, dtype=torch.float64)
    return total


def fire(
    neuron: Neuron, x: Value, store: TensorStore, teacher: Value | None = None
) -> tuple[Value, Value]:
    """Spikes and membranes before reset, both (T, N, *shape), in the normal form.

    With a ``teacher`` the membrane is reset by the teacher's spikes instead of its own.
    """
    cell = Cell(neuron, x.shape[1:], store)
    if neuron.is_memoryless:
        return cell.at_once(x)
    spikes, membranes = torch.empty_like(x), torch.empty_like(x)
    for t, current in enumerate(x):
        spikes[t], membranes[t] = cell(current, None if teacher is None else teacher[t])
    return spikes, membranes


class Cell:
    """A neuron in the normal form, step after step."""

    def __init__(self, neuron: Neuron, shape: Sequence[int], store: TensorStore) -> None:
        self._neuron = neuron
        self._threshold, self._bias = store.number(neuron.threshold), store.number(neuron.bias)
        self._decay = store.number(neuron.decay)
        self._current_decay = store.number(neuron.current_decay)
        self._integrates = not isinstance(neuron.decay, Ref) and neuron.decay == 1
        self._current: Value | None = None
        self._v = store.number(neuron.initial).expand(*shape)
        self._late = (self._v >= self._threshold).to(self._v.dtype)

    def at_once(self, x: Value) -> tuple[Value, Value]:
        """Spikes and membranes of a memoryless neuron, all steps in one go."""
        x = x + self._bias
        return (x >= self._threshold).to(x.dtype), x

    def __call__(self, x: Value, teacher: Value | None = None) -> tuple[Value, Value]:
        """Spikes and membrane of one step, both (N, *shape)."""
        neuron, x = self._neuron, x + self._bias
        if isinstance(neuron.current_decay, Ref) or neuron.current_decay != 0:
            x = x if self._current is None else self._current_decay * self._current + x
            self._current = x
        h = self._v + x if self._integrates else self._decay * self._v + x
        if neuron.when == "both":
            self._late = (self._v >= self._threshold).to(h.dtype)
        if neuron.when != "now" and neuron.reset == "hard":
            h = h * (1 - self._late)
        elif neuron.when != "now" and neuron.reset == "soft":
            h = h - self._threshold * self._late
        spikes = (h >= self._threshold).to(h.dtype)
        s = spikes if teacher is None else teacher
        self._v = h
        if neuron.when == "both":
            self._v = h - self._threshold * (s - self._late)
        elif neuron.when == "now" and neuron.reset == "hard":
            self._v = h * (1 - s)
        elif neuron.when == "now" and neuron.reset == "soft":
            self._v = h - self._threshold * s
        self._late = s
        return spikes, h
