"""What a module holds besides its inputs, by name: what may live on from a call to the next.

Attributes and buffers of every part, what lists, dicts and plain objects among them hold, the class
attributes of the user's own classes, and what their methods read from around them: closures,
globals and default arguments.
"""

from __future__ import annotations

import hashlib
import random
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

SMALL = 4096
"""So many values of a tensor are compared one by one."""

_DEPTH = 4
_LIBRARIES = ("torch.", "spikingjelly.", "snntorch.", "snncc.", "builtins.")
_NEURONS = ("spikingjelly", "snntorch")
_BARE = frozenset(vars(nn.Module())) | {"forward"}


@dataclass(frozen=True)
class Place:
    """A value that a module holds, as it was found; ``put`` writes another in its place.

    Of a list, a dict or a set it is a copy; of a tensor ``version`` counts what was written to it,
    and a small one has its values in ``copy``, for not every write is counted.
    """

    value: Any
    put: Callable[[Any], None]
    version: int = 0
    copy: torch.Tensor | None = None

    def is_as(self, other: Place) -> bool:
        """Whether it was not written to in between, and no other value came to its place."""
        one, two = self.value, other.value
        if isinstance(one, torch.Tensor):
            if self.copy is not None and other.copy is not None:
                return one is two and torch.equal(self.copy, other.copy)
            return one is two and self.version == other.version
        if isinstance(one, list | dict | set):
            return type(one) is type(two) and len(one) == len(two)
        return type(one) is type(two) and repr(one) == repr(two)

    def restore(self) -> None:
        """Put the value back."""
        self.put(self.value)


Held = Mapping[str, Place]


def held(root: nn.Module) -> Held:
    """Every value by its name. Neurons of libraries are left out: their states are reset."""
    found: dict[str, Place] = {}
    for path, part in root.named_modules():
        cls = type(part)
        scripted = isinstance(part, torch.jit.ScriptModule)
        if scripted or cls.__module__.partition(".")[0] in _NEURONS:
            continue
        for table in (part._parameters, part._buffers, vars(part)):
            for name in [each for each in table if each not in _BARE]:
                whole = f"{path}.{name}" if path else name
                _describe(found, whole, table[name], _into(table, name), _DEPTH)
        if not _is_of_library(cls):
            for name, value, put in _around(cls):
                _describe(found, name, value, put, _DEPTH - 1)
        for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values()):
            if isinstance(hook, types.FunctionType):
                for name, value, put in _read_by(hook):
                    _describe(found, name, value, put, _DEPTH - 1)
    return found


def changed(before: Held, after: Held) -> list[str]:
    """The names whose values differ, those of both first."""
    both = [name for name in before if name in after and not before[name].is_as(after[name])]
    return both + [name for name in [*before, *after] if (name in before) != (name in after)]


def restore(before: Held, after: Held) -> None:
    """Put back what changed, as far as it still has a place; what was written to stays so."""
    for name in changed(before, after):
        if name not in before:
            continue
        same = name in after and before[name].value is after[name].value
        if not (same and isinstance(before[name].value, torch.Tensor)):
            before[name].restore()


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor: its dtype, shape and values in C order."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
        values = tensor.detach().to("cpu").contiguous().reshape(-1)
        return hashlib.sha256(head + values.view(torch.uint8).numpy().tobytes()).hexdigest()


def _is_of_library(cls: type) -> bool:
    return f"{cls.__module__}.".startswith(_LIBRARIES)


def _into(table: MutableMapping[Any, Any], key: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        table[key] = value

    return put


_Found = Iterator[tuple[str, Any, Callable[[Any], None]]]


def _around(cls: type) -> _Found:
    """Class attributes, and what methods of a user's class read that is not their own."""
    for base in cls.__mro__:
        if _is_of_library(base):
            continue
        for name, value in list(vars(base).items()):
            if isinstance(value, types.FunctionType):
                yield from _read_by(value)
            elif not name.startswith("__") and not callable(value):
                yield f"{cls.__qualname__}.{name}", value, _attribute(base, name)


def _attribute(owner: type, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(owner, name, value)


def _read_by(function: types.FunctionType) -> _Found:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"{name} (closure)", cell.cell_contents, _cell(cell)
        except ValueError:
            continue  # not set yet
    for name in code.co_names:
        value = function.__globals__.get(name)
        if name in function.__globals__ and not isinstance(value, types.ModuleType | type):
            yield f"{name} (global)", value, _into(function.__globals__, name)
    for number, value in enumerate(function.__defaults__ or ()):
        yield f"default {number + 1} of {function.__name__}", value, lambda value: None


def _cell(cell: types.CellType) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        cell.cell_contents = value

    return put


def _describe(
    found: dict[str, Place], name: str, value: Any, put: Callable[[Any], None], depth: int
) -> None:
    """Note ``value``, and what it is made of, under ``name``."""
    if isinstance(value, torch.Tensor):
        small = value.layout == torch.strided and not value.is_meta and value.numel() <= SMALL
        copy = value.detach().clone() if small else None
        found[name] = Place(value, put, value._version, copy)
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        found[name] = Place(value, put)
    elif isinstance(value, nn.Module) or depth == 0:
        return
    elif isinstance(value, dict):
        found[name] = Place(dict(value), _refill(value))
        for key in list(value):
            _describe(found, f"{name}[{key!r}]", value[key], _into(value, key), depth - 1)
    elif isinstance(value, np.ndarray):
        found[name] = Place(value.tobytes(), lambda data: None)
    elif (state := _hidden(value)) is not None:
        found[name] = Place(state, lambda data: None)
    elif isinstance(value, list | deque):
        found[name] = Place(list(value), _refill(value))
        for index, item in enumerate(value):
            _describe(found, f"{name}[{index}]", item, _at(value, index), depth - 1)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            _describe(found, f"{name}[{index}]", item, lambda item: None, depth - 1)
    elif isinstance(value, Set):
        found[name] = Place(set(value), put)
    elif isinstance(value, types.FunctionType):
        for inner, item, its in _read_by(value):
            if not isinstance(item, types.FunctionType):
                _describe(found, inner, item, its, depth - 1)
    elif isinstance(value, types.MethodType):
        _describe(found, name, value.__func__, put, depth)
    elif isinstance(getattr(value, "__dict__", None), dict):
        for key in list(vars(value)):
            inner = vars(value)[key]
            _describe(found, f"{name}.{key}", inner, _into(vars(value), key), depth - 1)
    elif not callable(value) and " at 0x" not in repr(value):
        found[name] = Place(repr(value).encode(), lambda shown: None)


def _hidden(value: Any) -> bytes | None:
    """The state of what draws random numbers or is read item by item: nobody sees that happen."""
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, random.Random):
        return repr(value.getstate()).encode()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state).encode()
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state()).encode()
    if not isinstance(value, Iterator):
        return None
    try:
        return repr(value.__reduce__()).encode()
    except TypeError:  # a generator, which cannot be copied either
        return repr(type(value)).encode()


def _at(items: MutableSequence[Any], index: int) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        if index < len(items):
            items[index] = value

    return put


def _refill(container: Any) -> Callable[[Any], None]:
    def put(value: Any) -> None:
        container.clear()
        if isinstance(container, dict):
            container.update(value)
        else:
            container.extend(value)

    return put
