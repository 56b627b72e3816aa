"""Runs on the CPU of code that asks for another device."""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_MOVES = frozenset({"cuda", "xpu", "ipu", "hpu", "mtia"})
"""The methods of a tensor that move it to a device."""

_LIBRARIES = ("torch.", "snncc.", "spikingjelly.", "snntorch.", "builtins.", "numpy.")

_TYPES = {
    "FloatTensor": torch.float32, "DoubleTensor": torch.float64, "LongTensor": torch.int64,
    "IntTensor": torch.int32, "ByteTensor": torch.uint8, "BoolTensor": torch.bool,
}  # fmt: skip


_ASKS = frozenset({"cuda", "device", "xpu", "ipu", "hpu", "mtia", "get_device"})
"""What code that asks for a device names."""


def asks_for_a_device(module: nn.Module) -> bool:
    """Whether code of a user's module may ask for a device; then it runs slower, in `OnCpu`."""
    seen: set[object] = set()
    told = {type(part) for part in module.modules()}
    own = [
        value for part in module.modules() for value in vars(part).values()
        if isinstance(value, types.FunctionType | types.MethodType | str | torch.device)
    ]  # fmt: skip
    return any(_asks(value, seen) for value in (*told, *own))


def _asks(value: object, seen: set[object]) -> bool:
    """Whether a class or a function, or what it names, asks for a device."""
    if isinstance(value, str):
        return value.startswith("cuda")
    if isinstance(value, torch.device):
        return value.type not in ("cpu", "meta")
    if isinstance(value, types.MethodType):
        value = value.__func__
    if not isinstance(value, type | types.FunctionType) or value in seen:
        return False
    seen.add(value)
    if f"{value.__module__}.".startswith(_LIBRARIES):
        return False
    if isinstance(value, type):
        inside = [item for base in value.__mro__ for item in vars(base).values()]
        plain = (getattr(item, "__func__", item) for item in inside)
        own = (getattr(item, "fget", item) for item in plain)
        return any(_asks(item, seen) for item in (*own, *value.__mro__[1:]))
    names, texts = _named(value.__code__)
    if names & _ASKS or any("cuda" in text for text in texts):
        return True
    around = [value.__globals__.get(name) for name in names]
    cells = [cell.cell_contents for cell in value.__closure__ or () if _is_set(cell)]
    return any(_asks(item, seen) for item in (*around, *cells))


def _named(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The names and the texts in a function and in those written inside of it."""
    names, texts = set(code.co_names), {c for c in code.co_consts if isinstance(c, str)}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            more, said = _named(inner)
            names, texts = names | more, texts | said
    return names, texts


def _is_set(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


class OnCpu(TorchFunctionMode):
    """Moves to a device do nothing while this mode is on, and constants for one are on the CPU.

    What runs in it is a copy on the CPU, which means the same as the module on any device.
    """

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _MOVES and args and func is getattr(torch.Tensor, name, None):
            return args[0]
        args = tuple(map(_here, args))
        kwargs = {key: _place(value) if key == "device" else _here(value)
                  for key, value in kwargs.items()}  # fmt: skip
        if func is torch.Tensor.to:
            args = (*args[:1], *(_place(value, text_only=True) for value in args[1:2]), *args[2:])
        if func is torch.Tensor.type and len(args) > 1:
            args = (args[0], _dtype(args[1]), *args[2:])
        return func(*args, **kwargs)


def _here(value: Any) -> Any:
    elsewhere = isinstance(value, torch.device) and value.type not in ("cpu", "meta")
    return torch.device("cpu") if elsewhere else value


def _place(value: Any, text_only: bool = False) -> Any:
    """A device as torch takes it: its name, or with ``text_only`` not its number."""
    if isinstance(value, str):
        return value if value.split(":")[0] in ("cpu", "meta") else "cpu"
    numbered = isinstance(value, int) and not isinstance(value, bool) and not text_only
    return "cpu" if numbered else _here(value)


def _dtype(value: Any) -> Any:
    """``torch.cuda.FloatTensor`` and its name as the dtype that they say."""
    name = value if isinstance(value, str) else f"{value.__module__}.{value.__name__}" if (
        isinstance(value, type)) else ""  # fmt: skip
    return _TYPES.get(name.rpartition(".")[2], value) if name.startswith("torch.cuda.") else value
