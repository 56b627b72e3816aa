"""Runs on the CPU of code that asks for another device."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_MOVES = frozenset({"cuda", "xpu", "ipu", "hpu", "mtia"})
"""The methods of a tensor that move it to a device."""

_TYPES = {
    "FloatTensor": torch.float32, "DoubleTensor": torch.float64, "LongTensor": torch.int64,
    "IntTensor": torch.int32, "ByteTensor": torch.uint8, "BoolTensor": torch.bool,
}  # fmt: skip


class OnCpu(TorchFunctionMode):
    """Moves to a device do nothing while this mode is on, and constants for one are on the CPU.

    What runs in it is a copy on the CPU, which means the same as the module on any device.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
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
