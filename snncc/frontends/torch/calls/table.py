"""The table of torch functions, and what its handlers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from snncc.frontends.torch.axes import Axes, MixedAxes, features
from snncc.frontends.torch.recorder import Handler, Recorder
from snncc.ir.ops import Constant, Elementwise, Op, Pad, Ref, Reshape

HANDLERS: dict[str, tuple[tuple[str, ...], Handler]] = {}
"""Plain name of a function (``add`` for ``add_``, ``__add__``, ``torch.add``) to its parameter
names and handler. A parameter may give a default (``dim=0``); ``*rest`` takes what is left, and
what stands behind a ``~`` shows in the result. A handler reads all others, or they must be the
default: whatever it does not read is refused where it is given."""


def on(names: str, parameters: str) -> Callable[[Handler], Handler]:
    """Enter the decorated handler for each of ``names``."""

    def enter(handler: Handler) -> Handler:
        for name in names.split():
            HANDLERS[name] = (tuple(parameters.split()), handler)
        return handler

    return enter


def emit(recorder: Recorder, op: Op, source: torch.Tensor, result: torch.Tensor, what: str,
          axes: Axes | None = None) -> None:  # fmt: skip
    """One node from one tensor to one tensor, axes kept unless given."""
    node, own = recorder.solid(source)
    axes = own if axes is None else axes
    name = recorder.emit(op, [node], features(axes, result.shape), axes, what=what)
    recorder.bind(result, name, axes)


def alias(recorder: Recorder, source: torch.Tensor, result: torch.Tensor, axes: Axes) -> None:
    """The same values under other axes, their features in the same order."""
    entry = recorder.tracked(source)
    shape = features(axes, result.shape)
    if shape == recorder.nodes[entry.node].signal.shape:
        recorder.bind(result, entry.node, axes)
    else:
        name = recorder.emit(Reshape(shape), [entry.node], shape, axes, what="reshape")
        recorder.bind(result, name, axes)


def filled(recorder: Recorder, node: str, values: np.ndarray, kept: np.ndarray, axes: Axes) -> str:
    """``node`` where it is ``kept``, and elsewhere ``values``, which are 0 where it is kept."""
    source, base = recorder.nodes[node], node
    if source.op == Elementwise("add"):
        first, second = (recorder.nodes[name] for name in source.inputs)
        constant = second.op.value if isinstance(second.op, Constant) else None
        if isinstance(first.op, Pad) and isinstance(constant, Ref):
            source, base = first, first.name
            values = np.where(kept, recorder.tensors[constant], values)
    outside = np.zeros(values.shape, bool)
    if isinstance(source.op, Pad):
        outside[:] = True
        outside[inside(source.op, values.shape)] = False
    if not bool((outside | kept).all()):
        base, values = node, np.where(kept, 0.0, values)
        base = _with(recorder, "mul", base, kept.astype(np.float64), axes)
    return _with(recorder, "add", base, values, axes) if values.any() else base


def inside(op: Pad, shape: Sequence[int]) -> tuple[slice, ...]:
    """Where the argument of a `Pad` is in its result."""
    pairs = zip(op.widths, shape, strict=True)
    return tuple(slice(before, size - after) for (before, after), size in pairs)


def _with(recorder: Recorder, function: str, node: str, values: np.ndarray, axes: Axes) -> str:
    ref = recorder.array(values, "constant")
    shape = values.shape
    known = recorder.emit(Constant(ref), (), shape, what=f"tensor:{ref}", rate="static")
    return recorder.emit(Elementwise(function), [node, known], shape, axes, what=function)


def sizes(value: int | Sequence[int], length: int) -> tuple[int, ...]:
    items = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return items * length if len(items) == 1 else items


def optional(recorder: Recorder, tensor: torch.Tensor | None, what: str) -> Ref | None:
    return None if tensor is None else recorder.ref(tensor, what)


def need_features(axes: Axes, rank: int) -> None:
    """The last ``rank`` axes are features and what is before them holds the samples in front."""
    if any(role != "F" for role in axes[-rank:]):
        raise MixedAxes("it runs along time or samples, so that one step or sample reads another")


def shape_before(recorder: Recorder, x: torch.Tensor, axes: Axes) -> tuple[int, ...]:
    """The shape ``x`` had when it got ``axes`` (an in-place call may have changed it since)."""
    sizes = iter(recorder.signal(x).shape)
    return tuple(
        1 if role == "1" else next(sizes) if role == "F" else recorder.extent.size(role)
        for role in axes
    )
