"""MODEL given as package.module:factory, and the weights that go into it."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.frontends.checkpoints.unpickle import shown

_NAMED = 3
_NETWORK = "name a function that takes no arguments and returns the network"


def make(spec: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """The network of ``package.module:factory``.

    A name that holds a module already is taken as it is. Raises SNN313 where the module or the
    name is not there, SNN314 where importing or calling fails or gives no torch.nn.Module.
    """
    value = find(imported(spec), spec)
    return value if isinstance(value, nn.Module) else network(value, spec, arguments)


def call(spec: str, help: str) -> Any:
    """What ``package.module:factory`` returns. ``help`` says what to do where it does not work.

    Raises SNN313 and SNN314 as `make` does.
    """
    return _called(find(imported(spec, help), spec), spec, help, {})


def imported(spec: str, help: str = _NETWORK) -> Any:
    """The module of ``package.module:factory``, from the current directory too.

    The current directory stays on the import path: a forward may import more of the user's code.
    Raises SNN313 and SNN314 as `make` does.
    """
    name = spec.partition(":")[0]
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise _cannot_run(f"importing `{name}` failed: {_said(error)}", help) from error
        raise refuse(
            "SNN313",
            f"there is no module `{error.name}`",
            help="run from the folder that holds it, or install it",
        ) from error
    except (Exception, SystemExit) as error:
        raise _cannot_run(f"importing `{name}` failed: {_said(error)}", help) from error


def find(owner: Any, spec: str) -> Any:
    """What ``package.module:name`` names in ``owner``, the module. Raises SNN313."""
    module_name, _, names = spec.partition(":")
    for name in names.split("."):
        if not hasattr(owner, name):
            raise _no_such_name(owner, module_name, name)
        owner = getattr(owner, name)
    return owner


def network(factory: Any, spec: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """What ``factory`` returns, a torch.nn.Module. Raises SNN314."""
    made = _called(factory, spec, _NETWORK, arguments or {})
    if not isinstance(made, nn.Module):
        said = f"`{spec}` returned a {type(made).__name__}, not a torch.nn.Module"
        raise _cannot_run(said, _NETWORK)
    return made


def _called(factory: Any, spec: str, help: str, arguments: Mapping[str, Any]) -> Any:
    if not callable(factory):
        raise _cannot_run(f"`{spec}` is a {type(factory).__name__} and cannot be called", help)
    try:
        return factory(**arguments)
    except (Exception, SystemExit) as error:
        raise _cannot_run(f"calling `{spec}` failed: {_said(error)}", help) from error


def load_weights(module: nn.Module, content: Any, source: str) -> None:
    """Copy a state dict into ``module``; names and shapes must match one for one.

    ``content`` is what the file ``source`` holds: the state dict, or a dict with one in it.
    Raises SNN305 where there is none or it does not fit.
    """
    load_state(module, _without_prefix(_state_dict(content, source), module), source)


def load_state(module: nn.Module, state: Mapping[str, Any], source: str) -> None:
    """Copy ``state`` into ``module``. Raises SNN305 for each way in which it does not fit."""
    own = module.state_dict()
    complaints = [
        _list("lacks", [name for name in own if name not in state]),
        _list("has the unknown", [name for name in state if name not in own]),
        _list(
            "has a wrong shape for",
            [
                f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in own.items()
                if isinstance(state.get(name), torch.Tensor)
                and isinstance(tensor, torch.Tensor)
                and state[name].shape != tensor.shape
            ],
        ),
    ]
    if any(complaints):
        raise SnnccError(_misfit(f"{source} {each}") for each in complaints if each)
    try:
        module.load_state_dict(dict(state))
    except Exception as error:
        message = f"the weights in {source} cannot be loaded: {_said(error)}"
        raise SnnccError(_misfit(message)) from error


def state_dicts(content: Any) -> dict[str, dict[str, torch.Tensor]]:
    """The state dicts in a file's content, by the key they lie under; "" for the content itself."""
    if not isinstance(content, Mapping):
        return {}
    candidates = {"": content, **{str(key): value for key, value in content.items()}}
    return {key: dict(value) for key, value in candidates.items() if _is_state_dict(value)}


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor)
            for name, tensor in value.items()
        )
    )


def _state_dict(content: Any, source: str) -> dict[str, torch.Tensor]:
    found = state_dicts(content)
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        keys = ", ".join(f"`{shown(key)}`" for key in found)
        reason = f"{source} holds several state dicts, under {keys}"
    else:
        reason = f"{source} holds no state dict"
    raise refuse("SNN305", reason, help="write one with torch.save(module.state_dict(), path)")


def _without_prefix(weights: dict[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """DataParallel puts `module.` before every name."""
    prefix = "module."
    wrapped = all(name.startswith(prefix) for name in weights)
    if not wrapped or any(name.startswith(prefix) for name in module.state_dict()):
        return weights
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _no_such_name(owner: Any, module_name: str, name: str) -> SnnccError:
    names = [key for key, value in vars(owner).items() if _is_own(value, key, module_name)]
    near = difflib.get_close_matches(name, names) or names
    listed = ", ".join(f"`{key}`" for key in near) or "nothing that could be called"
    return refuse("SNN313", f"`{module_name}` has no `{name}`; it has {listed}")


def _is_own(value: Any, name: str, module_name: str) -> bool:
    return (
        not name.startswith("_")
        and (inspect.isroutine(value) or inspect.isclass(value))
        and getattr(value, "__module__", "") == module_name
    )


def _cannot_run(message: str, help: str) -> SnnccError:
    return refuse("SNN314", message, help=help)


def _misfit(message: str) -> Finding:
    help = "give the weights of the architecture the factory makes"
    return Finding("SNN305", message, help=help)


def _said(error: BaseException) -> str:
    words = shown(" ".join(str(error).split()))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _list(verb: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{verb} {', '.join(map(shown, names[:_NAMED]))}{more}"
