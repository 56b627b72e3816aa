"""What a .pt holds, without executing anything in it.

1. The names of all classes and functions in the pickle are listed without loading it; one that is
   not on the allow-list refuses the file.
2. torch's weights-only unpickler then builds tensors as usual, and in place of every other object
   a `Record`, which has a class's name and a state but no constructor and no behaviour. So no
   code of torch.nn, SpikingJelly or the user runs while the file is read, whatever it asks for.
3. The records are vetted: data and allowed objects only, no hooks, nothing that hides a method.
4. Only then do they become what they stand for.
"""

from __future__ import annotations

import inspect
import io
import pickle
import re
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
    safe_globals,
)

from snncc.diagnostics import Location, SnnccError, refuse
from snncc.frontends.checkpoints.allow_list import resolve

TRUSTED_FROM = (2, 10)
"""The first torch whose weights-only unpickler has no known hole (CVE-2025-32434,
CVE-2026-24747)."""

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, bytearray),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
_NAMED, _LONG = 20, 200
_RESAVE = "open it with the code that wrote it and save it again with torch.save"


def read(data: bytes, source: str, allowed: frozenset[str]) -> Any:
    """The object in ``data``, a file written by torch.save; its tensors are on the CPU.

    ``source`` names the file in errors and ``allowed`` the classes it may hold, as pickled.
    Raises SNN304 where reading it would run code or build foreign objects, SNN305 where it is not
    a whole checkpoint, SNN317 where a class it needs is not installed or torch is too old.
    """
    if torch_version() < TRUSTED_FROM:
        raise refuse(
            "SNN317",
            f"a checkpoint can make torch {torch.__version__} run code",
            help="install torch {}.{} or newer".format(*TRUSTED_FROM),
        )
    if not data:
        raise refuse("SNN305", f"{source} is empty")
    if data.startswith(_ZIP):
        names = _class_names(data, source, allowed)
    elif data.startswith(_PICKLE):
        names = []
    else:
        raise refuse("SNN305", f"{source} is not a checkpoint: it is neither a zip nor a pickle")
    root, built = _load(data, source, names, allowed)
    holders = _vet(root, source)
    try:
        return _become(root, holders, built)
    except Exception as error:
        raise _damaged(source, error) from error


def torch_version() -> tuple[int, ...]:
    return tuple(int(part) for part in torch.__version__.split(".")[:2])


# -- 1. names ----------------------------------------------------------------------------------


def _class_names(data: bytes, source: str, allowed: frozenset[str]) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.namelist()
    except Exception as error:
        raise _damaged(source, error) from error
    if any(member.endswith("/constants.pkl") for member in members):
        raise refuse(
            "SNN304",
            f"{source} is a TorchScript archive, which is code",
            help="save the module before scripting it, or pass package.module:factory --weights",
        )
    if not any(member.endswith("/data.pkl") for member in members):
        raise refuse("SNN305", f"{source} is a zip, but not one that torch.save wrote")
    try:
        with _no_global_allow_list():
            names = get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except pickle.UnpicklingError as error:
        raise _more_than_data(source, error, allowed) from error
    except Exception as error:
        raise _damaged(source, error) from error
    if unknown := sorted(set(names) - allowed):
        raise _foreign(source, unknown)
    return sorted(names)


def _foreign(source: str, names: list[str]) -> SnnccError:
    quoted = ", ".join(f"`{shown(name)}`" for name in names[:_NAMED])
    if len(names) > _NAMED:
        quoted += f" and {len(names) - _NAMED} more"
    message = f"{source} asks for {quoted}, not on the list of classes a file may hold"
    if any(name.startswith("__main__.") for name in names):
        return refuse(
            "SNN304",
            message,
            help="move the class from the script into a module and save again, or pass "
            "package.module:factory --weights",
        )
    return refuse("SNN304", message)


# -- 2. records --------------------------------------------------------------------------------


