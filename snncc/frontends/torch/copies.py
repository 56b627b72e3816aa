"""Private copies of a user's module, and how one runs undisturbed."""

from __future__ import annotations

import copy
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from snncc.diagnostics import Location, refuse
from snncc.frontends import snntorch
from snncc.frontends.neurons import library
from snncc.frontends.torch.devices import OnCpu, asks_for_a_device
from snncc.frontends.torch.states import Place, changed, digest, held


def check_rests(module: nn.Module) -> None:
    """Refuse a module whose own ``reset`` would make another network of it.

    It is called on every copy, as between samples, and forgets what the last sample left. So it
    must find nothing to forget.
    """
    if not resets_itself(module):
        return
    try:
        one, two = (copy.deepcopy(module, _empty_tables(module)) for _ in range(2))
    except Exception:
        return  # whoever copies it next says why not
    for part in two.modules():
        if (reset := _own_reset(part)) is not None:
            with OnCpu():
                reset(part)
    before, after = held(one), held(two)
    names = [n for n in changed(before, after) if not _alike(before.get(n), after.get(n))]
    if names:
        said = f"`reset` changes {', '.join(f'`{name}`' for name in names[:4])}: the module is not "
        help = "call reset before compiling, and set in it only what a sample leaves behind"
        raise refuse(
            "SNN322", f"{said}as it is at the beginning of a sample", Location("forward"), help=help
        )


def _alike(one: Place | None, two: Place | None) -> bool:
    """Whether both hold the same values."""
    if one is None or two is None:
        return False
    if isinstance(one.value, torch.Tensor) and isinstance(two.value, torch.Tensor):
        return digest(one.value) == digest(two.value)
    return one.is_as(two)


def resets_itself(module: nn.Module) -> bool:
    """Whether a part that is no neuron of a library says how it begins a sample."""
    return any(map(_own_reset, module.modules()))


def _own_reset(part: nn.Module) -> Callable[[nn.Module], object] | None:
    """The method ``reset`` of a part that is no neuron of a library."""
    known = library(part).startswith(("spikingjelly", "snntorch", "snncc"))
    return None if known else _reset_of(part)


def private_copy(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in ``dtype`` on the CPU that shares nothing with ``module``, its state at rest."""
    memo = _empty_tables(module)
    for part in module.modules():
        for value in _stray_tensors(part):
            memo[id(value)] = value.detach().clone()
    try:
        twin = copy.deepcopy(module, memo)
    except Exception as error:
        raise refuse("SNN314", f"the module cannot be copied ({first_line(error)})") from None
    at_rest(twin)
    for part in twin.modules():
        if library(part) == "snntorch":
            snntorch.in_dtype(part)
    return twin.to(device="cpu", dtype=dtype)


def _empty_tables(module: nn.Module) -> dict[int, Any]:
    """A memo for deepcopy with the empty tables of hooks, of which each part has a dozen."""
    return {
        id(value): type(value)()
        for part in module.modules() for value in vars(part).values()
        if type(value) in (dict, OrderedDict) and not value
    }  # fmt: skip


def at_rest(twin: nn.Module) -> None:
    """Forget what the neurons of a private copy remember, and what its other parts reset."""
    for part in twin.modules():
        if library(part) == "snntorch":
            snntorch.at_rest(part)
        elif (reset := _reset_of(part)) is not None:
            with OnCpu():
                reset(part)


def _reset_of(part: nn.Module) -> Callable[[nn.Module], object] | None:
    """Its method ``reset``, to be called between samples as SpikingJelly's are, if it has one."""
    reset: Callable[[nn.Module], object] | None = getattr(type(part), "reset", None)
    if not callable(reset):
        return None
    try:
        inspect.signature(reset).bind(part)
    except (TypeError, ValueError):
        return None
    return reset


@contextmanager
def undisturbed(twin: nn.Module, dtype: torch.dtype, on_cpu: bool = True) -> Iterator[None]:
    """Run a private copy in here: new tensors have its dtype and are on the CPU, there are no
    gradients, and nothing is compiled."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    compiling = "torch._dynamo" in sys.modules
    eager = torch.compiler.set_stance("force_eager") if compiling else nullcontext()
    try:
        with (
            eager, snntorch.registered(twin), torch.no_grad(),
            torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False),
            OnCpu() if on_cpu and asks_for_a_device(twin) else nullcontext(),
        ):  # fmt: skip
            yield
    finally:
        torch.set_default_dtype(before)


def _stray_tensors(part: nn.Module) -> Iterator[torch.Tensor]:
    """Tensors a module holds that are neither parameters nor buffers (states, closures)."""
    held = (vars(part), part._buffers, getattr(part, "_memories", {}))
    for value in [value for table in held for value in table.values()]:
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, torch.Tensor) and not isinstance(item, nn.Parameter):
                yield item


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
