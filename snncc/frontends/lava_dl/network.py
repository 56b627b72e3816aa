"""A .net file of Lava-DL as a torch module, in whole numbers that float64 holds.

Inputs and values are (T, N, *shape), shapes are (C, H, W) or (n,). Rules:

1. a layer hears the spikes of the layer before it of the same step; the step that Lava takes from
   layer to layer is a matter of the schedule
2. a convolution correlates with its weights as they are stored, as torch does; a pool is a
   convolution of each channel by itself; a dense layer reads its features in the order C, H, W
3. the delay of a layer, one for all or one for each channel or neuron, is one of its spikes
4. an input layer with neurons turns pixels into currents, weight·pixel + bias; it is left out where
   the input is its spikes
5. an average at the end is the mean of groups of neurons
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snncc.diagnostics import Finding, Location, SnnccError, refuse
from snncc.frontends.lava_dl.file import Layer
from snncc.frontends.lava_dl.neuron import BIAS, PARAMETERS, LoihiNeuron, Registers
from snncc.frontends.nir.network import FileDelay

Shape = tuple[int, ...]

LARGEST = 1 << 24
"""Maximum number of neurons of a layer."""

DELAYS = 62
"""The largest delay of a spike, in steps."""


KNOWN = frozenset({
    "shape", "weight", "weight_rec", "bias", "delay", "inFeatures", "outFeatures", "inChannels",
    "outChannels", "kernelSize", "stride", "padding", "dilation", "groups",
})  # fmt: skip
"""The values of a layer; sizes that follow from others are not read."""


class Unread(Exception):
    """A layer has no form here, for the reason of the ``finding``."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Synapses(nn.Module):
    """The weights of a layer on spikes (T, N, *shape): one tensor for each delay of its inputs."""

    def __init__(self, kind: str, weight: np.ndarray, delays: np.ndarray, window: Window) -> None:
        super().__init__()
        self.kind, self.window = kind, window
        self.steps = [int(d) for d in np.unique(delays)]
        for number, step in enumerate(self.steps):
            part = weight if len(self.steps) == 1 else weight * (delays == step).reshape(
                1, -1, *[1] * (weight.ndim - 2))  # fmt: skip
            self.register_buffer(f"weight{number}", torch.from_numpy(part.astype(np.float64)))
            if step:
                self.add_module(f"delay{number}", FileDelay(step))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | None = None
        for number, step in enumerate(self.steps):
            if step >= x.shape[0]:
                said = f"an input of {x.shape[0]} steps ends before spikes that come {step} later"
                raise refuse("SNN316", said, help="give more steps, with --time-steps")
            late = getattr(self, f"delay{number}")(x) if step else x
            y = self._through(late, getattr(self, f"weight{number}"))
            total = y if total is None else total + y
        assert total is not None
        return total

    def _through(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.kind == "dense":
            return F.linear(x.flatten(2), weight)
        w = self.window
        y = F.conv2d(x.flatten(0, 1), weight, None, w.stride, w.padding, w.dilation, w.groups)
        steps: Tensor = y.unflatten(0, (x.shape[0], x.shape[1]))
        return steps


@dataclass(frozen=True)
class Window:
    """How a convolution goes over its input, each pair as y, x."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def behind(self, shape: Shape, kernel: Shape) -> Shape:
        """Height and width behind it; not above 0 where the kernel does not fit."""
        axes = zip(shape, kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in axes)


class LavaNetwork(nn.Module):
    """The network of a file: spikes or pixels (T, N, *shape) to the spikes of its last layer.

    ``shape`` is that of one sample at one step; by default that of the file. With ``spikes`` the
    input is the spikes of the input layer. Raises SnnccError: SNN330 with all layers that have no
    form here, SNN305 for values that do not fit together.
    """

    zero: Tensor

    def __init__(
        self, layers: Sequence[Layer], source: str, shape: Shape | None = None, spikes: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros((), dtype=torch.float64))
        if not layers:
            raise refuse("SNN305", f"{source} has no layers")
        self.has_input_layer = layers[0].kind == "input" and bool(layers[0].neuron_type)
        self.shape = shape or _input_shape(layers[0], source)
        self._names: list[str] = []
        at = _Signal(self.shape, np.zeros(self.shape, np.uint8))
        findings: list[Finding] = []
        for layer in layers:
            try:
                _check_known(layer)
                at = self._add(layer, at, spikes, layer is layers[-1])
            except Unread as unread:
                findings.append(unread.finding)
                at = _behind(layer, at)
        if (at.delays != at.delays.flat[0]).any():
            said = "is the last one and delays its spikes differently"
            findings.append(layers[-1].unread(said))
        elif at.delays.any():
            self._append("delay", FileDelay(int(at.delays.flat[0])))
        if findings:
            raise SnnccError(findings)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.zero.dtype)
        for name in self._names:
            x = getattr(self, name)(x)
        return x

    def _add(self, layer: Layer, at: _Signal, spikes: bool, last: bool) -> _Signal:
        """The modules of a layer; what comes out of it."""
        match layer.kind:
            case "input":
                if layer.number != 0:
                    raise Unread(layer.unread("is an input behind the first layer"))
                return self._input(layer, at, spikes)
            case "flatten":
                flat = (math.prod(at.shape),)
                self._append(f"flatten{layer.number}", nn.Flatten(2))
                return _Signal(flat, at.delays.reshape(flat))
            case "average":
                return self._average(layer, at, last)
            case "dense" | "dense_rec":
                synapses, shape = _dense(layer, at)
            case "conv":
                synapses, shape = _conv(layer, at)
            case "pool":
                synapses, shape = _pool(layer, at)
            case _:
                raise Unread(layer.unread(f"is of the kind {layer.kind[:20]!r}", _KINDS))
        _check_shape(layer, shape)
        self._append(f"{layer.name}_synapses", synapses)
        return self._neurons(layer, shape)

    def _input(self, layer: Layer, at: _Signal, spikes: bool) -> _Signal:
        if not layer.neuron_type:
            return at
        if spikes:
            if _delays(layer, at.shape).any():
                raise Unread(layer.unread("delays its spikes and would be left out", _PIXELS))
            return at
        weight = _values(layer, "weight", "weight" not in layer.values)
        if weight.size > 1:
            raise Unread(layer.unread("has more than one weight"))
        self._append(f"{layer.name}_pixels", Pixels(float(weight.item()) if weight.size else 1.0))
        return self._neurons(layer, at.shape)

    def _neurons(self, layer: Layer, shape: Shape) -> _Signal:
        registers = Registers.of(layer)
        if isinstance(registers, Finding):
            raise Unread(registers)
        back = None
        if "weight_rec" in layer.values or layer.kind == "dense_rec":
            back = _values(layer, "weight_rec").astype(np.float64)
            if back.size != shape[0] ** 2 or len(shape) != 1:
                raise Unread(layer.unread(f"has recurrent weights of shape {back.shape}"))
            back = back.reshape(shape[0], shape[0])
        self._append(layer.name, LoihiNeuron(registers, _bias(layer, shape), back))
        return _Signal(shape, _delays(layer, shape))

    def _average(self, layer: Layer, at: _Signal, last: bool) -> _Signal:
        count, size = _whole(layer, "shape", (1, 1, 1), 1)[0], math.prod(at.shape)
        if not last or at.delays.any() or size % count or size * count > LARGEST:
            said = f"takes the mean of {count} groups of {size} neurons, which is read as the last "
            raise Unread(layer.unread(f"{said}layer alone, without delays before it"))
        self._append(layer.name, Means(count, size // count))
        return _Signal((count,), np.zeros(count, np.uint8))

    def _append(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        self._names.append(name)


@dataclass(frozen=True, eq=False)
class _Signal:
    """The shape of what a layer sends, and the delay of each spike in steps, (*shape)."""

    shape: Shape
    delays: np.ndarray


class Pixels(nn.Module):
    """Pixels times the weight of an input layer."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Means(nn.Module):
    """Means of ``count`` groups of ``size`` neurons, which lie one after another."""

    weight: Tensor

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("weight", 2 * torch.eye(count).repeat_interleave(size, 1).double())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.flatten(2), self.weight) * (0.5 / self.size)


