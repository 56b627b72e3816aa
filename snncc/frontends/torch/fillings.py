"""Outputs that are written into a tensor step by step: ``out[t] = s`` for every t is a stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from snncc.frontends.torch.axes import Axes, written_out
from snncc.frontends.torch.builder import Builder
from snncc.frontends.torch.guards import OTHERS, for_samples
from snncc.frontends.torch.tracked import Tracked


@dataclass(frozen=True)
class _Place:
    """Step ``step`` on ``axis``, whose role in what is written ``was``: none, "1", or "N"."""

    axis: int
    step: int
    was: str

    def whole(self, axes: Axes) -> Axes:
        """The roles of all steps, those of one being ``axes``."""
        behind = axes[self.axis + bool(self.was) :]
        return (*axes[: self.axis], "TN" if self.was == "N" else "T", *behind)


@dataclass(frozen=True)
class _Filling:
    """A tensor whose first places on ``axis`` hold the first steps of a value, each a node.

    ``axes`` are those of the whole, ``own`` those of one step.
    """

    axes: Axes
    own: Axes
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
        known = isinstance(target, torch.Tensor) and not builder.is_foreign(target)
        if not builder.is_tracked(value) or builder.is_tracked(target) or not known:
            return False
        entry = builder.tracked(value)
        place = self._place(target, where, entry.axes)
        if place is None:
            return False
        axis, step = place.axis, place.step
        axes = place.whole(entry.axes)
        filling = self._begun.get(id(target), _Filling(axes, entry.axes, axis))
        if (filling.axes, filling.axis) != (axes, axis) or step != len(filling.nodes):
            return False
        if not self._is_step(entry, step, filling):
            return False
        with torch._C.DisableTorchFunction():
            if target[where].shape != value.shape or target.dtype != value.dtype:
                return False
        builder.note_write(target)
        builder.note_fill(target)
        nodes = (*filling.nodes, entry.node)
        self._begun[id(target)] = replace(filling, nodes=nodes)
        builder.keep_alive(target)
        with torch._C.DisableTorchFunction():
            target[where] = value
            count = target.shape[axis] // (builder.samples if place.was == "N" else 1)
        if len(nodes) < count:
            said = f"{len(nodes)} of {count} steps are written into a tensor that is read"
            builder.lose(target, builder.refuse("SNN310", said))
            return True
        builder.numbering.fix(count, f"writing {count} steps of {entry.node}")
        builder.find(target)
        node = builder.all_steps(nodes, axes) if builder.unrolled else entry.node
        builder.place(target, node, axes)
        return True

    def read(self, target: Any, where: Any) -> torch.Tensor | None:
        """A step that was written, while others are not yet there; None for anything else."""
        builder, filling = self._builder, self._begun.get(id(target))
        if filling is None or builder.is_tracked(target):
            return None
        place = self._place(target, where, filling.own)
        if place is None or place.axis != filling.axis or place.step >= len(filling.nodes):
            return None
        with torch._C.DisableTorchFunction():
            value: torch.Tensor = target[where].clone()
        at = None if builder.unrolled else place.step
        builder.place(value, filling.nodes[place.step], filling.own, at, through_data=True)
        return value

    def _is_step(self, entry: Tracked, step: int, filling: _Filling) -> bool:
        """Whether ``entry`` is the next step of what is filled in."""
        if self._builder.unrolled:
            return self._builder.nodes[entry.node].signal.rate == "static"
        same = not filling.nodes or filling.nodes[0] == entry.node
        return same and entry.at == step and not entry.summed

    def _place(self, target: Any, where: Any, axes: Axes) -> _Place | None:
        """The step that an index picks and nothing else; of a tensor of its own."""
        if not isinstance(target, torch.Tensor) or target._base is not None:
            return None
        parts: list[Any] = list(where) if isinstance(where, tuple) else [where]
        if any(not (part is Ellipsis or type(part) is int or isinstance(part, slice))
               for part in parts):  # fmt: skip
            return None
        with torch._C.DisableTorchFunction():
            items = written_out(tuple(parts), target.dim())
        picks = [i for i, part in enumerate(items) if part != slice(None)]
        if len(picks) != 1 or len(items) != target.dim():
            return None
        axis, item = picks[0], items[picks[0]]
        if not isinstance(item, slice):
            return _Place(axis, item, "")
        was = axes[axis] if axis < len(axes) else ""
        step = self._step_in(item, was)
        return None if step is None else _Place(axis, step, was)

    def _step_in(self, item: slice, role: str) -> int | None:
        """The step whose place, or whose samples, a slice takes, for any number of samples."""
        if item.step not in (None, 1) or role not in ("1", "N"):
            return None
        found = set()
        for samples in (self._builder.samples, *OTHERS):
            size = samples if role == "N" else 1
            start, stop = (for_samples(end, samples) for end in (item.start or 0, item.stop))
            of_step = type(start) is int and start % size == 0 and stop == start + size
            found.add(start // size if of_step else None)
        return found.pop() if len(found) == 1 else None