class Record:
    """An object of a file before it is known to be harmless."""

    real: ClassVar[type]
    built: ClassVar[list[Record]]
    state: Any

    def __new__(cls, *arguments: object) -> Record:
        if arguments:
            raise pickle.UnpicklingError(f"it calls the constructor of {cls.__qualname__}")
        record = object.__new__(cls)
        record.state = {}
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state
        self.built.append(self)


def _load(
    data: bytes, source: str, names: Iterable[str], allowed: frozenset[str]
) -> tuple[Any, list[Record]]:
    """The object of the file with records in it, and the records in the order they got a state."""
    built: list[Record] = []
    stand_ins: list[Any] = [
        (type(name, (Record,), {"real": resolve(name), "built": built}), name) for name in names
    ]
    try:
        with _no_global_allow_list(), safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on storages and pickle protocols, for developers
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), built
    except pickle.UnpicklingError as error:
        raise _more_than_data(source, error, allowed) from error
    except Exception as error:
        raise _damaged(source, error) from error


@contextmanager
def _no_global_allow_list() -> Iterator[None]:
    """What other code of this process has told torch to trust is not trusted here."""
    before = get_safe_globals()
    clear_safe_globals()
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _more_than_data(
    source: str, error: pickle.UnpicklingError, allowed: frozenset[str]
) -> SnnccError:
    said = str(error).rpartition("WeightsUnpickler error: ")[2]
    found = re.search(r"GLOBAL (\S+)", said)
    if found and found[1] not in allowed:
        return _foreign(source, [found[1]])
    if found:
        message = "holds a whole module in torch's format from before 1.6"
    elif "Unsupported operand" in said:
        message = "is damaged, or holds pickle instructions that torch.save does not use"
    else:
        message = f"is damaged, or does more than hold data: {_line(said)}"
    return refuse("SNN304", f"{source} {message}", help=_RESAVE)


# -- 3. vetting --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """A module path as a chain of names: in a hostile file the paths spelt out have no bound."""

    outer: _Place | None = None
    name: str = ""

    def __str__(self) -> str:
        names = []
        place: _Place | None = self
        while place is not None:
            names.append(place.name)
            place = place.outer
        return shown(".".join(name for name in reversed(names) if name))


def _vet(root: Any, source: str) -> list[Record | list[Any] | dict[Any, Any]]:
    """All below ``root`` that can hold a record. Raises SNN304 where something is neither data nor
    an allowed object, SNN305 where a module or a tensor is not whole."""
    seen: set[int] = set()
    holders: list[Record | list[Any] | dict[Any, Any]] = []
    todo: list[tuple[Any, _Place]] = [(root, _Place())]
    while todo:
        value, place = todo.pop()
        kind = type(value)
        if kind in _PLAIN or _is_stand_in(value) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Record):
            holders.append(value)
            todo += _inside(value, place, source)
        elif kind in (torch.Tensor, nn.Parameter):
            _vet_tensor(value, place, source)
        elif kind in (list, tuple, torch.Size):
            if kind is list:
                holders.append(value)
            todo += [(member, place) for member in value]
        elif _is_mapping(value):
            holders.append(value)
            todo += [(member, place) for member in (*value.values(), _versions(value))]
        elif kind is not set or any(type(member) not in _PLAIN for member in value):
            raise _not_data(value, place, source)
    return holders


def _is_mapping(value: Any) -> bool:
    """A dict with plain keys and, on a state dict, nothing but versions in its attributes."""
    return (
        type(value) in (dict, OrderedDict, Counter)
        and getattr(value, "__dict__", {}).keys() <= {"_metadata"}
        and all(type(key) in _PLAIN for key in value)
    )


def _versions(mapping: Any) -> Any:
    return getattr(mapping, "_metadata", None)


def _is_stand_in(value: Any) -> bool:
    """A class itself, as ResNets keep the norm they are made with."""
    return isinstance(value, type) and issubclass(value, Record)


