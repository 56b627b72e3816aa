"""Runs in float64 of code that says ``.float()``."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Widened(TorchFunctionMode):
    """Tensors that would be made or cast in float32 are float64 while this mode is on.

    A module trained in float32 casts truth values and counts to ``float``; its float64 twin means
    the same and must not fall back to float32 there.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        kwargs = kwargs or {}
        if any(value is torch.float32 for value in (*args, *kwargs.values())):
            args = tuple(map(_wide, args))
            kwargs = {key: _wide(value) for key, value in kwargs.items()}
        result = func(*args, **kwargs)
        if isinstance(result, torch.Tensor) and result.dtype == torch.float32:
            given = (*args, *kwargs.values())
            if not any(result is value for value in given):
                return result.double()
        return result


def _wide(value: Any) -> Any:
    """float64 where float32 is asked for: a cast to float32 and back would round."""
    return torch.float64 if value is torch.float32 else value
