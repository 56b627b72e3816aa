"""What a module holds besides its inputs, by name: what may live on from a call to the next.

Attributes and buffers of every part, what lists, dicts and plain objects among them hold, the class
attributes of the user's own classes, and what their forward reads from around it: closures, globals
and default arguments.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_DEPTH = 4
_LIBRARIES = ("torch.", "spikingjelly.", "snntorch.", "snncc.", "builtins")
_PRIVATE = frozenset({"_parameters", "_modules", "_buffers", "forward"})


def held(root: nn.Module) -> dict[str, object]:
    """Every value by its name, as something that is equal while the value does not change.

    Neurons of known libraries are left out: their states are known, and reset.
    """
    found: dict[str, object] = {}
    for path, part in root.named_modules():
        cls = type(part)
        if cls.__module__.startswith(_LIBRARIES[1:3]):
            continue
        for name, value in [*part._parameters.items(), *part._buffers.items(), *vars(part).items()]:
            if name not in _PRIVATE and not (name.startswith("_") and hasattr(nn.Module(), name)):
                _describe(found, ".".join(filter(None, (path, name))), value, _DEPTH)
        if not f"{cls.__module__}.".startswith(_LIBRARIES):
            for name, value in _around(cls):
                _describe(found, name, value, _DEPTH - 1)
    return found


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names whose values differ, those of both first."""
    both = [name for name in before if name in after and before[name] != after[name]]
    return both + [name for name in [*before, *after] if (name in before) != (name in after)]


@dataclass(frozen=True, eq=False)
class _Kept:
    """A tensor as it was; equal while it is the same one and nobody wrote to it."""

    tensor: torch.Tensor
    version: int

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, _Kept) and self.tensor is other.tensor
        return same and self.version == other.version  # type: ignore[attr-defined]


def _around(cls: type) -> Iterator[tuple[str, object]]:
    """Class attributes, and what methods of a user's class read that is not their own."""
    for base in cls.__mro__:
        if f"{base.__module__}.".startswith(_LIBRARIES):
            continue
        for name, value in vars(base).items():
            if isinstance(value, types.FunctionType):
                yield from _read_by(value)
            elif not name.startswith("__") and not callable(value):
                yield f"{cls.__qualname__}.{name}", value


def _read_by(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{name} (closure)", cell.cell_contents
        except ValueError:
            continue  # not set yet
    for name in code.co_names:
        value = function.__globals__.get(name)
        if name in function.__globals__ and not isinstance(value, types.ModuleType | type):
            yield f"{name} (global)", value
    for number, value in enumerate(function.__defaults__ or ()):
        yield f"a default of {function.__name__} ({number})", value


def _describe(found: dict[str, object], name: str, value: Any, depth: int) -> None:
    """Note ``value``, and what it is made of, under ``name``."""
    if isinstance(value, torch.Tensor):
        found[name] = _Kept(value, value._version)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        found[name] = (type(value).__name__, repr(value))
    elif isinstance(value, nn.Module) or depth == 0:
        return
    elif isinstance(value, Mapping):
        found[name] = len(value)
        for key, item in list(value.items()):
            _describe(found, f"{name}[{key!r}]", item, depth - 1)
    elif isinstance(value, list | tuple):
        found[name] = len(value)
        for index, item in enumerate(value):
            _describe(found, f"{name}[{index}]", item, depth - 1)
    elif isinstance(value, Set):
        found[name] = len(value)
    elif isinstance(value, types.FunctionType):
        for inner, item in _read_by(value):
            if not isinstance(item, types.FunctionType):
                _describe(found, inner, item, depth - 1)
    elif isinstance(value, types.MethodType):
        _describe(found, name, value.__func__, depth)
    elif isinstance(getattr(value, "__dict__", None), dict):
        for key, item in vars(value).items():
            _describe(found, f"{name}.{key}", item, depth - 1)


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor: its dtype, shape and values in C order."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
        values = tensor.detach().to("cpu").contiguous().reshape(-1)
        return hashlib.sha256(head + values.view(torch.uint8).numpy().tobytes()).hexdigest()