# -- layers ------------------------------------------------------------------------------------


def _dense(layer: Layer, at: _Signal) -> tuple[Synapses, Shape]:
    weight, size = _values(layer, "weight"), math.prod(at.shape)
    if not weight.size or weight.size % size:
        raise Unread(layer.unread(f"has weights of shape {weight.shape} for {size} neurons"))
    count = weight.size // size
    delays = at.delays.reshape(size)
    return Synapses("dense", weight.reshape(count, size), delays, Window()), (count,)


def _conv(layer: Layer, at: _Signal) -> tuple[Synapses, Shape]:
    weight = _values(layer, "weight")
    weight = weight.reshape(weight.shape[:4]) if weight.ndim == 5 and weight.shape[4] == 1 else (
        weight)  # fmt: skip
    window = replace(_window(layer), groups=_whole(layer, "groups", (1,), 1)[0])
    if weight.ndim != 4 or len(at.shape) != 3 or (
        weight.shape[1] * window.groups != at.shape[0] or weight.shape[0] % window.groups
    ):  # fmt: skip
        raise Unread(layer.unread(f"has weights of shape {weight.shape} for input of {at.shape}"))
    return _convolution(layer, at, weight, window)


def _pool(layer: Layer, at: _Signal) -> tuple[Synapses, Shape]:
    weight = _values(layer, "weight")
    kernel = _whole(layer, "kernelSize", None, 1)
    if len(at.shape) != 3 or weight.size != math.prod(kernel):
        raise Unread(layer.unread(f"has weights of shape {weight.shape} for input of {at.shape}"))
    channels = at.shape[0]
    each = np.repeat(weight.reshape(1, 1, *kernel), channels, 0)
    return _convolution(layer, at, each, replace(_window(layer), groups=channels))


