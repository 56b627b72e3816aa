"""The number of samples that a file was exported with, made free.

torch.onnx.export writes the example's number of samples into shapes and into first states. A file
means a network for any number of samples all the same: what it computes of one does not depend on
the others. ``Samples`` runs a file with another number than its own: with the sizes that each value
has in the file at hand, it says which sizes become others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Samples:
    """``own`` samples in the file and ``now`` in the run; None where the file leaves them free.

    ``before`` and ``after``: the shapes of the arguments and of the first result of the operation
    at hand with the file's own number. ``first``: samples are the first axis of the input, and
    come before time where both are one axis.
    """

    own: int | None = None
    now: int = 0
    before: tuple[Shape | None, ...] = ()
    after: Shape | None = None
    first: bool = False

    @property
    def same(self) -> bool:
        return self.own is None or self.own == self.now

    def scaled(self, size: int) -> int:
        """A size or a place on an axis of samples, in the run."""
        return size if self.own is None else size * self.now // self.own

    def differs(self, shape: Sequence[int], axis: int, number: int = 0) -> bool:
        """Whether an axis of an argument has another size in the run."""
        before = self.before[number] if number < len(self.before) else None
        if self.same or before is None or len(before) != len(shape):
            return False
        return before[axis] != int(shape[axis])  # asked of no guard

    def _moved(self, shape: Sequence[int]) -> list[int]:
        return [axis for axis in range(len(shape)) if self.differs(shape, axis)]

    def reshaped(self, shape: Sequence[int]) -> list[int] | None:
        """The shape a Reshape yields in the run; None where it is as the file says."""
        moved, before = self._moved(shape), self.before[0] if self.before else None
        if len(moved) != 1 or before is None or self.after is None:
            return None
        (axis,) = moved
        lead = math.prod(before[:axis])
        inside = lead * before[axis]
        found: list[tuple[int, int]] = []
        beside: list[tuple[int, int]] = []
        so_far = 1
        for place, size in enumerate(self.after):
            begins, so_far = so_far, so_far * size
            if (so_far > lead and begins < inside) or (size == 1 and lead <= begins <= inside):
                found.append((place, size))
            if begins == inside if self.first else so_far == lead:
                beside.append((place, size))
        found = found or beside[-1:]  # an axis of one sample is gone into the one beside it
        own = self.own or 1
        exact = [place for place, size in found if size == own]
        whole = [place for place, size in found if size % own == 0 and size > 1]
        if not (exact or whole):
            return None
        chosen = (exact or whole)[0 if self.first else -1]
        rest = math.prod(n for place, n in enumerate(self.after) if place != chosen)
        result = list(self.after)
        result[chosen] = math.prod(shape) // max(rest, 1)
        return result

    def expanded(self, shape: Sequence[int]) -> list[int] | None:
        """The shape an Expand of a value with samples yields in the run."""
        before = self.before[0] if self.before else None
        if not self._moved(shape) or before is None or self.after is None:
            return None
        missing = len(self.after) - len(before)
        result = list(self.after)
        for axis, size in enumerate(shape):
            if before[axis] == self.after[missing + axis]:
                result[missing + axis] = size
        return result

    def fit(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Tensors that broadcast: constants lose the file's own axis of equal samples."""
        if self.same:
            return list(tensors)
        rank = max(t.dim() for t in tensors)
        fitted = list(tensors)
        for back in range(1, rank + 1):
            has = [n for n, t in enumerate(tensors) if t.dim() >= back]
            moved = [n for n in has if self.differs(tensors[n].shape, tensors[n].dim() - back, n)]
            for n in has if moved else ():
                if n not in moved:
                    fitted[n] = self._without(fitted[n], fitted[n].dim() - back)
        return fitted

    def beside(self, tensors: Sequence[torch.Tensor], axis: int) -> list[torch.Tensor]:
        """Tensors to be joined along ``axis``, constants with as many samples as the others."""
        if self.same:
            return list(tensors)
        fitted = list(tensors)
        for dim in range(tensors[0].dim()):
            moved = [n for n, t in enumerate(tensors) if self.differs(t.shape, dim, n)]
            if dim == axis or not moved:
                continue
            size = tensors[moved[0]].shape[dim]
            for n, t in enumerate(fitted):
                if n not in moved and t.shape[dim] == self.own:
                    shape = [*t.shape[:dim], size, *t.shape[dim + 1 :]]
                    fitted[n] = self._without(t, dim).expand(shape)
        return fitted

    def _without(self, tensor: torch.Tensor, axis: int) -> torch.Tensor:
        """One sample of a constant whose samples are equal; any other value as it is."""
        if tensor.shape[axis] != self.own:
            return tensor
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            alike = bool((tensor == tensor.narrow(axis, 0, 1)).all())
        return tensor.narrow(axis, 0, 1) if alike else tensor
