"""Behind what cannot be read: `Unread` nodes stand for it, so that the recording goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from snncc.diagnostics import SnnccError
from snncc.frontends.torch.axes import BATCH, Axes, features
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.firing import spikes_of
from snncc.frontends.torch.tracked import tensors_in
from snncc.ir.graph import Rate
from snncc.ir.ops import Constant, Membrane, Spiking, Unread


def stand_for(
    builder: Builder, error: SnnccError, forward: Callable[..., Any], given: Sequence[Any],
    named: Mapping[str, Any], fires: bool,
) -> Any:  # fmt: skip
    """What ``forward`` of a module yields that cannot be read; where it ``fires``, as spikes.

    Raises ``error`` in a loop over time, whose steps could no longer be told apart.
    """
    builder.notes.go_on(error, certain=not fires)
    inputs = list(tensors_in([*given, *named.values()]))
    with builder.unseen():
        result = forward(*given, **named)
        stand_in(builder, error, inputs, result)
        y = spikes_of(result)
        if fires and builder.is_tracked(y):
            if builder.tracked(y).at is not None:
                raise error
            node, axes = builder.solid(y)
            shape = features(axes, y.shape)
            name = builder.emit(Spiking(), [node], shape, axes, "step", what="sn")
            builder.bind(y, name, axes)
    return result


def stand_in(
    builder: Builder, error: SnnccError, inputs: Sequence[torch.Tensor], result: object
) -> None:
    """Let `Unread` nodes stand for ``result``, and for inputs that nobody knows.

    What was written to behind the recording's back is from now on taken as it was before.
    """
    for tensor in inputs:
        if builder.is_foreign(tensor):
            _unread(builder, error, tensor, ())
        else:
            builder.overlook_write(tensor)
    reads = [tensor for tensor in inputs if builder.is_tracked(tensor)]
    lost = not reads and any(map(builder.why_lost, inputs))
    for part, tensor in enumerate(tensors_in(result)):
        if lost:
            builder.lose(tensor, error)
        elif not any(tensor is read for read in reads):
            _unread(builder, error, tensor, reads, part)


def lose_target(builder: Builder, error: SnnccError, target: object) -> None:
    """A constant that the input was written into is none any more, nor is what it views."""
    if isinstance(target, torch.Tensor) and not builder.is_tracked(target):
        for tensor in (target, target._base):
            if tensor is not None:
                builder.lose(tensor, error)


def lost_head(builder: Builder) -> str:
    """A node for an output that came off the recording behind the first finding."""
    with torch._C.DisableTorchFunction(), builder.numbering.call(()):
        error = SnnccError(builder.notes.findings[0])
        return _emit(builder, error, _unclaimed(builder), (), (), 0)


def _unread(
    builder: Builder, error: SnnccError, tensor: torch.Tensor, reads: Sequence[torch.Tensor],
    part: int = 0,
) -> None:  # fmt: skip
    """``tensor``, made of ``reads``, is a node that says no more than ``error``.

    In a loop it is of the last step that it reads. Made of nothing that is known, it may be
    made of all that nobody else read. Where not even its axes can be told, it is lost.
    """
    axes = _likely_axes(builder, tensor, reads)
    if axes is None:
        builder.lose(tensor, error)
        return
    steps = [at for read in reads if (at := builder.tracked(read).at) is not None]
    reads = [t for t in reads if not steps or builder.tracked(t).at == max(steps)]
    with builder.numbering.call([builder.tracked(read) for read in reads]):
        nodes = [builder.solid(read)[0] for read in reads] or _unclaimed(builder)
        name = _emit(builder, error, nodes, features(axes, tensor.shape), axes, part)
        builder.bind(tensor, name, axes)


def _emit(
    builder: Builder, error: SnnccError, nodes: Sequence[str], shape: Sequence[int], axes: Axes,
    part: int,
) -> str:  # fmt: skip
    rates = {builder.nodes[node].signal.rate for node in nodes}
    rate: Rate = rates.pop() if len(rates) == 1 else "step"
    op = Unread(error.findings[0].code, error.findings[0].message, part)
    return builder.emit(op, nodes, shape, axes, rate, what="unread")


def _unclaimed(builder: Builder) -> list[str]:
    """What was recorded and nobody reads so far."""
    read = {source for node in builder.nodes.values() for source in node.inputs}
    return [n.name for n in builder.nodes.values()
            if n.name not in read and not isinstance(n.op, Constant | Membrane)]  # fmt: skip


def _likely_axes(
    builder: Builder, tensor: torch.Tensor, reads: Sequence[torch.Tensor]
) -> Axes | None:
    """Those of an argument of this shape, else time and samples in front where they fit."""
    known = [builder.tracked(read).axes for read in reads]
    for read, axes in zip(reads, known, strict=True):
        if read.shape == tensor.shape:
            return tuple("F" if role == "1" else role for role in axes)
    leads = [tuple(role for role in axes if role in BATCH) for axes in known]
    for lead in leads or [("T", "N"), ("N", "T"), ("TN",), ("N",)]:
        sizes = tuple(builder.extent.size(role) for role in lead)
        if lead and tuple(tensor.shape[: len(lead)]) == sizes:
            return (*lead, *["F"] * (tensor.dim() - len(lead)))
    return None