def _convolution(
    layer: Layer, at: _Signal, weight: np.ndarray, window: Window
) -> tuple[Synapses, Shape]:
    channels = at.delays.reshape(at.shape[0], -1)
    grouped = window.groups > 1 and (channels != channels[0]).any()
    if grouped or (channels != channels[:, :1]).any():
        raise Unread(layer.unread("reads spikes whose delays differ within a channel or group"))
    shape = (len(weight), *window.behind(at.shape[1:], weight.shape[2:]))
    if min(shape) < 1 or math.prod(shape) > LARGEST:
        raise Unread(layer.unread(f"does not fit on an input of shape {at.shape}"))
    return Synapses("conv", weight, channels[:, 0], window), shape


def _window(layer: Layer) -> Window:
    stride, dilation = (_whole(layer, name, (1, 1), 1) for name in ("stride", "dilation"))
    padding = _whole(layer, "padding", (0, 0), 0)
    return Window((stride[0], stride[1]), (padding[0], padding[1]), (dilation[0], dilation[1]))


def _bias(layer: Layer, shape: Shape) -> np.ndarray:
    """By channel or neuron, one number where all have the same."""
    if "bias" not in layer.values:
        return np.zeros(())
    bias = _values(layer, "bias").astype(np.float64).ravel()
    if bias.size not in (1, shape[0]) or (bias % 1).any():
        said = f"has a bias of shape {bias.shape} that is not one whole number for each channel"
        raise Unread(layer.unread(said))
    if bias.min() < BIAS[0] or bias.max() > BIAS[1]:
        said = f"has a bias from {bias.min():g} to {bias.max():g}, beyond {BIAS[0]} to {BIAS[1]}"
        raise Unread(layer.unread(said))
    if (bias == bias[0]).all():
        return np.asarray(bias[0])
    return bias.reshape(-1, *[1] * (len(shape) - 1))


