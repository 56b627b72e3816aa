"""What two modules have that is not alike: attributes, tensors, hooks, functions, outputs."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from snncc.frontends.checkpoints.unpickle import shown

_DEPTH = 12
_PLAIN = bool | int | float | complex | str | bytes | None
_WALKED = ("training", "_modules", "_parameters", "_buffers")
_TABLES = frozenset(vars(nn.Module())) - {*_WALKED}
"""Of these, hooks above all, only the values count: their keys are numbers given in order."""

_PARTS: Mapping[type, tuple[str, ...]] = {
    types.MethodType: ("__func__", "__self__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset"),
    functools.partial: ("func", "args", "keywords"),
}
"""What makes up an object of Python itself."""


def differences(one: nn.Module, two: nn.Module, whose: str) -> Iterator[str]:
    """What differs between the parts of two modules, a phrase each; ``whose`` names the second.

    Everything in their parts is compared, what a forward does not use too. Whether they are in
    training mode is left out.
    """
    ones, twos = dict(one.named_modules()), dict(two.named_modules())
    for path in ones | twos:
        if path not in twos:
            yield f"there is no `{path}` in {whose}"
        elif path not in ones:
            yield f"only {whose} has `{path}`"
        elif not _alike_classes(type(ones[path]), type(twos[path]), _DEPTH):
            named = f"`{path}`" if path else "the network"
            mine, other = (_name(type(parts[path])) for parts in (ones, twos))
            same = "one of other code" if mine == other else f"a {other}"
            yield f"{named} is a {mine}, and {same} in {whose}"
        else:
            for name, a, b in _members(ones[path], twos[path]):
                if not alike(a, b):
                    yield _phrase(f"{path}.{name}" if path else name, a, b, whose)


def reset_away(one: nn.Module, two: nn.Module, whose: str) -> Iterator[str]:
    """What differs now and not after a reset: SpikingJelly's `reset` puts back every value that was
    there at first, in 0.0.0.0.12 thresholds too. Tensors are left out, which are membranes."""
    twos = dict(two.named_modules())
    for path, part in one.named_modules():
        tables = [getattr(each, "_memories", {}) for each in (part, twos.get(path))]
        for name, a, b in _pairs(*tables):
            if isinstance(a, _PLAIN) and isinstance(b, _PLAIN) and not alike(a, b):
                yield _phrase(f"{path}.{name}" if path else name, a, b, whose)


class _Nothing:
    """In the place of an attribute that is not there."""


def _members(one: nn.Module, two: nn.Module) -> Iterator[tuple[str, Any, Any]]:
    for table in ("_parameters", "_buffers"):
        yield from _pairs(getattr(one, table), getattr(two, table))
    yield from (
        each for each in _pairs(vars(one), vars(two)) if each[0] not in _TABLES | {*_WALKED}
    )
    for name in sorted(_TABLES & vars(one).keys() & vars(two).keys()):
        a, b = vars(one)[name], vars(two)[name]
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            a, b = list(a.values()), list(b.values())
        yield name, a, b


def _pairs(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*one, *two]):
        yield name, one.get(name, _Nothing), two.get(name, _Nothing)


def _phrase(name: str, one: Any, two: Any, whose: str) -> str:
    if name.rpartition(".")[2].endswith("_hooks") and isinstance(one, list):
        return f"`{name}` has {len(one)} hooks, and {len(two)} in {whose}"
    if one is _Nothing:
        return f"only {whose} has `{name}`"
    if two is _Nothing:
        return f"there is no `{name}` in {whose}"
    if isinstance(one, _PLAIN) and isinstance(two, _PLAIN):
        return f"`{name}` is {shown(repr(one))}, and {shown(repr(two))} in {whose}"
    return f"`{name}` differs from that of {whose}"


def alike(one: Any, two: Any, depth: int = _DEPTH) -> bool:
    """Whether two values are equal: tensors bit for bit, functions by their code and what they
    read from around them, a module in a list by its state dict. Not looked into: what is deeper
    than ``depth``, and objects that show nothing of themselves."""
    if one is two or depth == 0:
        return True
    if isinstance(one, type) and isinstance(two, type):
        return _alike_classes(one, two, depth)
    if not _alike_classes(type(one), type(two), depth):
        return False
    deeper = depth - 1
    if isinstance(one, torch.Tensor):
        return _alike_tensors(one, two)
    if isinstance(one, nn.Module):
        return alike(dict(one.state_dict()), dict(two.state_dict()), deeper)
    if isinstance(one, _PLAIN):
        return bool(one == two or (one != one and two != two))
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(
            alike(a, b, deeper) for a, b in zip(one, two, strict=True)
        )
    if isinstance(one, Mapping):
        return list(one) == list(two) and all(alike(one[key], two[key], deeper) for key in one)
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    if isinstance(one, types.FunctionType):
        return one.__code__ == two.__code__ and alike(_around(one), _around(two), deeper)
    for kind, names in _PARTS.items():
        if isinstance(one, kind):
            return all(alike(getattr(one, n), getattr(two, n), deeper) for n in names)
    if isinstance(one, set | frozenset):
        return bool(one == two)
    if isinstance(getattr(one, "__dict__", None), dict) and not alike(vars(one), vars(two), deeper):
        return False
    return repr(one) == repr(two) or " at 0x" in repr(one)


def _alike_tensors(one: torch.Tensor, two: torch.Tensor) -> bool:
    from snncc.frontends.torch.states import digest

    if one.is_meta or two.is_meta or one.layout != torch.strided or two.layout != torch.strided:
        return False
    return one.dtype == two.dtype and one.shape == two.shape and digest(one) == digest(two)


def _alike_classes(one: type, two: type, depth: int) -> bool:
    """Whether they are one class, or of the same code: a class inside a function is another one
    each time the function is called."""
    if one is two or depth == 0:
        return True
    if _name(one) != _name(two) or "<locals>" not in one.__qualname__:
        return False
    a, b = ({k: v for k, v in vars(cls).items() if not _is_own(k)} for cls in (one, two))
    return alike(a, b, depth - 1)


def _is_own(name: str) -> bool:
    return name in ("__dict__", "__weakref__", "__doc__") or name.startswith("_backward_cls")


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _around(function: types.FunctionType) -> list[Any]:
    """What a function reads that is not its argument: its defaults and its closure."""
    cells = []
    for cell in function.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:
            cells.append(None)  # not set yet
    return [function.__defaults__, function.__kwdefaults__, cells]
