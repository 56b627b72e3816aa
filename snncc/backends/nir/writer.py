"""A Graph as the parts and edges of a NIR file. Rules:

1. several edges into a part add up, so a sum is no part; constants go into the bias of a layer
2. a layer that NIR has no part for is written as the matrix that it is; NIR has no part that brings
   the axes of an image back, so that what follows it stays flat and is written as matrices too
3. a Delay that closes a loop is an edge that leads back, which brings the step before
4. what a neuron's input must be multiplied by goes into the layers in front of it
5. what is done over time at the end is said in the metadata of the Output
6. a convolution has one group and a square kernel, as the type check of nir 1.0.8 wants it
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from snncc.backends.nir.loops import unread
from snncc.backends.nir.neurons import NeuronPart, Reader, as_part
from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.ir.graph import Graph, Node
from snncc.ir.matrix import matrix
from snncc.ir.nir_metadata import FORMAT, PREFIX, number
from snncc.ir.ops import (
    AdaptivePool,
    Argmax,
    Broadcast,
    Concat,
    Constant,
    Conv,
    Delay,
    Dense,
    Elementwise,
    Identity,
    Input,
    Norm,
    Op,
    OverTime,
    Pad,
    Pool,
    Ref,
    Repeat,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Spiking,
    is_linear,
)  # fmt: skip
from snncc.ir.shapes import Shape, output_shape

if TYPE_CHECKING:
    import nir

LARGEST = 1 << 25
"""So many numbers a matrix has at most."""

LAYERS = ("Affine", "Linear", "Conv1d", "Conv2d")


@dataclass(eq=False)
class Part:
    """A part that is being made: what it reads, the constant that is added to that, its result."""

    kind: str
    node: Node
    shape: Shape
    inputs: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    constant: np.ndarray | None = None
    neuron: NeuronPart | None = None


@dataclass(frozen=True)
class Value:
    """What a node of the Graph is in the file: the sum of what some parts yield and a constant.

    ``shape`` is the Graph's; ``flat``: the parts yield it as one axis. ``over``: what is done over
    time, at the end, and ``host``: what is done to that.
    """

    terms: tuple[str, ...]
    shape: Shape
    flat: bool = False
    constant: np.ndarray | None = None
    over: str = ""
    host: tuple[str, ...] = ()

    @property
    def seen(self) -> Shape:
        """The shape that the parts yield."""
        return (math.prod(self.shape),) if self.flat else self.shape


@dataclass(frozen=True, eq=False)
class FileParts:
    """All parts by name, in an order in which most read parts before them."""

    parts: Mapping[str, Part]
    metadata: Mapping[str, Any]
    notes: tuple[Finding, ...]

    def as_nir(self) -> nir.NIRGraph:
        """The same in the classes of the package nir, which checks the shapes."""
        import nir

        nodes = {name: _node(part) for name, part in self.parts.items()}
        edges = [(each, name) for name, part in self.parts.items() for each in part.inputs]
        return nir.NIRGraph(nodes, edges, metadata=dict(self.metadata))


def as_parts(graph: Graph, reader: Reader, dt: float) -> FileParts:
    """The parts of ``graph`` for ``reader``. Raises SnnccError (SNN324), naming the layer."""
    return _Writing(graph, reader, dt).parts()


def _node(part: Part) -> nir.NIRNode:
    import nir

    cls = getattr(nir, part.kind)
    made: nir.NIRNode = cls(**part.values, metadata=part.metadata)
    return made


class _Writing:
    def __init__(self, graph: Graph, reader: Reader, dt: float) -> None:
        self._graph, self._reader, self._dt = graph, reader, dt
        self._parts: dict[str, Part] = {}
        self._values: dict[str, Value] = {}
        self._waiting: dict[str, tuple[str, str]] = {}
        self._notes: list[Finding] = []

    def parts(self) -> FileParts:
        graph = self._graph
        if len(graph.inputs) != 1:
            said = f"the network has {len(graph.inputs)} inputs, and a NIR file one here"
            raise refuse("SNN324", said)
        for group in graph.groups(graph.nodes):
            for name in group:
                node = graph.nodes[name]
                self._values[name] = self._emit(node)
        self._outputs()
        self._close_loops()
        self._prune()
        self._place_constants()
        self._place_gains()
        self._check_loops()
        for part in self._parts.values():
            _finish(part)
        (node,) = graph.inputs
        about = {
            "format": FORMAT, "dt": self._dt, "discretise": self._reader.method,
            "input": getattr(node.op, "kind", "analog"),
            "layout": "TN" if node.signal.rate == "step" else "N",
            "time_steps": graph.time_steps or 0,
        }  # fmt: skip
        metadata = {f"{PREFIX}{name}": value for name, value in about.items()}
        return FileParts(self._parts, metadata, tuple(self._notes))

    # -- parts and values ------------------------------------------------------------------------

    def _add(self, base: str, kind: str, node: Node, shape: Shape, inputs: Iterable[str] = (),
             **values: Any) -> str:  # fmt: skip
        """A new part under a name that files and frameworks take."""
        if kind == "Linear" and self._reader.kinds and kind not in self._reader.kinds:
            kind, values = "Affine", values | {"bias": np.zeros(len(values["weight"]))}
        if self._reader.kinds and kind not in self._reader.kinds:
            raise self._refuse(node, f"{self._reader.name} does not read a {kind}")
        plain = re.sub(r"\W", "_", base) or "part"
        name, count = plain, 1
        while name in self._parts:
            count += 1
            name = f"{plain}_{count}"
        self._parts[name] = Part(kind, node, shape, list(inputs), values)
        return name

    def _reading(self, kind: str, node: Node, value: Value, shape: Shape, base: str = "",
                 **values: Any) -> str:  # fmt: skip
        """A new part that reads ``value``."""
        terms = value.terms or (self._source(value, node),)
        name = self._add(base or node.name, kind, node, shape, terms, **values)
        if value.terms and value.constant is not None:
            self._parts[name].constant = _whole(value).reshape(value.seen)
        return name

    def _source(self, value: Value, node: Node) -> str:
        """A part that yields a constant: a layer of zeros, with a bias, that reads the input."""
        (start,) = self._graph.inputs
        heard = self._flat(self._values[start.name], start)
        size = math.prod(value.shape)
        self._room(node, size, heard.seen[0])
        if not value.flat and len(value.shape) != 1:
            raise self._refuse(node, "it is a constant, and NIR has no part for one of this shape")
        return self._add(
            f"{node.name}.constant", "Affine", node, (size,), heard.terms,
            weight=np.zeros((size, heard.seen[0])),
            bias=_whole(value).reshape(-1),
        )  # fmt: skip

    def _flat(self, value: Value, node: Node) -> Value:
        """The same, as one axis."""
        if value.flat or len(value.shape) == 1:
            return value
        if not value.terms:
            return replace(value, flat=True)
        name = self._reading(
            "Flatten", node, replace(value, constant=None), (math.prod(value.shape),),
            f"{node.name}.flatten", input_type={"input": np.array(value.shape)}, start_dim=0,
            end_dim=-1,
        )  # fmt: skip
        return replace(value, terms=(name,), flat=True)

    def _heard(self, value: Value, node: Node) -> Value:
        """The same, as one axis where its constant has no form as the bias of an image."""
        if value.flat or value.constant is None or _by_channel(_whole(value)) is not None:
            return value
        return self._flat(value, node)

    def _refuse(self, node: Node, reason: str) -> SnnccError:
        said = f"NIR has no form for `{node.name}`: {reason}"
        help = "write the spike-only network (--form network), or another format"
        return refuse("SNN324", said, node.origin, help=help)

    def _room(self, node: Node, rows: int, columns: int) -> None:
        if rows * columns > LARGEST:
            size = f"a matrix of {rows:,} × {columns:,}"
            raise self._refuse(node, f"it would be written as {size}, and the limit is {LARGEST:,}")

    # -- nodes -----------------------------------------------------------------------------------

    def _emit(self, node: Node) -> Value:
        op, shape = node.op, node.signal.shape
        match op:
            case Input():
                kind = "Input"
                name = self._add(node.name, kind, node, shape,
                                 input_type={"input": np.array(shape or (1,))})  # fmt: skip
                return Value((name,), shape, flat=not shape)
            case Constant(given):
                return Value((), shape, len(shape) != 1, number(given, self._graph.tensors))
            case Delay():
                return self._delay(node, op)
        arguments = [self._heard(self._values[name], node) for name in node.inputs]
        if any(each.host for each in arguments) and not isinstance(op, Identity | Softmax | Argmax):
            raise self._refuse(node, "it follows a softmax or an argmax")
        match op:
            case Repeat() | Identity():
                value = arguments[0]
                return value if value.host else replace(value, shape=shape)
            case OverTime(kind):
                if arguments[0].over:
                    raise self._refuse(node, "it is done over time twice")
                return replace(arguments[0], over=kind)
            case Spiking():
                return self._neuron(node, op, arguments[0])
            case Softmax() | Argmax():
                value = arguments[0]
                if value.flat:
                    raise self._refuse(node, "it reads the axes of an image")
                word = (
                    "argmax" if isinstance(op, Argmax) else "log_softmax" if op.log else "softmax"
                )
                return replace(value, host=(*value.host, f"{word}:{op.axis % len(value.shape)}"))
            case Concat(axis):
                return self._concat(node, axis, arguments)
            case Elementwise(function):
                return self._elementwise(node, function, arguments)
        if not (is_linear(op) or isinstance(op, Norm)):
            raise self._refuse(node, f"`{type(op).__name__.lower()}` is not linear")
        (value,) = arguments
        if value.over in ("sum", "max") and not isinstance(op, Reshape):
            raise self._refuse(node, f"it follows a {value.over} over time")
        return self._linear(node, op, value)

    def _delay(self, node: Node, op: Delay) -> Value:
        if op.initial != 0:
            raise self._refuse(node, "a delay does not begin with 0")
        (source,) = node.inputs
        if source not in self._values:  # it closes a loop
            name = f"back to {node.name}"
            self._waiting[name] = (source, node.name)
            return Value((name,), node.signal.shape, self._is_flat(source))
        value = self._values[source]
        late = np.full(value.seen or (1,), self._dt)
        name = self._reading("Delay", node, value, value.seen, delay=late)
        return replace(value, terms=(name,), constant=None)

    def _is_flat(self, name: str) -> bool:
        """Whether a node that is still to come will be flat: it has no shape of an image."""
        return len(self._graph.nodes[name].signal.shape) != 1

    def _close_loops(self) -> None:
        """Rule 3: in the place of each mark the parts that it stands for."""
        for mark, (source, delay) in self._waiting.items():
            value, node = self._values[source], self._graph.nodes[delay]
            late = Value((mark,), value.shape, self._is_flat(source))
            if late.seen != value.seen:
                if value.seen != value.shape or late.seen != (math.prod(value.shape),):
                    raise self._refuse(node, "what it brings back changes its shape")
                value = self._flat(value, node)
            biased = value.constant is not None or any(
                np.any(self._parts[term].values.get("bias", 0)) for term in value.terms
            )
            if biased or not value.terms:
                raise self._refuse(node, "it brings back a layer with a bias, or a constant")
            ahead = self._ahead(value.terms)
            for name, part in list(self._parts.items()):
                if mark not in part.inputs:
                    continue
                back: tuple[str, ...] = value.terms
                if name not in ahead or not {*back}.isdisjoint(part.inputs):
                    late_by = np.full(value.seen or (1,), self._dt)
                    back = (self._add(delay, "Delay", node, value.seen, back, delay=late_by),)
                    if name in ahead:
                        raise self._refuse(node, "a value and the same one step late are added up")
                at = part.inputs.index(mark)
                part.inputs[at : at + 1] = back

    def _check_loops(self) -> None:
        """Raise for a loop that the reader would run as another network."""
        kinds = {name: part.kind for name, part in self._parts.items()}
        inputs = {name: part.inputs for name, part in self._parts.items()}
        name, reason = unread(kinds, inputs, self._reader)
        if name:
            raise self._refuse(self._parts[name].node, reason)

    def _ahead(self, names: Iterable[str]) -> set[str]:
        """All parts that lead to ``names``, themselves included."""
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self._waiting:
                waiting += self._values[self._waiting[name][0]].terms
            elif name not in seen:
                seen.add(name)
                waiting += self._parts[name].inputs
        return seen

    def _prune(self) -> None:
        """Leave out what leads to no output, as NIR has no part without a reader."""
        outputs = [name for name, part in self._parts.items() if part.kind == "Output"]
        kept = self._ahead(outputs)
        for name, part in list(self._parts.items()):
            if name in kept or part.kind == "Input":
                continue
            del self._parts[name]
            if part.neuron is not None:
                said = f"`{part.node.name}` leads to no output, and the file is without it"
                self._notes.append(Finding("SNN511", said, part.node.origin))

    def _neuron(self, node: Node, op: Spiking, value: Value) -> Value:
        if not node.signal.shape:
            value = replace(value, flat=True)
        elif self._reader.flat:
            value = self._flat(value, node)
        seen = value.seen

        def no(reason: str) -> SnnccError:
            return self._refuse(node, reason)

        if value.over:
            raise no(f"it follows the {value.over} over time")
        made = as_part(op, self._graph.tensors, self._reader, self._dt, no)
        name = self._reading(made.kind, node, value, seen)
        part = self._parts[name]
        part.neuron = made
        part.metadata |= {
            key: _fitted(each, value.shape, seen) if isinstance(each, np.ndarray) else each
            for key, each in made.metadata.items()
        }
        part.values = {
            key: np.array(np.broadcast_to(_fitted(each, value.shape, seen), seen), np.float64)
            for key, each in made.values.items()
        }
        if self._reader.counts:
            said = f"{self._reader.name} lets `{node.name}` fire several times in a step"
            self._notes.append(Finding("SNN510", said, node.origin))
        if made.unsaid:
            what = " and ".join(made.unsaid)
            said = f"`{node.name}` has {what}, which the file says in its metadata alone"
            self._notes.append(Finding("SNN511", said, node.origin))
        return Value((name,), value.shape, value.flat)

    def _elementwise(self, node: Node, function: str, arguments: Sequence[Value]) -> Value:
        """Sums, and products with a constant."""
        shape = node.signal.shape
        if done := {each.over for each in arguments} & {"sum", "max"}:
            raise self._refuse(node, f"it follows a {done.pop()} over time")
        constant = [not each.terms and not each.over for each in arguments]
        if function == "neg" or (function == "sub" and len(arguments) == 2):
            arguments = [*arguments[:-1], self._scaled(node, arguments[-1], np.asarray(-1.0))]
            return arguments[0] if function == "neg" else self._added(node, *arguments)
        if function == "add":
            return self._added(node, *arguments)
        if function in ("mul", "div") and any(constant):
            if function == "div" and not constant[1]:
                raise self._refuse(node, "it divides by a value")
            which = 1 if constant[1] else 0
            factor = np.zeros(()) if (c := arguments[which].constant) is None else c
            factor = 1 / factor if function == "div" else factor
            fitted = self._broadcast(node, arguments[1 - which], shape)
            return self._scaled(node, fitted, factor)
        raise self._refuse(node, f"`{function}` of values is not linear")

    def _scaled(self, node: Node, value: Value, factor: np.ndarray) -> Value:
        constant = None if value.constant is None else value.constant * factor
        if not value.terms:
            return replace(value, constant=constant)
        scale = np.broadcast_to(factor, value.shape).reshape(value.seen)
        kind, values = self._multiplying(scale)
        heard = replace(value, constant=None)
        name = self._reading(kind, node, heard, value.seen, f"{node.name}.scale", **values)
        return replace(value, terms=(name,), constant=constant)

    def _multiplying(self, scale: np.ndarray) -> Form:
        """A part that multiplies by ``scale``: a Scale where the reader has one."""
        factor = _by_channel(scale)
        if (self._reader.kinds and "Scale" not in self._reader.kinds) and factor is not None:
            return _each_channel(factor, scale.shape)
        return "Scale", {"scale": scale}

    def _added(self, node: Node, *arguments: Value) -> Value:
        shape = node.signal.shape
        fitted = [self._broadcast(node, each, shape) for each in arguments]
        if len({each.over for each in fitted if each.terms}) > 1:
            raise self._refuse(node, "it adds values of a step and values over all steps")
        if any(each.flat for each in fitted if each.terms):
            fitted = [self._flat(each, node) for each in fitted]
        terms: list[str] = []
        for each in fitted:
            for term in each.terms:
                if term in terms:  # two edges between the same parts are one
                    seen = each.seen
                    kind, values = self._multiplying(np.ones(seen))
                    term = self._add(f"{node.name}.again", kind, node, seen, [term], **values)
                terms.append(term)
        constants = [each.constant for each in fitted if each.constant is not None]
        total = sum(constants[1:], constants[0]) if constants else None
        heard = [each for each in fitted if each.terms]
        flat = heard[0].flat if heard else len(shape) != 1
        over = heard[0].over if heard else ""
        return Value(tuple(terms), shape, flat, total, over)

    def _broadcast(self, node: Node, value: Value, shape: Shape) -> Value:
        if value.shape == shape or not value.terms:
            return replace(value, shape=shape, flat=value.flat if value.terms else len(shape) != 1)
        rank = len(shape) - len(value.shape)
        value = replace(self._flat(value, node), flat=True)
        value = replace(value, shape=(*(1,) * rank, *value.shape))
        return self._matrix(node, Broadcast(shape), value, shape)

    def _concat(self, node: Node, axis: int, arguments: Sequence[Value]) -> Value:
        """Each argument in its place between zeros; all are added up."""
        shape = node.signal.shape
        axis %= len(shape)
        placed, before = [], 0
        for each in arguments:
            after = shape[axis] - before - each.shape[axis]
            widths = tuple((before, after) if i == axis else (0, 0) for i in range(len(shape)))
            if before or after:
                each = self._linear(node, Pad(widths), each)
            placed.append(each)
            before += arguments[len(placed) - 1].shape[axis]
        return self._added(node, *placed)

    # -- layers ----------------------------------------------------------------------------------

    def _linear(self, node: Node, op: Op, value: Value) -> Value:
        shape = output_shape(op, (value.shape,), self._graph.tensors)
        if isinstance(op, Reshape):
            if value.shape == shape:
                return value
            flat = self._flat(value, node)
            constant = None if value.constant is None else _whole(value).reshape(shape)
            return replace(flat, shape=shape, flat=len(shape) != 1, constant=constant)
        if isinstance(op, Scale):
            value = self._broadcast(node, value, shape)
            return self._scaled(node, value, number(op.factor, self._graph.tensors))
        if not value.terms:
            return self._of_constant(node, op, value, shape)
        written = None
        if not value.flat:
            write = _FORMS.get(type(op))
            written = write(op, value.shape, self._graph.tensors) if write else None
        if written is None:
            return self._matrix(node, op, value, shape)
        kind, values = written
        name = self._reading(kind, node, value, shape, **values)
        return replace(value, terms=(name,), shape=shape, constant=None)

    def _of_constant(self, node: Node, op: Op, value: Value, shape: Shape) -> Value:
        """A layer that reads a constant."""
        weight, bias = self._weights(node, op, value.shape, shape)
        moved = (weight @ _whole(value).reshape(-1) + bias).reshape(shape)
        return Value((), shape, len(shape) != 1, moved, value.over)

    def _matrix(self, node: Node, op: Op, value: Value, shape: Shape) -> Value:
        """Rule 2."""
        self._room(node, math.prod(shape), math.prod(value.shape))
        weight, bias = self._weights(node, op, value.shape, shape)
        flat = self._flat(value, node)
        values = {"weight": weight.toarray()} | ({"bias": bias} if bias.any() else {})
        kind = "Affine" if bias.any() else "Linear"
        name = self._reading(kind, node, flat, (math.prod(shape),), **values)
        return replace(flat, terms=(name,), shape=shape, constant=None, flat=len(shape) != 1)

    def _weights(self, node: Node, op: Op, before: Shape, shape: Shape) -> tuple[Any, np.ndarray]:
        """Matrix and bias of a linear op, on flat values."""
        if isinstance(op, Norm):
            factor, shift = _affine(op, self._graph.tensors)
            rest = (1,) * (len(shape) - 1)
            weight = np.broadcast_to(factor.reshape(-1, *rest), shape).reshape(-1)
            bias = np.broadcast_to(shift.reshape(-1, *rest), shape).reshape(-1)
            from scipy import sparse

            return sparse.diags(weight, format="csr"), bias
        weight = matrix(op, before, self._graph.tensors)
        own = getattr(op, "bias", None)
        bias = np.zeros(math.prod(shape))
        if own is not None:
            array = np.asarray(self._graph.tensors[own], np.float64)
            rest = (1,) * (len(shape) - 1)
            placed = array if isinstance(op, Dense) else array.reshape(-1, *rest)
            bias = np.broadcast_to(placed, shape).reshape(-1)
        return weight, bias

    # -- constants and gains ---------------------------------------------------------------------

    def _readers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self._parts}
        for name, part in self._parts.items():
            for each in part.inputs:
                found[each].append(name)
        return found

    def _between(self, before: str, name: str, kind: str, base: str, **values: Any) -> Part:
        """A new part on the edge between two."""
        part = self._parts[name]
        seen = self._parts[before].shape
        new = self._add(f"{name}_{base}", kind, part.node, seen, [before], **values)
        part.inputs[part.inputs.index(before)] = new
        return self._parts[new]

    def _place_constants(self) -> None:
        """Rule 1: what is added to the input of a part becomes the bias of a layer before it."""
        readers = self._readers()
        for name, part in list(self._parts.items()):
            if part.constant is None or not part.constant.any():
                continue
            seen = self._parts[part.inputs[0]].shape
            bias = _by_channel(part.constant)
            if bias is None:
                reason = "NIR has no bias for each neuron of an image"
                raise self._refuse(part.node, reason)
            inputs = [each for each in part.inputs if name not in self._ahead([each])]
            inputs = inputs or part.inputs  # all of them lie on a loop with it
            layers = [
                each for each in inputs
                if self._parts[each].kind in LAYERS and readers[each] == [name]
            ]  # fmt: skip
            if layers:
                layer = self._parts[layers[0]]
            else:
                kind, values = _each_channel(np.ones(bias.shape), seen)
                self._room(part.node, *values["weight"].shape[:2])
                layer = self._between(inputs[0], name, kind, "bias", **values)
            layer.values["bias"] = layer.values.get("bias", 0) + bias
            layer.kind = "Affine" if layer.kind == "Linear" else layer.kind

    def _place_gains(self) -> None:
        """Rule 4, and what it has been in the metadata."""
        readers = self._readers()
        for name, part in list(self._parts.items()):
            if part.neuron is None or (part.neuron.gain == 1).all():
                continue
            seen = part.shape
            whole = np.broadcast_to(
                _fitted(part.neuron.gain, part.node.signal.shape, seen), seen
            )  # fmt: skip
            gain = _by_channel(whole)
            part.metadata[f"{PREFIX}gain"] = _shortest(whole if gain is None else gain)
            for each in list(part.inputs):
                layer = self._parts[each]
                if layer.kind not in LAYERS or readers[each] != [name] or gain is None:
                    kind, values = self._multiplying(np.ones(seen))
                    layer = self._between(each, name, kind, "gain", **values)
                layer.metadata[f"{PREFIX}gain"] = part.metadata[f"{PREFIX}gain"]

    # -- outputs ---------------------------------------------------------------------------------

    def _outputs(self) -> None:
        heads = list(self._graph.heads.values())
        width = len(str(len(heads) - 1))
        for number_, head in enumerate(heads):
            node = self._graph.nodes[head]
            value = self._heard(self._values[head], node)
            base = "output" if len(heads) == 1 else f"output_{number_:0{width}}"
            shape = value.seen or (1,)
            name = self._reading(
                "Output", node, value, shape, base, output_type={"output": np.array(shape)}
            )
            about = {"over_time": value.over, "host": " ".join(value.host)}
            said = {PREFIX + key: word for key, word in about.items() if word}
            self._parts[name].metadata |= said
            if said:
                what = " and ".join([*([f"{value.over} over time"] if value.over else []),
                                     *(word.partition(":")[0] for word in value.host)])  # fmt: skip
                told = f"`{name}` is every step in the file, and its {what} is in the metadata"
                self._notes.append(Finding("SNN511", told, node.origin))


# -- values --------------------------------------------------------------------------------------


def _whole(value: Value) -> np.ndarray:
    """The constant of a value, of its shape."""
    return np.broadcast_to(0.0 if value.constant is None else value.constant, value.shape)


def _fitted(array: np.ndarray, shape: Shape, seen: Shape) -> np.ndarray:
    """What broadcasts over ``shape``, for parts that see it as ``seen``."""
    if not array.ndim or shape == seen:
        return array
    return np.broadcast_to(array, shape).reshape(seen)


def _by_channel(whole: np.ndarray) -> np.ndarray | None:
    """(C,) where the values (C, …) differ by channel alone."""
    rows = whole.reshape(len(whole), -1)
    same = bool((rows == rows[:, :1]).all())
    return rows[:, 0].copy() if same else None


def _shortest(array: np.ndarray) -> float | np.ndarray:
    """One number where all are the same."""
    same = bool((array == array.flat[0]).all())
    return float(array.flat[0]) if same else np.array(array, np.float64)


def _finish(part: Part) -> None:
    """The values in float32, and what they are exactly where that is another number."""
    gain = np.asarray(part.metadata.get(f"{PREFIX}gain", 1.0))
    layer = part.kind in (*LAYERS, "Scale")
    if part.kind in ("Conv1d", "Conv2d"):
        part.values.setdefault("bias", np.zeros(len(part.values["weight"])))
    for name in ("weight", "bias", "scale") if layer else ():
        if name not in part.values:
            continue
        exact = np.asarray(part.values[name], np.float64)
        by_row = gain.reshape(-1, *(1,) * (exact.ndim - 1)) if name != "scale" else gain
        if name == "scale" and gain.ndim == 1:
            by_row = gain.reshape(-1, *(1,) * (exact.ndim - 1))
        shown = (exact * by_row).astype(np.float32)
        if not np.isfinite(shown).all():
            said = f"`{part.node.name}` has numbers that are too large for float32"
            raise refuse("SNN324", said, part.node.origin)
        if (shown != exact).any():
            part.metadata[PREFIX + name] = exact
        part.values[name] = shown


# -- layers that NIR has -------------------------------------------------------------------------

Form = tuple[str, dict[str, Any]]
Tensors = Mapping[str, np.ndarray]


def _dense(op: Dense, shape: Shape, tensors: Tensors) -> Form | None:
    if len(shape) != 1:
        return None
    values = _weighted(op, tensors)
    return ("Affine" if "bias" in values else "Linear"), values


def _weighted(op: Dense | Conv, tensors: Tensors) -> dict[str, Any]:
    values = {"weight": np.asarray(tensors[op.weight], np.float64)}
    if op.bias is not None:
        values["bias"] = np.asarray(tensors[op.bias], np.float64)
    return values


def _conv(op: Conv, shape: Shape, tensors: Tensors) -> Form | None:
    """Rule 6."""
    values, axes = _weighted(op, tensors), len(shape) - 1
    weight, padding = _one_group(values["weight"], op.groups), list(op.padding)
    if axes == 2:
        largest = max(weight.shape[2:])
        widths = [(0, 0), (0, 0)]
        for axis, (size, dilation) in enumerate(zip(weight.shape[2:], op.dilation, strict=True)):
            more = largest - size
            if more * dilation % 2:
                return None
            ahead = more * dilation // 2
            if ahead % dilation:
                return None
            widths.append((ahead // dilation, more - ahead // dilation))
            padding[axis] += ahead
        weight = np.pad(weight, widths)
    values["weight"] = weight
    pairs = {"stride": op.stride, "padding": tuple(padding), "dilation": op.dilation}
    if axes == 1:
        return "Conv1d", values | {"input_shape": shape[1], "groups": 1} | {
            name: int(pair[0]) for name, pair in pairs.items()
        }
    return "Conv2d", values | {"input_shape": tuple(shape[1:]), "groups": 1} | {
        name: tuple(map(int, pair)) for name, pair in pairs.items()
    }


def _one_group(weight: np.ndarray, groups: int) -> np.ndarray:
    """The same convolution with one group: zeros between channels of different groups."""
    if groups == 1:
        return weight
    many, each = weight.shape[:2]
    whole = np.zeros((many, each * groups, *weight.shape[2:]))
    for group in range(groups):
        rows = slice(group * (many // groups), (group + 1) * (many // groups))
        whole[rows, group * each : (group + 1) * each] = weight[rows]
    return whole


def _pool(op: Pool, shape: Shape, tensors: Tensors) -> Form | None:
    plain = not op.ceil and set(op.dilation) == {1} and len(shape) == 3 and len(op.kernel) == 2
    counted = op.kind == "sum" or op.count_padding or not any(op.padding)
    return _pooled(op.kind, op.kernel, op.stride, op.padding) if plain and counted else None


def _pooled(kind: str, kernel: Shape, stride: Shape, padding: Shape) -> Form:
    return ("SumPool2d" if kind == "sum" else "AvgPool2d"), {
        "kernel_size": np.array(kernel), "stride": np.array(stride), "padding": np.array(padding),
    }  # fmt: skip


def _adaptive(op: AdaptivePool, shape: Shape, tensors: Tensors) -> Form | None:
    if len(shape) != 3 or len(op.size) != 2:
        return None
    if any(n % size for n, size in zip(shape[1:], op.size, strict=True)):
        return None
    kernel = tuple(n // size for n, size in zip(shape[1:], op.size, strict=True))
    return _pooled(op.kind, kernel, kernel, (0, 0))


def _norm(op: Norm, shape: Shape, tensors: Tensors) -> Form | None:
    factor, shift = _affine(op, tensors)
    kind, values = _each_channel(factor, shape)
    return ("Affine" if kind == "Linear" else kind), values | {"bias": shift}


def _affine(op: Norm, tensors: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """A batch norm as x·factor + shift, by channel."""

    def of(ref: Ref | None, default: float) -> np.ndarray:
        return np.asarray(default if ref is None else tensors[ref], np.float64)

    variance = of(op.variance, 1)
    deviation = np.sqrt(variance) + op.epsilon if op.outside else np.sqrt(variance + op.epsilon)
    factor = of(op.scale, 1) / deviation
    return factor, of(op.shift, 0) - of(op.mean, 0) * factor


def _each_channel(factor: np.ndarray, shape: Shape) -> Form:
    """A layer that multiplies each channel with a number."""
    return _channels(np.diag(factor), shape)


def _channels(weight: np.ndarray, shape: Shape) -> Form:
    """A layer from channels to channels, the same at every place; weight (O, C)."""
    if len(shape) == 1:
        return "Linear", {"weight": weight}
    axes = len(shape) - 1
    op = Conv(Ref("weight"), None, (1,) * axes, (0,) * axes, (1,) * axes)
    form = _conv(op, shape, {"weight": weight.reshape(*weight.shape, *(1,) * axes)})
    assert form is not None
    return form


def _slice(op: Slice, shape: Shape, tensors: Tensors) -> Form | None:
    if op.axis % len(shape) or len(shape) not in (2, 3):
        return None
    return _channels(np.eye(shape[0])[op.start : op.stop : op.step], shape)


def _pad(op: Pad, shape: Shape, tensors: Tensors) -> Form | None:
    """Zeros before and after the channels; and around an image, as the padding of a layer."""
    if len(shape) not in (2, 3) or any(before != after for before, after in op.widths[1:]):
        return None
    before, after = op.widths[0]
    weight = np.pad(np.eye(shape[0]), [(before, after), (0, 0)])
    axes = len(shape) - 1
    padding = tuple(width for width, _ in op.widths[1:])
    conv = Conv(Ref("weight"), None, (1,) * axes, padding, (1,) * axes)
    return _conv(conv, shape, {"weight": weight.reshape(*weight.shape, *(1,) * axes)})


_FORMS: Mapping[type[Op], Callable[[Any, Shape, Tensors], Form | None]] = {
    Dense: _dense,
    Conv: _conv,
    Pool: _pool,
    AdaptivePool: _adaptive,
    Norm: _norm,
    Slice: _slice,
    Pad: _pad,
}
