"""What a recording knows of one tensor, and of one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Call:
    """One intercepted call: its arguments by name, and what it returned."""

    name: str
    arguments: Mapping[str, Any]
    result: Any

    def __getitem__(self, key: str) -> Any:
        return self.arguments[key]


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