def _inside(record: Record, place: _Place, source: str) -> Iterator[tuple[Any, _Place]]:
    """The values in a record's state, with their places."""
    state = record.state
    if type(state) is not dict or any(type(key) is not str for key in state):
        raise _not_data(record, place, source)
    children: dict[str, Any] = {}
    if issubclass(record.real, nn.Module):
        _vet_module(record.real, state, place, source)
        children = state["_modules"]
    for name, value in state.items():
        hides_method = inspect.isroutine(getattr(record.real, name, None))
        if hides_method or (name == "_compiled_call_impl" and value is not None):
            raise refuse(
                "SNN304",
                f"a {record.real.__qualname__} in {source} overrides `{shown(name)}` of its class",
                Location(module=str(place)),
                help="write the change into a class of its own and name it with --allow",
            )
        yield value, place
    for name, child in children.items():  # last, so that the stack takes them with their names
        yield child, _Place(place, name)


def _vet_module(cls: type, state: dict[str, Any], place: _Place, source: str) -> None:
    kinds: dict[str, Callable[[Any], bool]] = {
        "_parameters": lambda value: type(value) is nn.Parameter,
        "_buffers": lambda value: type(value) in (torch.Tensor, nn.Parameter),
        "_modules": lambda value: isinstance(value, Record) and issubclass(value.real, nn.Module),
    }
    for name, fits in kinds.items():
        members: Any = state.get(name)
        if not _is_mapping(members) or not all(
            type(key) is str and (value is None or fits(value)) for key, value in members.items()
        ):
            raise refuse(
                "SNN305",
                f"{source} is damaged: a {cls.__qualname__} in it has no proper `{name}`",
                Location(module=str(place)),
            )
    for name, value in state.items():
        if name.endswith("_hooks") and value:
            raise refuse(
                "SNN304",
                f"a {cls.__qualname__} in {source} has hooks (`{shown(name)}`), which are code",
                Location(module=str(place)),
                help="remove the hooks before saving (weight_norm and its like: "
                "remove_weight_norm), or pass package.module:factory --weights",
            )


def _vet_tensor(tensor: torch.Tensor, place: _Place, source: str) -> None:
    if tensor.__dict__ or tensor._backward_hooks:
        raise _not_data(tensor, place, source)
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise refuse(
            "SNN305",
            f"{source} holds a tensor that is sparse, quantized or without data",
            Location(module=str(place)),
            help="save dense floating-point weights",
        )


def _not_data(value: Any, place: _Place, source: str) -> SnnccError:
    kind = value.real if isinstance(value, Record) else type(value)
    return refuse(
        "SNN304",
        f"{source} holds something that is not plain data (a {kind.__qualname__})",
        Location(module=str(place)),
    )


# -- 4. becoming -------------------------------------------------------------------------------


def _become(
    root: Any, holders: list[Record | list[Any] | dict[Any, Any]], built: list[Record]
) -> Any:
    """``root`` with an object of its class in place of each record, children before parents."""
    records = {id(holder): holder for holder in holders if isinstance(holder, Record)}
    real: dict[int, Any] = {key: object.__new__(record.real) for key, record in records.items()}

    def become(value: Any) -> Any:
        if id(value) in real:
            return real[id(value)]
        if _is_stand_in(value):
            return value.real
        if type(value) is tuple:
            return real.setdefault(id(value), tuple(become(member) for member in value))
        return value

    for holder in holders:
        container = holder.state if isinstance(holder, Record) else holder
        members = enumerate(container) if isinstance(container, list) else container.items()
        for key, value in list(members):
            container[key] = become(value)
    result = become(root)

    in_order = {id(record): record.state for record in (*built, *records.values())}
    for key, state in in_order.items():
        if key not in records:
            continue
        if hasattr(real[key], "__setstate__"):
            real[key].__setstate__(state)
        else:
            real[key].__dict__.update(state)
    return result


def _damaged(source: str, error: Exception) -> SnnccError:
    return refuse("SNN305", f"{source} is damaged or cut short: {_line(error)}")


def _line(error: object) -> str:
    """The first line of what somebody else's code says, without the full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(lines[0].rstrip("."))


def shown(words: str) -> str:
    """Words out of a file, fit for one line of a terminal."""
    short = words if len(words) <= _LONG else words[:_LONG] + "…"
    return "".join(char if char.isprintable() else "?" for char in short)
