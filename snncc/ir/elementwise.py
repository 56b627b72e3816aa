"""The elementwise functions a Graph can name, on torch tensors of any shape."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ARITY = MappingProxyType({
    "add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1, "abs": 1,
    "minimum": 2, "maximum": 2, "clamp": 3, "where": 3,
    "and": 2, "or": 2, "xor": 2, "not": 1, "nonzero": 1,
    "ge": 2, "gt": 2, "le": 2, "lt": 2, "eq": 2, "ne": 2,
    "pow": 2, "square": 1, "sqrt": 1, "exp": 1, "log": 1, "sign": 1,
    "round": 1, "floor": 1, "ceil": 1, "trunc": 1, "remainder": 2, "fmod": 2,
    "relu": 1, "relu6": 1, "sigmoid": 1, "tanh": 1, "gelu": 1, "gelu_tanh": 1, "silu": 1,
    "softplus": 1, "elu": 1, "leaky_relu": 2, "hardsigmoid": 1, "hardswish": 1, "hardtanh": 3,
    "erf": 1, "mish": 1, "softsign": 1, "heaviside": 2,
})  # fmt: skip
"""How many arguments each function takes; numbers are arguments too (Constant nodes)."""

ACTIVATIONS = frozenset({
    "relu", "relu6", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "softplus", "elu",
    "leaky_relu", "hardsigmoid", "hardswish", "hardtanh", "mish", "softsign",
})  # fmt: skip

COMPARISONS = frozenset({"ge", "gt", "le", "lt", "heaviside"})

STEPPED = COMPARISONS | {"eq", "ne", "sign", "round", "floor", "ceil", "trunc"}
"""Functions that jump, so that rounding before them decides what comes out."""

BOOLEAN = frozenset({"and", "or", "xor", "not", "nonzero", "ge", "gt", "le", "lt", "eq", "ne"})
"""Functions whose values are 0 and 1, whatever they read."""


def function(name: str) -> Callable[..., torch.Tensor]:
    """The function named ``name`` on float tensors; truth values are 0 and 1."""
    import torch
    from torch.nn import functional as F

    def truth(test: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *args: test(*args).to(args[0].dtype)

    special: dict[str, Callable[..., torch.Tensor]] = {
        "clamp": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
        "hardtanh": lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
        "where": lambda test, x, y: torch.where(test != 0, x, y),
        "and": truth(torch.logical_and),
        "or": truth(torch.logical_or),
        "xor": truth(torch.logical_xor),
        "not": truth(torch.logical_not),
        "nonzero": truth(lambda x: x != 0),
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "leaky_relu": lambda x, slope: torch.where(x >= 0, x, x * slope),
    }
    if name in special:
        return special[name]
    if name in ("ge", "gt", "le", "lt", "eq", "ne"):
        return truth(getattr(torch, name))
    for room in (torch, F):
        if hasattr(room, name):
            return getattr(room, name)  # type: ignore[no-any-return]
    raise KeyError(name)
