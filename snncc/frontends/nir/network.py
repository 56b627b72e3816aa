"""A NIR file as a torch module: from here on it is read, proved and compiled like any other.

Inputs and values are (T, N, …). Rules:

1. a part is computed for all steps at once, in an order in which its arguments come first
2. several edges into a part add up
3. parts on a circle are computed step by step; an edge that leads back, to a part that is reached
   first from the input, brings the values of the step before, 0 in the first step; a layer that is
   read by such edges alone works on the spikes of the step before, its bias there from the start
4. everything is computed in float64, with the values of the file
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.diagnostics import Location, refuse
from snncc.frontends.neurons import NeuronModule
from snncc.frontends.nir.exact import Facts, exact, facts, neuron
from snncc.frontends.nir.file import Part, Parts
from snncc.frontends.nir.timing import NEURONS, Step, Timing, step_of
from snncc.ir.interpreter import TensorStore
from snncc.ir.interpreter.written import Written
from snncc.ir.nir_metadata import PREFIX, word
from snncc.ir.ops import Number, Ref, Spiking
from snncc.ir.text import print_op

Shape = tuple[int, ...]


class FileNeuron(nn.Module):
    """A neuron of a file on currents (T, N, …); its numbers are buffers by their names."""

    def __init__(self, spiking: Spiking, tensors: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.spiking = spiking
        for name, array in tensors.items():
            self.register_buffer(name, torch.from_numpy(np.array(array, np.float64)))

    def forward(self, x: Tensor) -> Tensor:
        neuron = Written(self.spiking, x[0].shape, _Numbers(self, x.dtype))
        return torch.stack([neuron.value(each) for each in x.unbind(0)])

    def extra_repr(self) -> str:
        return print_op(self.spiking)


class FileCell(nn.Module):
    """The same neuron on one step (N, …) after the other, as a circle needs it.

    It is no neuron that the compiler knows by its class: what its steps compute is recorded.
    """

    def __init__(self, neuron: FileNeuron) -> None:
        super().__init__()
        self.spiking = neuron.spiking
        for name, buffer in neuron.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor, state: Written | None) -> tuple[Tensor, Written]:
        """The spikes, and the state behind them; ``state``: None in the first step."""
        state = state or Written(self.spiking, x.shape, _Numbers(self, x.dtype))
        return state.value(x), state


class _Numbers(TensorStore):
    """The buffers of a neuron."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__({}, dtype)
        self._module = module

    def __getitem__(self, ref: str) -> Tensor:
        buffer: Tensor = getattr(self._module, ref)
        return buffer


def reading(module: FileNeuron) -> NeuronModule:
    """What the compiler takes it for."""
    tensors = {name: each.detach().double().cpu().numpy() for name, each in module.named_buffers()}
    return NeuronModule(module.spiking, multi_step=True, keeps_state=False, tensors=tensors)


def in_steps(step: Step, shape: Shape, name: str) -> FileNeuron:
    """The neuron that a file of another tool describes.

    Raises SnnccError: SNN305 for values that do not fit the ``shape``, SNN110 for a reset that has
    no form here.
    """
    tensors: dict[str, np.ndarray] = {}

    def number(field: str) -> Number:
        value = getattr(step, field)
        fitted = torch.zeros(()) if value is None else by_neuron(value, shape, f"{name}.{field}")
        if fitted.dim() == 0:
            return float(fitted)
        tensors[field] = fitted.numpy()
        return Ref(field)

    reset = number("v_reset")
    if isinstance(reset, Ref):
        said = "a reset to another value in each neuron has no form here"
        raise refuse("SNN110", said, help="reset all neurons of a layer to one value")
    spiking = Spiking(
        decay=number("decay"),
        threshold=number("threshold"),
        reset=step.reset,
        v_reset=reset if step.reset == "hard" else 0.0,
        strict=step.strict,
        current_decay=number("current_decay"),
        when=step.when,
    )
    return FileNeuron(spiking, tensors)


def by_neuron(value: np.ndarray, shape: Shape, name: str) -> Tensor:
    """A scalar where all neurons agree, else the values (*shape).

    A file has a value for each neuron, for each channel, or one. Raises SnnccError (SNN305).
    """
    array = np.asarray(value, np.float64)
    if array.size and (array == array.flat[0]).all():
        return torch.tensor(float(array.flat[0]), dtype=torch.float64)
    if array.shape == shape[:1]:
        array = array.reshape(-1, *(1,) * (len(shape) - 1))
    try:
        return torch.from_numpy(np.broadcast_to(array, shape).copy())
    except ValueError:
        message = f"`{name}` has the shape {array.shape}, and the neurons are {shape}"
        raise refuse(
            "SNN305", message, Location(name), help="write it by neuron or channel"
        ) from None


