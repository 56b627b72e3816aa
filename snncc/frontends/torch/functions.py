"""The torch functions by name: how calls are spelt, and which of them read or write data."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

READS_VALUES = frozenset({
    "item", "__bool__", "__float__", "__int__", "__index__", "__complex__", "tolist", "numpy",
    "__array__", "__dlpack__", "untyped_storage", "storage", "equal", "allclose", "is_nonzero",
    "__contains__", "__format__", "__repr__",
})  # fmt: skip
"""Calls that turn tensor data into a Python value a recording would freeze in."""

SHARES_MEMORY = frozenset({
    "numpy", "__array__", "__dlpack__", "untyped_storage", "storage", "_typed_storage", "data_ptr",
    "from_numpy", "frombuffer", "from_dlpack", "asarray", "as_tensor",
})  # fmt: skip
"""Calls behind which the memory of a tensor may be read and written past torch."""

HARMLESS = frozenset({
    "shape", "size", "dim", "ndim", "numel", "nelement", "stride", "is_contiguous", "device",
    "dtype", "is_cuda", "is_sparse", "is_quantized", "is_meta", "layout", "requires_grad",
    "grad_fn", "is_leaf", "is_floating_point", "is_complex", "__len__", "get_device", "__hash__",
    "element_size", "storage_offset", "names", "_backward_hooks", "is_nested",
    "retain_grad", "_version", "data_ptr", "is_mps", "is_xpu", "is_cpu",
})  # fmt: skip
"""Calls that look at a tensor's form and never at its data."""

FORM_ONLY = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full",
    "new_empty",
})  # fmt: skip
"""Calls whose result depends on a tensor's form and never on its data."""

CONVOLUTIONS = frozenset({
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
})  # fmt: skip

WRITES = frozenset({
    "__setitem__", "copy_", "fill_", "zero_", "index_put_", "index_add_",
    "scatter_", "scatter_add_", "set_", "resize_", "swapaxes_", "index_copy_", "index_fill_",
})  # fmt: skip


def plain_name(func: Any) -> str:
    """The plain name of a torch function, method or property."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        owner = getattr(func, "__self__", None)
        attribute = getattr(owner, "__name__", "")
        return attribute if name == "__get__" else f"{attribute}="
    return name or type(func).__name__


_OPERATORS = frozenset({
    "add", "sub", "mul", "truediv", "and", "or", "xor", "matmul", "pow", "floordiv", "mod",
})  # fmt: skip


DRAWS = frozenset({
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal",
    "poisson", "rand_like", "randint_like", "randn_like", "random", "uniform",
})  # fmt: skip
"""Calls that draw random numbers."""

ENCODER = (
    "let an encoder draw its spikes outside of the network: spikes = (torch.rand(T, *image.shape) "
    '< image).float(), and the network takes (T, N, ...) with input="spike"; or give the image '
    "itself to the first layer in each step, which is then computed on the host"
)


def base_name(name: str) -> str:
    """The op behind a spelling: add_, __add__ and __iadd__ are add, __rsub__ is rsub."""
    if name.startswith("__") and name.endswith("__"):
        plain = name[2:-2]
        return plain[1:] if plain[:1] == "i" and plain[1:] in _OPERATORS else plain
    return name[:-1] if name.endswith("_") and not name.startswith("_") else name


def by_name(
    parameters: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Arguments under their names, the defaults, and whether an argument has no name.

    A parameter is a name, maybe with a default (``dim=0``); a last one ``*name`` takes the rest.
    What stands behind a ``~`` shows in the result, and is left out.
    """
    values: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    rest = list(args)
    given = {_ALIASES.get(key, key): value for key, value in kwargs.items()}
    for parameter in parameters:
        key, _, default = parameter.lstrip("~*").partition("=")
        if parameter.startswith("~*"):
            return values, defaults, False
        if parameter.startswith("*"):
            defaults[key], values[key], rest = (), given.pop(key, tuple(rest)), []
            continue
        defaults[key] = ast.literal_eval(default) if default else None
        value = rest.pop(0) if rest else given.pop(key, defaults[key])
        if not parameter.startswith("~"):
            values[key] = value
    return values | given, defaults, bool(rest)


_ALIASES = {
    "axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "values": "other",
    "exponent": "other", "chunks": "size", "split_size": "size", "split_size_or_sections": "size",
    "indices_or_sections": "size", "sections": "size", "indices": "size",
}  # fmt: skip
"""What torch also calls an argument."""
