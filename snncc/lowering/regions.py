"""Lowering as an analysis: every neuron's input as Σ A_i(s_i) + b, or the reason why not.

Numbered as in ``lower``:

1. linear regions: conv, dense, average pool, norm, scale, add, reshape, concat, slice, … between
   spikes and the next neuron become chains of linear maps; adds become several projections,
   concat becomes zeros around; the constant part is the region at zero input; spikes of the step
   before (``Delay``) are projections with a delay
2. elementwise groups over spikes become affine parts, one gate, or AND gates and an affine part
3. max pool on spikes is OR over the window: a gate
4. what depends on nothing but the analog input stays on the host: an encoder
5. what follows the last spikes is a readout
6. everything else is a finding, and the analysis goes on
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from snncc.diagnostics import Finding
from snncc.ir.elementwise import ACTIVATIONS, COMPARISONS
from snncc.ir.graph import Graph, Node
from snncc.ir.inference import CONE_LIMIT, evaluate, group_leaves
from snncc.ir.interpreter import TensorStore, apply
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Readout,
    Source,
)  # fmt: skip
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
    Pool,
    Ref,
    Repeat,
    Scale,
    Softmax,
    Spiking,
    Unread,
    When,
    is_linear,
    is_max_pool,
)  # fmt: skip
from snncc.ir.shapes import has_empty_window, output_shape
from snncc.ir.values import REAL, ValueSet
from snncc.lowering.combination import (
    Region,
    Term,
    accumulate,
    combine,
    compact,
    is_finite,
    plus,
)  # fmt: skip
from snncc.lowering.cones import (
    Affine,
    Moebius,
    Table,
    Threshold,
    bits,
    by_level,
    gates_of,
    is_exact,
    levels_of,
    realise,
    used,
)
from snncc.recognition.unlike import FEWER

_HOST_OPS = (Softmax, Argmax, Identity)
_WEIGHTED = (Conv, ConvTranspose, Dense)

GATE_LIMIT = 16
"""So many gates a function of counts may take."""

STEP_LIMIT = 4096
"""So many values one count may have to be read as a staircase."""


SPIKE_ATTENTION = (
    "use an attention of spikes without products of currents: q * self.sn((k * v).sum(-2, "
    "keepdim=True)), in which all three and the gate are spikes (snncc explain SNN107)"
)


class Lowering:
    """One lowering of ``graph`` (its first head), collecting findings on the way.

    ``network`` is None when a finding is an error. ``strict`` makes analog work on the host one.
    """

    def __init__(self, graph: Graph, strict: bool = False) -> None:
        self._graph = graph
        self._strict = strict
        self._store = TensorStore(graph.tensors, torch.float64)
        self._sets: dict[str, ValueSet] = {n.name: n.signal.values for n in graph.nodes.values()}
        self._regions: dict[str, Region] = {}
        self._open: set[str] = set()
        self._places: dict[str, Place] = {}
        self._encoders: dict[tuple[str, tuple[Op, ...]], str] = {}
        self._levels: dict[tuple[str, int], Region] = {}
        self._projections: list[Projection] = []
        self._tensors: dict[str, np.ndarray] = dict(graph.tensors)
        self._found: dict[tuple[str, str], Finding] = {}
        self._host = self._host_nodes()
        head = next(iter(graph.heads))
        self._needed = graph.ancestors(graph.heads[head])
        for node in graph.nodes.values():
            if node.name in self._needed and isinstance(node.op, Spiking):
                self._neuron(node)
        self._read_out(head)
        self._leave_out_parts()
        self.network = self._network()

    @property
    def findings(self) -> tuple[Finding, ...]:
        order = {name: i for i, name in enumerate(self._graph.nodes)}
        return tuple(sorted(self._found.values(), key=lambda f: order.get(f.node, -1)))

    @property
    def regions(self) -> Mapping[str, Region]:
        """What every value that was asked for is made of."""
        return self._regions

    @property
    def broken(self) -> frozenset[str]:
        """Nodes whose value is not linear in spikes because of some finding."""
        return frozenset(name for name, region in self._regions.items() if region.broken)

    @property
    def lowered(self) -> Network:
        """All that lowers: neurons whose input was refused send spikes from outside."""
        graph, places = self._graph, dict(self._places)
        for name in {p.source for p in self._projections} - places.keys():
            places[name] = Source(name, graph.nodes[name].signal.shape)
        return Network.build(
            places.values(), self._projections, self._tensors, graph.name, graph.time_steps
        )

    def _network(self) -> Network | None:
        return None if any(f.is_error for f in self._found.values()) else self.lowered

    def _find(self, code: str, node: Node, message: str, help: str = "") -> Region:
        finding = Finding(code, message, node.origin, node.name, help)
        self._found.setdefault((code, node.name), finding)
        return Region({}, broken=True)

    # -- 4: what stays on the host -----------------------------------------------------------

    def _host_nodes(self) -> frozenset[str]:
        """Nodes that depend on the analog input and on no neuron."""
        analog: set[str] = set()
        spiking: set[str] = set()
        order = (name for group in self._graph.groups(self._graph.nodes) for name in group)
        for node in map(self._graph.nodes.__getitem__, order):
            if (
                isinstance(node.op, Dynamics)
                or (isinstance(node.op, Input) and node.op.kind != "analog")
                or any(source in spiking for source in node.inputs)
                or (isinstance(node.op, Delay) and node.inputs[0] not in analog)
            ):
                spiking.add(node.name)
            elif isinstance(node.op, Input) or any(source in analog for source in node.inputs):
                analog.add(node.name)
        return frozenset(analog)

    def _encoder(self, host: str, chain: tuple[Op, ...], target: str) -> tuple[str, tuple[Op, ...]]:
        """The encoder that yields ``chain`` of the host node, and what is left of the chain.

        ``target`` reads it: behind an addition of spikes the chain is the analog half of what a
        layer computes.
        """
        cut = len(chain)
        while cut and isinstance(chain[cut - 1], Scale):
            cut -= 1
        moved, left = chain[:cut], chain[cut:]
        if (host, moved) in self._encoders:
            return self._encoders[host, moved], left
        name = host
        sources = self._graph.ancestors(host) - {host}
        names = [*(name for name in self._graph.nodes if name in sources), host]
        nodes = [self._graph.nodes[name] for name in names]
        for op in moved:
            before = nodes[-1]
            shape = output_shape(op, (before.signal.shape,), self._tensors)
            name = self._unused(f"{name}.{type(op).__name__.lower()}")
            signal = replace(before.signal, shape=shape, values=REAL)
            nodes.append(replace(before, name=name, op=op, inputs=(before.name,), signal=signal))
        last = nodes[-1]
        graph = Graph.build(
            nodes, self._tensors, {"current": last.name}, name, self._graph.time_steps
        )
        static = last.signal.rate != "step"
        self._encoders[host, moved] = name
        self._places[name] = Encoder(name, last.signal.shape, graph, static)
        half = any(isinstance(op, _WEIGHTED) for op in moved)
        node = self._graph.nodes.get(target if half else host, self._graph.nodes[host])
        what = f"half of what {node.name} reads" if half else f"current {node.name}"
        self._report_encoder(graph, node, static, what)
        return name, left

    def _unused(self, base: str) -> str:
        """``base``, or ``base:2``, … where something else is called so."""
        taken = (self._graph.nodes, self._places, self._tensors)
        names = itertools.chain([base], (f"{base}:{number}" for number in itertools.count(2)))
        return next(name for name in names if not any(name in each for each in taken))

    def _report_encoder(self, graph: Graph, node: Node, static: bool, what: str) -> None:
        often = "sample" if static else "time step"
        macs = {layer: dense_macs(graph, layer) for layer in graph.of_type(*_WEIGHTED)}
        for layer, work in macs.items() if self._strict else ():
            message = f"{layer.name} is {work:,} MACs a {often} on the analog input"
            self._find("SNN101", layer, message)
        if not (self._strict and macs):
            work = sum(macs.values())
            message = f"the analog {what} is computed on the host, {work:,} MACs a {often}"
            self._find("SNN501", node, message)

    # -- 1: linear regions -------------------------------------------------------------------

    def _region(self, node: Node) -> Region:
        if node.name in self._open:
            said = f"{node.name} feeds back to itself without a neuron in between"
            return self._find("SNN112", node, said)
        if node.name not in self._regions:
            self._open.add(node.name)
            region = self._lowered(node)
            if not region.broken and not is_finite(region):
                message = f"`{node.name}` has a factor or a term that is infinite or no number"
                region = self._find("SNN108", node, message)
            self._regions[node.name] = region
            self._open.remove(node.name)
        return self._regions[node.name]

    def _of(self, name: str) -> Region:
        return self._region(self._graph.nodes[name])

    def _lowered(self, node: Node) -> Region:
        op = node.op
        if isinstance(op, Repeat | Identity):
            return self._of(node.inputs[0])
        if node.name in self._host:
            if node.signal.rate == "final":
                message = f"`{node.name}` is an analog value of all time steps"
                return self._find("SNN112", node, message)
            return Region({(node.name, ()): 1.0})
        match op:
            case Constant():
                return Region({}, self._store.number(op.value))
            case Input():
                self._places[node.name] = Source(
                    node.name, node.signal.shape, "spike" if op.kind == "spike" else "count"
                )
                return Region({(node.name, ()): 1.0})
            case Spiking():
                return Region({(node.name, ()): 1.0})
            case OverTime():
                return self._over_time(node, op)
            case Delay():
                return self._delayed(node, op)
            case Unread():
                self._sound(node.inputs)
                return self._find(op.code, node, op.message)
            case Elementwise():
                return self._elementwise(node, op)
            case Concat():
                return self._concat(node, op)
            case Pool() | AdaptivePool() if is_max_pool(op):
                return self._max_pool(node, op)
            case Normalise() | Softmax() | MatMul() | Membrane():
                return self._never(node, op)
            case Argmax():
                return self._find("SNN108", node, f"{node.name} (argmax) is no spike op")
            case op if is_linear(op):
                return self._linear(node, op)
            case _:
                raise TypeError(f"nothing says what `{type(op).__name__}` is lowered to")

    def _never(self, node: Node, op: Normalise | Softmax | MatMul | Membrane) -> Region:
        """What is no spike op whatever it reads; so is what it reads, perhaps."""
        self._sound(node.inputs)
        match op:
            case Normalise():
                message = f"{node.name}, of kind {op.kind}, takes its statistics from the data"
                return self._find("SNN106", node, message)
            case Softmax():
                return self._find("SNN107", node, f"{node.name} is a softmax between neurons")
            case MatMul():
                said = f"{node.name} multiplies two values of the run"
                return self._find("SNN103", node, said, SPIKE_ATTENTION)
            case Membrane():
                return self._find("SNN114", node, f"{node.name} is the membrane of a neuron")

    def _leave_out_parts(self) -> None:
        """A product that softmax attention is made of is no finding beside the softmax."""
        refused = {name for code, name in self._found if code == "SNN107"}
        if not refused:
            return
        nodes, readers = self._graph.nodes, self._graph.readers
        reached = self._near(refused, lambda name: nodes[name].inputs)
        reached |= self._near(refused, lambda name: readers[name])
        for code, name in list(self._found):
            if code == "SNN103" and name in reached and isinstance(nodes[name].op, MatMul):
                del self._found[code, name]

    def _near(self, names: set[str], of: Callable[[str], Iterable[str]]) -> set[str]:
        """What is on a way from ``names`` that leads through no neuron."""
        seen, pending = set(names), list(names)
        while pending:
            for name in of(pending.pop()):
                if name not in seen and not isinstance(self._graph.nodes[name].op, Dynamics):
                    seen.add(name)
                    pending.append(name)
        return seen

    def _linear(self, node: Node, op: Op) -> Region:
        region = self._of(node.inputs[0])
        before = self._graph.nodes[node.inputs[0]].signal.shape
        rank = len(before)
        mapped: Op
        if isinstance(op, Norm):
            scale, shift = self._norm_parts(op, rank)
            name = f"{node.name}.scale"
            self._tensors[name] = scale.numpy()
            mapped = Scale(Ref(name))
            whole = region.offset
            offset: torch.Tensor | None = shift if whole is None else whole * scale + shift
        else:
            mapped = replace(op, bias=None) if isinstance(op, _WEIGHTED) else op
            offset = self._offset_through(op, region.offset, before)
        terms: dict[Term, float] = {}
        for (source, chain), coefficient in region.terms.items():
            if self._strict and source in self._host and isinstance(op, _WEIGHTED):
                joint = self._joint(node)
                message = f"{joint.name} brings the analog {source} among the spikes"
                return self._find("SNN102", joint, f"{message} that {node.name} reads")
            accumulate(terms, (source, (*chain, mapped)), coefficient)
        return Region(terms, offset, region.broken)

    def _joint(self, node: Node) -> Node:
        """The op before ``node`` where a value of the host meets spikes."""
        while not any(name in self._host for name in node.inputs):
            mixed = (
                name
                for name in node.inputs
                if any(source in self._host for source, _ in self._of(name).terms)
            )
            node = self._graph.nodes[next(mixed)]
        return node

    def _norm_parts(self, op: Norm, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Factor and constant of an eval-mode norm, both (C, 1, …) over ``rank`` axes."""
        variance = self._store[op.variance]
        if op.outside:
            deviation = torch.sqrt(variance) + op.epsilon
        else:
            deviation = torch.sqrt(variance + op.epsilon)
        scale = 1 / deviation if op.scale is None else self._store[op.scale] / deviation
        shift = -self._store[op.mean] * scale
        if op.shift is not None:
            shift = shift + self._store[op.shift]
        shape = (-1, *[1] * (rank - 1))
        return scale.reshape(shape), shift.reshape(shape)

    def _offset_through(
        self, op: Op, offset: torch.Tensor | None, before: tuple[int, ...]
    ) -> torch.Tensor | None:
        if offset is None:
            bias = getattr(op, "bias", None)
            if bias is None:
                return None
            trailing = 0 if isinstance(op, Dense) else len(before) - 1
            return self._store[bias].reshape(-1, *[1] * trailing)
        whole = offset.expand(before)[None]
        return compact(apply(op, [whole], self._store)[0])

    def _over_time(self, node: Node, op: OverTime) -> Region:
        if op.kind == "max":
            said = f"{node.name} takes the largest value over time, and more is computed with it"
            return self._find("SNN112", node, said)
        region = self._of(node.inputs[0])
        offset = region.offset
        if offset is not None and op.kind == "sum":
            offset = offset * (self._graph.time_steps or 1)
        return replace(region, offset=offset)

    def _delayed(self, node: Node, op: Delay) -> Region:
        """A step late: so are the spikes; the constant part is there at once, as no spikes are."""
        region = self._of(node.inputs[0])
        shape = node.signal.shape
        if any(source in self._host for source, _ in region.terms):
            said = f"{node.name} keeps an analog value for the next step"
            return self._find("SNN112", node, said)
        silent = torch.zeros(()) if region.offset is None else region.offset
        first = self._store.number(op.initial).expand(shape)
        silent = silent.expand(shape).double()
        if not region.broken and not torch.allclose(silent, first, rtol=1e-12, atol=1e-12):
            said = f"{node.name} starts at another value than {node.inputs[0]} has without spikes"
            return self._find("SNN112", node, said)
        terms = {(source, (*chain, Delay())): c for (source, chain), c in region.terms.items()}
        return replace(region, terms=terms)

    def _concat(self, node: Node, op: Concat) -> Region:
        terms: dict[Term, float] = {}
        whole = node.signal.shape
        offset: torch.Tensor | None = None
        start, broken = 0, False
        for name in node.inputs:
            region = self._of(name)
            shape = self._graph.nodes[name].signal.shape
            size = shape[op.axis]
            widths = [(0, 0)] * len(whole)
            widths[op.axis] = (start, whole[op.axis] - start - size)
            pad = Pad(tuple(widths))
            for (source, chain), coefficient in region.terms.items():
                accumulate(terms, (source, (*chain, pad)), coefficient)
            if region.offset is not None:
                part = apply(pad, [region.offset.expand(shape)[None]], self._store)[0]
                offset = part if offset is None else offset + part
            start += size
            broken |= region.broken
        return Region(terms, None if offset is None else compact(offset), broken)

    # -- 2: elementwise ----------------------------------------------------------------------

    def _elementwise(self, node: Node, op: Elementwise) -> Region:
        linear = self._is_linear_elementwise(node, op)
        own = tuple(n for n in dict.fromkeys(node.inputs) if not self._is_number(n))
        leaves = group_leaves(self._graph, node.name, self._sets)
        if node.signal.rate == "final" and not linear:
            message = f"`{node.name}` is no sum of what all time steps yield, but a function of it"
            return self._find("SNN112", node, message)
        for read in (leaves, own):
            if self._is_few(read) and not np.isfinite(self._values(node, read)).all():
                message = f"`{node.name}` is infinite or no number for some of what it reads"
                return self._find("SNN108", node, message)
        if not linear or self._group_is_nonlinear(node, leaves):
            for read in dict.fromkeys((leaves, own)):
                if self._is_function_of(node, read):
                    return self._cone(node, read) if self._sound(read) else Region({}, broken=True)
        if not self._sound(own) and (linear or not self._is_current(own)):
            return Region({}, broken=True)
        if linear:
            return self._linear_elementwise(node, op, [self._of(name) for name in node.inputs])
        rounds = self._is_few(own) and self._table(node, own) is None
        if op.function in COMPARISONS and self._sound(own) and not rounds:
            return self._comparison(node, op)
        return self._refuse_elementwise(node, op, leaves)

    def _sound(self, names: tuple[str, ...]) -> bool:
        """Whether nothing in any of these values was refused; all are looked at."""
        return not sum(self._of(name).broken for name in names)

    def _is_current(self, names: tuple[str, ...]) -> bool:
        """Whether a layer with weights made one of these: they stay real, whatever it reads."""
        pending, seen = list(names), set(names)
        while pending:
            node = self._graph.nodes[pending.pop()]
            if isinstance(node.op, _WEIGHTED):
                return True
            additive = isinstance(node.op, Elementwise) and self._is_linear_elementwise(
                node, node.op
            )
            if additive or is_linear(node.op) or isinstance(node.op, Concat | Identity):
                pending += [name for name in node.inputs if name not in seen]
                seen.update(node.inputs)
        return False

    def _is_number(self, name: str) -> bool:
        op = self._graph.nodes[name].op
        return isinstance(op, Constant) and not isinstance(op.value, Ref)

    def _is_constant(self, name: str) -> bool:
        return isinstance(self._graph.nodes[name].op, Constant)

    def _is_linear_elementwise(self, node: Node, op: Elementwise) -> bool:
        constant = [self._is_constant(name) for name in node.inputs]
        match op.function:
            case "add" | "sub" | "neg":
                return True
            case "mul":
                return any(constant)
            case "div":
                return constant[1]
        return False

    def _group_is_nonlinear(self, node: Node, leaves: tuple[str, ...]) -> bool:
        """Whether an op above the leaves, ``node`` included, is not linear."""
        pending, seen = [node.name], set(leaves)
        while pending:
            inner = self._graph.nodes[pending.pop()]
            if isinstance(inner.op, Elementwise) and not self._is_linear_elementwise(
                inner, inner.op
            ):
                return True
            for source in inner.inputs:
                if source not in seen and isinstance(self._graph.nodes[source].op, Elementwise):
                    seen.add(source)
                    pending.append(source)
        return False

    def _linear_elementwise(self, node: Node, op: Elementwise, args: list[Region]) -> Region:
        shape = node.signal.shape
        wide = [
            self._widened(region, self._graph.nodes[name].signal.shape, shape)
            for region, name in zip(args, node.inputs, strict=True)
        ]
        match op.function:
            case "add":
                return plus(wide[0], wide[1], 1.0)
            case "sub":
                return plus(wide[0], wide[1], -1.0)
            case "neg":
                return plus(Region({}), wide[0], -1.0)
        index = 0 if self._is_constant(node.inputs[0]) else 1
        value, region = wide[index].offset, wide[1 - index]
        assert value is not None
        factor = value if op.function == "mul" else 1 / value
        offset = None if region.offset is None else region.offset * factor
        if factor.numel() == 1:
            terms = {term: c * float(factor) for term, c in region.terms.items()}
            return Region(terms, offset, region.broken)
        name = f"{node.name}.factor"
        self._tensors[name] = factor.reshape(
            (1,) * (len(shape) - factor.dim()) + factor.shape
        ).numpy()
        terms = {}
        for (source, chain), coefficient in region.terms.items():
            accumulate(terms, (source, (*chain, Scale(Ref(name)))), coefficient)
        return Region(terms, offset, region.broken)

    def _widened(self, region: Region, own: tuple[int, ...], shape: tuple[int, ...]) -> Region:
        """``region`` broadcast to ``shape``; constants broadcast by themselves."""
        if own == shape or not region.terms:
            return region
        terms: dict[Term, float] = {}
        for (source, chain), coefficient in region.terms.items():
            accumulate(terms, (source, (*chain, Broadcast(shape))), coefficient)
        return replace(region, terms=terms)

    def _is_function_of(self, node: Node, leaves: tuple[str, ...]) -> bool:
        """Whether ``node`` is a function of finitely many values that a few gates compute."""
        if not self._is_few(leaves):
            return False
        levels, table = self._level_counts(leaves), self._table(node, leaves)
        if table is None:
            return False
        form = realise(table, levels)
        if not is_exact(form, table, levels):
            return False
        return max(levels, default=0) <= 2 or gates_of(form) <= GATE_LIMIT

    def _is_few(self, leaves: tuple[str, ...]) -> bool:
        """Whether the leaves have so few levels together that a table lists them."""
        if not all(self._sets[leaf].is_finite for leaf in leaves):
            return False
        return math.prod(self._level_counts(leaves)) <= (
            STEP_LIMIT if len(leaves) == 1 else 2**CONE_LIMIT
        )

    def _table(self, node: Node, leaves: tuple[str, ...]) -> Table | None:
        """The values of ``node`` for all levels of the leaves; None where it is no function."""
        found = self._values(node, leaves)
        if not np.isfinite(found).all():
            return None
        return by_level(found, [levels_of(self._sets[leaf].members or ()) for leaf in leaves])

    def _values(self, node: Node, leaves: tuple[str, ...]) -> np.ndarray:
        """The values of ``node`` for all members of the leaves, which are few."""
        members = [self._sets[leaf].members or () for leaf in leaves]
        columns = np.array(list(itertools.product(*members)), dtype=np.float64).T
        values = dict(zip(leaves, columns.reshape(len(leaves), -1), strict=True))
        return evaluate(self._graph, node.name, values)

    def _level_counts(self, leaves: Iterable[str]) -> tuple[int, ...]:
        return tuple(len(levels_of(self._sets[leaf].members or ())) for leaf in leaves)

    def _cone(self, node: Node, leaves: tuple[str, ...]) -> Region:
        levels, table = self._level_counts(leaves), self._table(node, leaves)
        assert table is not None
        form = realise(table, levels)
        read = used(form)
        parts = [
            self._bit(leaves[leaf], j, node.signal.shape) if i in read else Region({})
            for i, (leaf, j) in enumerate(bits(levels))
        ]
        match form:
            case Affine():
                return combine(parts, form.weights, form.constant)
            case Threshold():
                if (form.low, form.high) == (0.0, 1.0):
                    return self._gate(node, node.name, parts, form.weights, form.threshold)
                name = f"{node.name}.gate"
                gate = self._gate(node, name, parts, form.weights, form.threshold, "")
                return combine([gate], (form.high - form.low,), form.low)
            case Moebius():
                total = combine(parts, form.weights, form.constant)
                for chosen, coefficient in form.products:
                    name = f"{node.name}.and{'.'.join(map(str, chosen))}"
                    ones = tuple(1 for _ in chosen)
                    both = self._gate(node, name, [parts[i] for i in chosen], ones, len(chosen), "")
                    total = plus(total, both, coefficient)
                if node.signal.values.is_spike and self._wants_spikes(node):
                    return self._gate(node, node.name, [total], (1,), 1)
                return total

    def _bit(self, name: str, number: int, shape: tuple[int, ...]) -> Region:
        """[value of ``name`` ≥ its level ``number``], broadcast to ``shape``."""
        values = self._sets[name]
        own = self._graph.nodes[name].signal.shape
        region = self._of(name) if values.is_spike else self._level(name, number)
        return self._widened(region, own, shape)

    def _level(self, name: str, number: int) -> Region:
        """The same for a value that is no spike: a gate, shared by all that ask."""
        node, region = self._graph.nodes[name], self._of(name)
        levels = levels_of(self._sets[name].members or ())
        bound = levels[number][0]
        if not all(value == int(value) for level in levels for value in level):
            bound = (levels[number - 1][-1] + bound) / 2
        if not region.terms:
            assert region.offset is not None
            return Region({}, (region.offset >= bound).double())
        if (name, number) not in self._levels:
            gate = self._gate(node, f"{name}.level{number}", [region], (1,), bound, "")
            self._levels[name, number] = gate
        return self._levels[name, number]

    def _comparison(self, node: Node, op: Elementwise) -> Region:
        """A current compared with a constant, or with another current: a neuron without memory."""
        function = op.function
        left, right = (
            self._widened(self._of(name), self._graph.nodes[name].signal.shape, node.signal.shape)
            for name in node.inputs
        )
        if function == "heaviside":
            at_zero = right.offset
            if right.terms or at_zero is None or not bool(((at_zero == 0) | (at_zero == 1)).all()):
                return self._refuse_elementwise(node, op, node.inputs)
            function = "ge" if bool(at_zero.all()) else "gt"
            right = Region({}, torch.zeros((), dtype=torch.float64))
        if not left.terms:
            left, right = right, left
            function = {"ge": "le", "gt": "lt", "le": "ge", "lt": "gt"}[function]
        threshold = torch.zeros((), dtype=torch.float64)
        if right.terms:
            left = plus(left, right, -1.0)
        elif right.offset is not None:
            threshold = right.offset
        sign = 1.0 if function in ("ge", "gt") else -1.0
        threshold = threshold * sign
        if function in ("gt", "lt"):
            threshold = torch.nextafter(threshold, torch.full_like(threshold, math.inf))
        region = plus(Region({}), left, sign)
        neuron = Neuron(
            decay=0.0,
            threshold=self._as_number(f"{node.name}.threshold", threshold),
            bias=self._as_number(f"{node.name}.bias", region.offset),
        )
        self._places[node.name] = Population(
            node.name, node.signal.shape, neuron, "neuron", node.name, node.origin
        )
        self._connect(region, node.name)
        return Region({(node.name, ()): 1.0})

    def _wants_spikes(self, node: Node) -> bool:
        """Whether one more population is cheaper than its parts at every reader, or needed."""
        readers = [self._graph.nodes[r] for r in self._graph.readers[node.name]]
        readers = [r for r in readers if r.name in self._needed]
        nonlinear = any(isinstance(r.op, Elementwise) or is_max_pool(r.op) for r in readers)
        return nonlinear or len(readers) > 1

    def _gate(
        self, node: Node, name: str, parts: list[Region], weights: tuple[int, ...],
        threshold: float, stands_for: str | None = None,
    ) -> Region:  # fmt: skip
        """A memoryless population [Σ weight·part ≥ threshold]."""
        if name != node.name:
            name = self._unused(name)
        total = combine(parts, tuple(map(float, weights)), 0.0)
        bias = self._as_number(f"{name}.bias", total.offset)
        neuron = Neuron(decay=0.0, threshold=float(threshold), bias=bias)
        stands = node.name if stands_for is None else stands_for
        self._places[name] = Population(
            name, node.signal.shape, neuron, "gate", stands, node.origin
        )
        self._connect(total, name)
        return Region({(name, ()): 1.0})

    def _refuse_elementwise(self, node: Node, op: Elementwise, leaves: tuple[str, ...]) -> Region:
        finite = all(self._sets[leaf].is_finite for leaf in leaves)
        spikes = finite and all(self._sets[leaf].is_spike for leaf in leaves)
        if spikes and self._is_few(leaves):
            message = f"`{node.name}` yields numbers too far apart to be added up exactly"
            return self._find("SNN108", node, message)
        if spikes:
            message = f"{node.name} reads {len(leaves)} spikes at once, more than {CONE_LIMIT}"
            return self._find("SNN109", node, message)
        factors = [name for name in node.inputs if not self._is_constant(name)]
        what = node.name if op.function in node.name else f"{node.name} ({op.function})"
        if op.function in ("mul", "div") and len(factors) > 1:
            return self._find("SNN103", node, f"{what} reads two values that are not spikes")
        if self._is_few(leaves) and self._table(node, leaves) is None:
            message = f"{what} tells averages apart that differ by rounding alone"
            return self._find("SNN111", node, message)
        if finite:
            levels = max(self._level_counts(leaves))
            return self._find("SNN111", node, f"{what} reads a value with {levels} levels")
        if op.function in ("div", "pow", "square"):
            code = "SNN103"
        else:
            code = "SNN105" if op.function in ACTIVATIONS else "SNN108"
        return self._find(code, node, f"{what} reads real values")

    # -- 3: max pool -------------------------------------------------------------------------

    def _max_pool(self, node: Node, op: Pool | AdaptivePool) -> Region:
        """The largest value is the lowest one and, for each level above, a step if any is there."""
        (source,) = node.inputs
        region = self._of(source)
        members = self._sets[source].members
        if region.broken and (members or not self._is_current((source,))):
            return region
        if members is None:
            return self._find("SNN104", node, f"{node.name} takes the maximum of currents")
        if isinstance(op, Pool) and has_empty_window(op, self._graph.nodes[source].signal.shape):
            return self._find("SNN104", node, f"{node.name} has a window of padding alone")
        if self._sets[source].is_spike:
            return self._any(node, node.name, region, op)
        levels = levels_of(members)
        if len(levels) - 1 > GATE_LIMIT:
            message = f"{node.name} takes the maximum of values with {len(levels)} levels"
            return self._find("SNN111", node, message)
        total = Region({}, torch.tensor(levels[0][0], dtype=torch.float64))
        for number in range(1, len(levels)):
            level = self._any(node, f"{node.name}.or{number}", self._level(source, number), op, "")
            total = plus(total, level, levels[number][0] - levels[number - 1][0])
        return total

    def _any(
        self, node: Node, name: str, spikes: Region, op: Pool | AdaptivePool,
        stands_for: str | None = None,
    ) -> Region:  # fmt: skip
        """A gate that fires when a spike is in the window."""
        shape = self._graph.nodes[node.inputs[0]].signal.shape
        count = replace(op, kind="sum")
        terms: dict[Term, float] = {}
        for (source, chain), coefficient in spikes.terms.items():
            accumulate(terms, (source, (*chain, count)), coefficient)
        offset = self._offset_through(count, spikes.offset, shape)
        return self._gate(node, name, [Region(terms, offset)], (1,), 1, stands_for)

    # -- places ------------------------------------------------------------------------------

    def _as_number(self, name: str, value: torch.Tensor | None) -> Number:
        if value is None:
            return 0.0
        if value.numel() == 1:
            return float(value)
        array = value.numpy()
        if name in self._tensors and not np.array_equal(self._tensors[name], array):
            name = self._unused(name)
        self._tensors[name] = array
        return Ref(name)

    def _connect(self, region: Region, target: str) -> None:
        for (source, chain), coefficient in region.terms.items():
            if coefficient == 0:
                continue
            whole = chain if coefficient == 1 else (*chain, Scale(float(coefficient)))
            if source in self._host:
                source, whole = self._encoder(source, whole, target)
            maps = tuple(op for op in whole if not isinstance(op, Delay))
            delay = len(whole) - len(maps)
            self._projections.append(Projection(source, target, maps, delay))

    def _neuron(self, node: Node) -> None:
        assert isinstance(node.op, Spiking)
        arg = self._graph.nodes[node.inputs[0]]
        if arg.signal.rate == "final":
            self._find("SNN112", node, f"neuron {node.name} reads a value of all time steps")
            return
        region = self._of(arg.name)
        if region.broken:
            return
        op = node.op
        leak = self._store.number(op.leak)
        as_written = op.decay is None
        decay = 1 - leak if op.decay is None else self._store.number(op.decay)
        gain = leak if op.decay_input and as_written else torch.ones((), dtype=torch.float64)
        if not (gain > 0).all():
            said = f"neuron {node.name} has a leak of {float(gain.min()):g} with decay_input"
            self._find("SNN110", node, f"{said}; only one above 0 can be divided out")
            return
        # h = decay·v + gain·x + pull becomes u = (v − rest)/gain, so that a hard reset is to 0.
        rest = op.v_reset if op.reset == "hard" else 0.0
        pull = leak * op.v_reset if as_written else torch.zeros((), dtype=torch.float64)
        drift = (pull - (1 - decay) * rest) / gain
        offset = region.offset
        has_current = isinstance(op.current_decay, Ref) or op.current_decay != 0
        fade, current = (self._store.number(n) for n in (op.current_decay, op.current_initial))
        if op.v_reset and not (as_written and op.reset == "hard"):
            # A constant of the membrane is one of a synaptic current c = fade·c + x, begun there.
            into = drift * (1 - fade)
            offset = into if offset is None else offset + into
            current = current + drift
        threshold = (self._store.number(op.threshold) - rest) / gain
        if op.strict:
            threshold = torch.nextafter(threshold, torch.full_like(threshold, math.inf))
        neuron = Neuron(
            decay=self._as_number(f"{node.name}.decay", decay),
            threshold=self._as_number(f"{node.name}.threshold", threshold),
            bias=self._as_number(f"{node.name}.bias", offset),
            initial=self._as_number(
                f"{node.name}.initial", (self._store.number(op.initial) - rest) / gain
            ),
            reset=op.reset,
            current_decay=self._as_number(f"{node.name}.current_decay", fade),
            when=self._when(op, decay),
            keep=self._as_number(f"{node.name}.keep", self._store.number(op.keep)),
            current_initial=self._as_number(
                f"{node.name}.current_initial", current if has_current else None
            ),
        )
        self._places[node.name] = Population(
            node.name, node.signal.shape, neuron, "neuron", node.name, node.origin
        )
        self._connect(region, node.name)

    def _when(self, op: Spiking, decay: torch.Tensor) -> When:
        """When spikes reset, in the simplest words that leave every spike as it is.

        Without a leak a soft reset that comes with the next charge, v + x − θ, is one that came
        with the spike, (v − θ) + x, unless the neuron starts above its threshold.
        """
        number = self._store.number
        rests = bool((number(op.initial) < number(op.threshold)).all())
        carried = op.reset == "soft" and op.when == "next" and rests and bool((decay == 1).all())
        return "now" if carried or op.reset == "none" else op.when

    # -- 5: the readout ----------------------------------------------------------------------

    def _read_out(self, head: str) -> None:
        node = self._graph.nodes[self._graph.heads[head]]
        host: list[Op] = []
        if not any(isinstance(self._graph.nodes[n].op, Spiking | Unread) for n in self._needed):
            self._no_neuron(head, node)
            return
        while isinstance(node.op, _HOST_OPS):
            if not isinstance(node.op, Identity):
                host.insert(0, node.op)
                for key in [k for k in self._found if k[1] == node.name]:
                    del self._found[key]
            (name,) = node.inputs
            node = self._graph.nodes[name]
        if host and node.signal.rate == "step":
            said = f"head {head} takes `{_words(host[-1])}` of each time step"
            self._find("SNN112", node, f"{said}; take it of their mean, sum or last")
            return
        region = self._of(node.inputs[0] if node.op == OverTime("max") else node.name)
        needed = [n.op for n in self._graph.of_type(OverTime) if n.name in self._needed]
        kinds = {op.kind for op in needed if isinstance(op, OverTime)}
        if region.broken:
            return
        if len(kinds) > 1:
            self._find("SNN112", node, f"head {head} reduces time in several ways")
            return
        kind: Literal["mean", "sum", "last", "max"] = kinds.pop() if kinds else "mean"
        offset = region.offset
        if kind == "sum" and offset is not None:
            offset = offset / (self._graph.time_steps or 1)
        name = head if head not in self._places else f"{head}.readout"
        self._places[name] = Readout(
            name, node.signal.shape, self._as_number(f"{name}.bias", offset), kind, tuple(host)
        )
        self._connect(region, name)

    def _no_neuron(self, head: str, node: Node) -> None:
        """A comparison alone may be one step of a neuron."""
        said, help = f"head {head} depends on no spiking neuron", ""
        compared = [n for n in map(self._graph.nodes.__getitem__, self._graph.nodes)
                    if n.name in self._needed and n.inputs
                    and isinstance(n.op, Elementwise) and n.op.function in COMPARISONS]  # fmt: skip
        if compared:
            node = compared[0]
            said += (
                f": `{node.name}` is a comparison, and no loop with a membrane is seen around it"
            )
            help = FEWER
        self._find("SNN113", node, said, help)


def _words(op: Op) -> str:
    return type(op).__name__.lower()


def dense_macs(graph: Graph, node: Node) -> int:
    """MACs of one layer with weights on one dense input."""
    op = node.op
    assert isinstance(op, _WEIGHTED)
    weight = graph.tensors[op.weight]
    across = graph.nodes[node.inputs[0]] if isinstance(op, ConvTranspose) else node
    return math.prod(weight.shape[1:]) * math.prod(across.signal.shape)
