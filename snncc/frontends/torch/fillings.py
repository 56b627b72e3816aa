"""Outputs that are written into a tensor step by step: ``out[t] = s`` for every t is a stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from snncc.frontends.torch.axes import Axes
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.tracked import Tracked


@dataclass(frozen=True)
class _Filling:
    """A tensor whose first places on ``axis`` hold the first steps of a value, each a node."""

    axes: Axes
    axis: int
    nodes: tuple[str, ...] = ()


class Fillings:
    """The tensors that are being filled, by their id."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._begun: dict[int, _Filling] = {}

    def takes(self, target: Any, where: Any, value: Any) -> bool:
        """Whether ``target[where] = value`` writes the next step of a node, which then is noted.

        Until all steps are there the tensor has no meaning; then it is the node.
        """
        builder = self._builder
        axis = _axis(target, where)
        if axis is None or not builder.is_tracked(value) or builder.is_tracked(target):
            return False
        entry, step = builder.tracked(value), _place(where)
        filling = self._begun.get(id(target), _Filling(entry.axes, axis))
        if (filling.axes, filling.axis) != (entry.axes, axis) or step != len(filling.nodes):
            return False
        if not self._is_step(entry, step, filling):
            return False
        with torch._C.DisableTorchFunction():
            whole = (*target.shape[:axis], *target.shape[axis + 1 :])
            if whole != value.shape or not target.is_floating_point():
                return False
        nodes = (*filling.nodes, entry.node)
        self._begun[id(target)] = replace(filling, nodes=nodes)
        builder.keep_alive(target)
        with torch._C.DisableTorchFunction():
            target[where] = value
            count = target.shape[axis]
        if len(nodes) < count:
            said = f"{len(nodes)} of {count} steps are written into a tensor that is read"
            builder.lose(target, builder.refuse("SNN310", said))
            return True
        builder.numbering.fix(count, f"writing {count} steps of {entry.node}")
        axes = (*entry.axes[:axis], "T", *entry.axes[axis:])
        builder.find(target)
        node = builder.all_steps(nodes, axes) if builder.unrolled else entry.node
        builder.place(target, node, axes)
        return True

    def _is_step(self, entry: Tracked, step: int, filling: _Filling) -> bool:
        """Whether ``entry`` is the next step of what is filled in."""
        if self._builder.unrolled:
            return self._builder.nodes[entry.node].signal.rate == "static"
        same = not filling.nodes or filling.nodes[0] == entry.node
        return same and entry.at == step and not entry.summed


def _axis(target: Any, where: Any) -> int | None:
    """The axis on which an index picks one place and nothing else; of a tensor of its own."""
    if not isinstance(target, torch.Tensor) or target._base is not None:
        return None
    parts: list[Any] = list(where) if isinstance(where, tuple) else [where]
    if any(part is Ellipsis for part in parts):
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (target.dim() - len(parts) + 1)
    places = [i for i, part in enumerate(parts) if type(part) is int]
    others = [part for part in parts if type(part) is not int]
    whole = all(isinstance(part, slice) and part == slice(None) for part in others)
    return places[0] if len(places) == 1 and whole and len(parts) <= target.dim() else None


def _place(where: Any) -> int:
    parts: Sequence[Any] = where if isinstance(where, tuple) else (where,)
    return next(int(part) for part in parts if type(part) is int)