def _delays(layer: Layer, shape: Shape) -> np.ndarray:
    """The delay of each neuron's spikes."""
    if "delay" not in layer.values:
        return np.zeros(shape, np.uint8)
    delay = _values(layer, "delay").astype(np.float64).ravel()
    size = math.prod(shape)
    if delay.size not in (1, shape[0], size) or (delay % 1).any():
        raise Unread(layer.unread(f"has delays of shape {delay.shape} for neurons {shape}"))
    if delay.min() < 0 or delay.max() > DELAYS:
        said = f"delays spikes by {delay.min():g} to {delay.max():g} steps, beyond 0 to {DELAYS}"
        raise Unread(layer.unread(said))
    if delay.size == size:
        return delay.reshape(shape).astype(np.uint8)
    by_channel = delay.reshape(-1, *[1] * (len(shape) - 1))
    return np.broadcast_to(by_channel, shape).astype(np.uint8)


def _values(layer: Layer, name: str, may_miss: bool = False) -> np.ndarray:
    value = layer.values.get(name)
    if value is None:
        if may_miss:
            return np.zeros(0)
        missing = name not in layer.values
        said = f"has no `{name}`" if missing else f"has complex values for `{name}`"
        raise Unread(layer.unread(said))
    return value


def _whole(layer: Layer, name: str, default: tuple[int, ...] | None, least: int) -> tuple[int, ...]:
    """Whole numbers by axis, such as a stride; as many as there are in ``default``, or two."""
    if default is not None and name not in layer.values:
        return default
    axes = 2 if default is None else len(default)
    found = np.ravel(_values(layer, name)).astype(np.float64)
    if found.size not in (1, axes) or (found % 1).any() or found.min() < least or (
        found.max() > LARGEST
    ):  # fmt: skip
        count = "one whole number" if axes == 1 else f"{axes} whole numbers"
        raise Unread(layer.unread(f"has a `{name}` that is not {count} of at least {least}"))
    return tuple(int(each) for each in np.broadcast_to(found, axes))


def _check_known(layer: Layer) -> None:
    """A value that is not known here may mean that the layer computes something else."""
    unknown = [f"`{name}`" for name in layer.values if name not in KNOWN]
    unknown += [f"`neuron/{name}`" for name in layer.neuron if name not in PARAMETERS]
    if unknown:
        raise Unread(layer.unread(f"has {', '.join(unknown)[:80]}, which is not known here"))


def _check_shape(layer: Layer, shape: Shape) -> None:
    """The shape that the file gives must be that of the neurons."""
    stored = layer.values.get("shape")
    if stored is None:
        return
    sizes = tuple(stored.ravel()[:6].tolist())
    if [size for size in sizes if size != 1] != [size for size in shape if size != 1]:
        said = f"has the shape {sizes} in the file and {shape} by its input"
        raise Unread(layer.unread(said, "give the shape of the input with --input-shape"))


def _behind(layer: Layer, at: _Signal) -> _Signal:
    """What may come out of a layer that has no form here, so that the next ones are looked at."""
    stored = layer.values.get("shape")
    if stored is None or not stored.size or (stored < 1).any() or (stored % 1).any():
        return at
    shape = tuple(int(size) for size in stored.ravel())
    if math.prod(shape) > LARGEST:
        return at
    shape = shape if len(shape) == 3 and layer.kind in ("conv", "pool", "input") else (
        math.prod(shape),)  # fmt: skip
    return _Signal(shape, np.zeros(shape, np.uint8))


def _input_shape(first: Layer, source: str) -> Shape:
    """The shape of the input layer, or the inputs of a first dense layer."""
    known = first.values.get("shape") if first.kind == "input" else first.values.get("inFeatures")
    sizes = np.zeros(0) if known is None else np.ravel(known).astype(np.float64)
    wrong = (sizes < 1).any() or (sizes % 1).any() or math.prod(sizes) > LARGEST
    if not sizes.size or wrong or sizes.size > 3:
        message = f"{source} does not say the shape of its input"
        raise refuse("SNN305", message, Location(first.name), help="give it with --input-shape")
    return tuple(int(size) for size in sizes)


_PIXELS = "take pixels as input (--input analog)"
_KINDS = "read are input, dense, dense_rec, conv, pool, flatten, and average at the end"
