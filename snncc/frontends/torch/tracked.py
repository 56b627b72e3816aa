"""What a recording knows of one tensor, and of one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from snncc.frontends.torch.axes import Axes


@dataclass(frozen=True)
class Tracked:
    """A tensor of the run that depends on the input: the node it is, and its axes.

    ``version`` is the tensor's write counter when it was last seen; ``through_data``: it came
    from ``.data``, whose writes nobody counts. ``at``: the one step of the node it is, or with
    ``summed`` the sum over the steps up to this one (see ``numbering``).
    """

    node: str
    axes: Axes
    version: int
    through_data: bool = False
    at: int | None = None
    summed: bool = False


WITHOUT_EFFECT = frozenset({
    "inplace", "out", "memory_format", "requires_grad", "device", "layout", "pin_memory",
    "non_blocking", "copy", "momentum", "_stacklevel", "dtype",
})  # fmt: skip
"""Arguments that change no value: how a result is kept, what training does. The ``dtype`` of a
result is looked at on the result itself."""


@dataclass(frozen=True)
class Call:
    """One intercepted call: its arguments by name, what it returned, and defaults it has.

    It knows which arguments were looked at.
    """

    name: str
    arguments: Mapping[str, Any]
    result: Any
    defaults: Mapping[str, Any] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self.arguments[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The argument ``key``, where the call has one of that name."""
        self._read.add(key)
        return self.arguments.get(key, default)

    def unread(self) -> list[str]:
        """Arguments that nobody looked at, that are not the default and that may have an effect."""
        return [
            name for name, value in self.arguments.items()
            if name not in self._read and name not in WITHOUT_EFFECT
            and not _is(value, self.defaults.get(name))
        ]  # fmt: skip


def _is(value: Any, default: Any) -> bool:
    plain = isinstance(value, bool | int | float | str | tuple)
    return value is default or (plain and bool(value == default))


def tensors_in(value: object) -> Iterator[torch.Tensor]:
    """The tensors in an argument or a result, however deep."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, slice):
        yield from tensors_in((value.start, value.stop, value.step))