# -- parts without time --------------------------------------------------------------------------

Layer = Callable[[Tensor], Tensor]


class FileLayer(nn.Module):
    """A part that computes each step by itself: ``kind`` on features (…, *shape)."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor

    def __init__(self, name: str, part: Part, shape: Shape) -> None:
        super().__init__()
        self.kind, self.name, self.features = part.kind, name, len(shape)
        self._values = part.values
        for field in ("weight", "bias", "scale"):
            value = part.values.get(field)
            tensor = None if value is None else torch.from_numpy(np.asarray(value, np.float64))
            self.register_buffer(field, tensor)
        if part.kind not in _LAYERS:
            message = f"`{name}` is a {part.kind}, which has no form here"
            raise refuse("SNN103", message, Location(name), help=_HELP.get(part.kind, ""))
        self._layer = _LAYERS[part.kind]

    def forward(self, x: Tensor) -> Tensor:
        """(N, *shape) to (N, *shape')."""
        return self._layer(self, x)

    def whole(self, field: str, default: int | None = None, axes: int = 2) -> tuple[int, ...]:
        """Whole numbers by axis, such as a stride."""
        value = self._values.get(field)
        if value is None and default is not None:
            return (default,) * axes
        found = np.ravel(np.asarray(value)) if value is not None else np.zeros(0)
        if found.size not in (1, axes) or found.dtype.kind not in "iuf" or (found % 1).any():
            message = f"`{field}` of `{self.name}` is not {axes} whole numbers"
            raise refuse("SNN305", message, Location(self.name))
        return tuple(int(each) for each in np.broadcast_to(found, axes))


def _dense(layer: FileLayer, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def _scale(layer: FileLayer, x: Tensor) -> Tensor:
    return x * layer.scale


def _conv(layer: FileLayer, x: Tensor) -> Tensor:
    axes = 1 if layer.kind == "Conv1d" else 2
    padding: Any = layer._values.get("padding", np.asarray(0))
    padding = str(padding) if padding.dtype.kind in "SUO" else layer.whole("padding", 0, axes)
    conv = F.conv1d if axes == 1 else F.conv2d
    found: Tensor = conv(
        x, layer.weight, layer.bias, layer.whole("stride", 1, axes), padding,
        layer.whole("dilation", 1, axes), layer.whole("groups", 1, 1)[0],
    )  # fmt: skip
    return found


def _average(layer: FileLayer, x: Tensor) -> Tensor:
    kernel = layer.whole("kernel_size")
    return F.avg_pool2d(x, kernel, layer.whole("stride", None), layer.whole("padding", 0))


def _sum(layer: FileLayer, x: Tensor) -> Tensor:
    return _average(layer, x) * math.prod(layer.whole("kernel_size"))


def _flatten(layer: FileLayer, x: Tensor) -> Tensor:
    """The axes that are counted have no batch in front."""
    start, end = (layer.whole(name, default, 1)[0] for name, default in
                  (("start_dim", 1), ("end_dim", -1)))  # fmt: skip
    start, end = (axis + layer.features if axis < 0 else axis for axis in (start, end))
    return x.flatten(start + 1, end + 1)


def _same(layer: FileLayer, x: Tensor) -> Tensor:
    return x


_LAYERS: Mapping[str, Callable[[FileLayer, Tensor], Tensor]] = {
    "Affine": _dense,
    "Linear": _dense,
    "Scale": _scale,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _sum,
    "AvgPool2d": _average,
    "Flatten": _flatten,
    "Input": _same,
    "Output": _same,
    "Identity": _same,
}
_HELP = {
    "LI": "read the spikes of a neuron, or the sum of a layer",
    "I": "read the spikes of a neuron, or the sum of a layer",
    "CubaLI": "read the spikes of a neuron, or the sum of a layer",
}


# -- the whole -----------------------------------------------------------------------------------


class FileGain(nn.Module):
    """What a neuron does to its input before it is charged: x·gain + offset, on (T, N, *shape)."""

    gain: Tensor
    offset: Tensor

    def __init__(self, step: Step, shape: Shape, name: str) -> None:
        super().__init__()
        self.register_buffer("gain", by_neuron(step.gain, shape, f"{name}.gain"))
        self.register_buffer("offset", by_neuron(step.offset, shape, f"{name}.offset"))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.offset

    @staticmethod
    def is_needed(step: Step) -> bool:
        return bool((step.gain != 1).any() or (step.offset != 0).any())


class FileDelay(nn.Module):
    """What comes in, so many whole steps later, and zeros before; on (T, N, …)."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        held = [torch.zeros_like(x[0])] * self.steps
        late = []
        for each in x.unbind(0):
            held = [*held, each]
            late.append(held.pop(0))
        return torch.stack(late)


class FileNetwork(nn.Module):
    """The network of a file: (T, N, *shape) to what each Output gets, (T, N, …).

    ``shape`` is that of one sample at one step, by default that of the Input in the file. Raises
    SnnccError: SNN103 and SNN110 for parts without a form here, SNN305 for edges and values that do
    not fit together.
    """

    zero: Tensor

    def __init__(self, parts: Parts, timing: Timing, shape: Shape | None = None) -> None:
        super().__init__()
        if len(parts.inputs) != 1 or not parts.outputs:
            count = f"{len(parts.inputs)} Input and {len(parts.outputs)} Output parts"
            help = "a network has one Input and at least one Output"
            raise refuse("SNN305", f"{parts.source} has {count}", help=help)
        self._plan = Plan.of(parts)
        self._facts = facts(parts)
        parts = exact(parts) if self._facts else parts
        (self._input,), self._outputs = parts.inputs, parts.outputs
        own = self._facts is not None
        self._endings = [_ending(parts, name) if own else _every for name in self._outputs]
        self.shape = shape or _input_shape(parts, self._input)
        self.register_buffer("zero", torch.zeros((), dtype=torch.float64))
        self._names: dict[str, tuple[str, ...]] = {}
        self._shapes: dict[str, Shape] = {}
        shapes = self._shapes
        for name in self._plan.reached:
            found = [shapes[before] for before in self._plan.before[name] if before in shapes]
            arrives = self.shape if name == self._input else _one_shape(name, found, parts.source)
            modules = _modules(name, parts.parts[name], arrives, timing, self._facts)
            if any(name in circle for circle in self._plan.circles):
                modules = [FileCell(m) if isinstance(m, FileNeuron) else m for m in modules]
            self._names[name] = tuple(self._add(name, each) for each in modules)
            shapes[name] = _shape_behind(modules, arrives, name)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = x.to(self.zero.dtype)
        if self._facts is not None and self._facts.layout == "N":
            x = x.unsqueeze(0).repeat(self._facts.time_steps or 1, *(1,) * x.dim())
        values = {self._input: x}
        for group in self._plan.groups:
            if group in self._plan.circles:
                values |= self._circle(group, values)
            elif group[0] != self._input:
                (name,) = group
                values[name] = self._through(name, self._sum(name, values))
        found = tuple(
            ended(values[name]) for name, ended in zip(self._outputs, self._endings, strict=True)
        )
        return found[0] if len(found) == 1 else found

    def _sum(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        first, *others = (values[before] for before in self._plan.before[name])
        for each in others:
            first = first + each
        return first

    def _through(self, name: str, x: Tensor) -> Tensor:
        """All steps of a part, (T, N, …)."""
        for key in self._names[name]:
            module = getattr(self, key)
            if isinstance(module, FileLayer):
                x = module(x.flatten(0, 1)).unflatten(0, (x.shape[0], x.shape[1]))
            else:
                x = module(x)
        return x

    def _circle(self, group: Sequence[str], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All steps of parts on a circle, one step after the other."""
        steps = {name: values[name].unbind(0) for name in self._plan.arriving(group)}
        first = next(iter(steps.values()))
        count = len(first)

        def zero(name: str) -> Tensor:
            return self.zero.expand(first[0].shape[0], *self._shapes[name])

        found: dict[str, list[Tensor]] = {name: [] for name in group}
        states: dict[str, Any] = {}
        for t in range(count):
            now = {name: each[t] for name, each in steps.items()}
            for name in group:
                arriving = [now[before] for before in self._plan.ahead(name)]
                arriving += [found[b][t - 1] if t else zero(b) for b in self._plan.behind(name)]
                x = arriving[0]
                for each in arriving[1:]:
                    x = x + each
                now[name] = self._one_step(name, x, states)
                found[name].append(now[name])
        return {name: torch.stack(each) for name, each in found.items()}

    def _one_step(self, name: str, x: Tensor, states: dict[str, Any]) -> Tensor:
        """One step of a part, (N, …)."""
        for key in self._names[name]:
            module = getattr(self, key)
            if isinstance(module, FileCell):
                x, states[key] = module(x, states.get(key))
            elif isinstance(module, FileDelay):
                held = [*states.get(key, [torch.zeros_like(x)] * module.steps), x]
                x, *states[key] = held
            else:
                x = module(x)
        return x

    def _add(self, name: str, module: nn.Module) -> str:
        """The module under the name of its part, as torch allows it."""
        key = re.sub(r"\W", "_", name)
        if isinstance(module, FileGain):
            key += "_gain"
        while hasattr(self, key):
            key += "_"
        self.add_module(key, module)
        return key


def _modules(
    name: str, part: Part, shape: Shape, timing: Timing, known: Facts | None
) -> list[nn.Module]:
    """What a part is made of, one after the other; ``known`` of a file that is our own."""
    if part.kind == "Delay":
        return [FileDelay(steps)] if (steps := _steps(name, part, timing)) else []
    if part.kind == "Scale" and (np.asarray(part.values.get("scale", 0)) == 1).all():
        return []
    if part.kind not in NEURONS:
        return [FileLayer(name, part, shape)]
    step = step_of(name, part, timing)
    if known is not None and f"{PREFIX}reset" in part.metadata:
        return [FileNeuron(*neuron(name, part, step, shape))]
    gain = [FileGain(step, shape, name)] if FileGain.is_needed(step) else []
    return [*gain, in_steps(step, shape, name)]


def _ending(parts: Parts, name: str) -> Callable[[Tensor], Tensor]:
    """What an Output of our own is made into: of all steps, then on the features."""
    metadata = parts.parts[name].metadata
    over, host = word(metadata, "over_time"), word(metadata, "host")
    words = [each.partition(":") for each in host.split()]
    known = all(kind in _ON_HOST and axis.isdecimal() for kind, _, axis in words)
    if over not in _OVER_TIME or not known or any(int(axis) > 8 for *_, axis in words):
        message = f"the metadata of `{name}` are damaged: {str((over, host))[:60]}"
        raise refuse("SNN305", message, Location(name))
    lead = 1 if over else 2

    def ended(x: Tensor) -> Tensor:
        x = _OVER_TIME[over](x)
        for kind, _, axis in words:
            x = _ON_HOST[kind](x, int(axis) + lead)
        return x

    return ended


def _every(x: Tensor) -> Tensor:
    return x


_OVER_TIME: Mapping[str, Callable[[Tensor], Tensor]] = {
    "": _every,
    "mean": lambda x: x.mean(0),
    "sum": lambda x: x.sum(0),
    "last": lambda x: x[-1],
    "max": lambda x: x.amax(0),
}


_ON_HOST: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "softmax": lambda x, axis: F.softmax(x, axis),
    "log_softmax": lambda x, axis: F.log_softmax(x, axis),
    "argmax": lambda x, axis: x.argmax(axis),
}


def _steps(name: str, part: Part, timing: Timing) -> int:
    delay = np.ravel(np.asarray(part.values.get("delay", 0), np.float64))
    assert timing.dt is not None
    steps = delay / timing.dt
    whole = np.round(steps)
    if (steps < 0).any() or not np.allclose(steps, whole, atol=1e-6) or len(set(whole)) != 1:
        message = (
            f"`{name}` delays by {delay.min():g} to {delay.max():g} s, in steps of {timing.dt:g} s"
        )
        help = "delay all by one whole number of steps, or give another --dt"
        raise refuse("SNN110", message, Location(name), help=help)
    return int(whole[0])


def _shape_behind(modules: Sequence[nn.Module], shape: Shape, name: str) -> Shape:
    """The shape of what a part yields: layers are tried on zeros."""
    for module in modules:
        if isinstance(module, FileLayer):
            try:
                with torch.no_grad():
                    shape = tuple(module(torch.zeros(1, *shape, dtype=torch.float64)).shape[1:])
            except (RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
                said = " ".join(str(error).split())
                message = f"`{name}` cannot take features of shape {shape}: {said[:120]}"
                raise refuse("SNN305", message, Location(name), help=_SHAPES) from None
    return shape


_SHAPES = "name the input's shape with --input-shape, or mend the values in the file"


def _one_shape(name: str, shapes: Sequence[Shape], source: str) -> Shape:
    if not shapes:
        raise refuse("SNN305", f"nothing leads from the Input of {source} to `{name}`")
    if len(set(shapes)) > 1:
        message = f"`{name}` of {source} adds up values of the shapes {', '.join(map(str, shapes))}"
        raise refuse("SNN305", message, Location(name))
    return shapes[0]


def _input_shape(parts: Parts, name: str) -> Shape:
    shape = np.ravel(parts.parts[name].values.get("shape", np.zeros(0)))
    if not shape.size or shape.dtype.kind not in "iu" or (shape < 1).any():
        message = f"{parts.source} does not say the shape of its input"
        raise refuse("SNN305", message, help="give it with --input-shape")
    return tuple(int(size) for size in shape)


# -- order ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """Parts in an order of computation, those of a circle together.

    ``before``: what each part reads. In a circle an edge leads back where it ends at a part that
    does not come later. ``reached``: all parts in the order in which the input reaches them.
    """

    groups: tuple[tuple[str, ...], ...]
    circles: frozenset[tuple[str, ...]]
    before: Mapping[str, tuple[str, ...]]
    reached: tuple[str, ...]

    @classmethod
    def of(cls, parts: Parts) -> Plan:
        """Of the parts between Input and Output; what leads to no output is left out."""
        edges = nx.DiGraph()
        edges.add_nodes_from(parts.parts)
        edges.add_edges_from(parts.edges)
        lost = set(parts.parts)
        for name in parts.outputs:
            lost -= {name, *nx.ancestors(edges, name)}
        edges.remove_nodes_from(lost - set(parts.inputs))
        before = {name: tuple(edges.predecessors(name)) for name in edges}
        first = list(nx.dfs_preorder_nodes(edges, parts.inputs[0]))
        place = {name: number for number, name in enumerate([*first, *(edges.nodes - set(first))])}
        whole = nx.condensation(edges)
        start = {part: min(place[n] for n in whole.nodes[part]["members"]) for part in whole}
        groups: list[tuple[str, ...]] = []
        circles: set[tuple[str, ...]] = set()
        reached: list[str] = []
        for part in nx.lexicographical_topological_sort(whole, key=start.__getitem__):
            members = whole.nodes[part]["members"]
            inside = _inside(edges, members, place)
            reached += inside
            group = _layers_first(edges, inside, parts)
            groups.append(group)
            if len(group) > 1 or edges.has_edge(group[0], group[0]):
                circles.add(group)
        return cls(tuple(groups), frozenset(circles), before, tuple(reached))

    @cached_property
    def order(self) -> tuple[str, ...]:
        return tuple(name for group in self.groups for name in group)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.order)}

    def ahead(self, name: str) -> tuple[str, ...]:
        """What a part reads of the same step."""
        return tuple(each for each in self.before[name] if self._place[each] < self._place[name])

    def behind(self, name: str) -> tuple[str, ...]:
        """What a part reads of the step before."""
        return tuple(each for each in self.before[name] if self._place[each] >= self._place[name])

    def arriving(self, group: Sequence[str]) -> tuple[str, ...]:
        """What parts of a circle read from outside of it."""
        found = (each for name in group for each in self.before[name] if each not in group)
        return tuple(dict.fromkeys(found))


def _inside(
    edges: nx.DiGraph, members: Collection[str], place: Mapping[str, int]
) -> tuple[str, ...]:
    """The parts of a circle, from those that are reached first; no edge but one to a part that led
    here goes back."""
    inner = edges.subgraph(members)
    entries = [name for name in members if any(b not in members for b in edges.predecessors(name))]
    root, rooted = ("root",), nx.DiGraph()
    rooted.add_edges_from(
        (root, name) for name in sorted(entries or members, key=place.__getitem__)
    )
    for name in sorted(members, key=place.__getitem__):
        rooted.add_edges_from(
            (name, n) for n in sorted(inner.successors(name), key=place.__getitem__)
        )
    found = list(nx.dfs_postorder_nodes(rooted, root))
    return tuple(name for name in reversed(found) if name != root)


def _layers_first(edges: nx.DiGraph, group: tuple[str, ...], parts: Parts) -> tuple[str, ...]:
    """The same, but each layer that only parts before it read comes in front of these."""
    order = list(group)
    for name in reversed(group):
        readers = [each for each in edges.successors(name) if each != name]
        back = readers and all(
            each in order and order.index(each) < order.index(name) for each in readers
        )
        if back and parts.parts[name].kind not in (*NEURONS, "Delay"):
            order.remove(name)
            order.insert(min(order.index(each) for each in readers), name)
    return tuple(order)
