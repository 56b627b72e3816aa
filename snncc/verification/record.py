"""The record of a proof: what was compared with what, so that anybody can run it again."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import inspect
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, FunctionType, MethodType, UnionType
from typing import Any

import torch
from torch import nn

from snncc.frontends.torch.states import digest
from snncc.verification.elsewhere import Opinion
from snncc.verification.module import Agreement, Call
from snncc.verification.passes import Check

LIBRARIES = ("snncc", "torch", "numpy", "spikingjelly", "snntorch", "onnx", "onnxruntime")


@dataclass(frozen=True)
class CallRow:
    """One call of the module, as the manifest has it."""

    input: str
    samples: int
    seed: int | None
    sha256: str
    dtype: str
    compared: int
    ties: int

    @classmethod
    def of(cls, call: Call) -> CallRow:
        probe, dtype = call.probe, str(call.dtype).removeprefix("torch.")
        return cls(
            probe.name, probe.samples, probe.seed, probe.sha256, dtype, call.compared, call.ties
        )

    @classmethod
    def read(cls, row: Any) -> CallRow:
        seed = None if taken(row, "seed", int | None) is None else whole(row, "seed")
        return cls(
            taken(row, "input", str),
            whole(row, "samples", 1),
            seed,
            taken(row, "sha256", str),
            taken(row, "dtype", str),
            whole(row, "neuron-steps"),
            whole(row, "ties"),
        )

    @property
    def said(self) -> dict[str, Any]:
        return {
            "input": self.input,
            "samples": self.samples,
            "seed": self.seed,
            "sha256": self.sha256,
            "dtype": self.dtype,
            "neuron-steps": self.compared,
            "ties": self.ties,
        }


@dataclass(frozen=True)
class PassRow:
    """What was compared before and behind one pass, as the manifest has it."""

    applied: str
    compared: int
    ties: int

    @classmethod
    def read(cls, row: Any) -> PassRow:
        return cls(taken(row, "pass", str), whole(row, "neuron-steps"), whole(row, "ties"))

    @property
    def said(self) -> dict[str, Any]:
        return {"pass": self.applied, "neuron-steps": self.compared, "ties": self.ties}


@dataclass(frozen=True)
class Record:
    """The record of a proof; ``elsewhere``: of a program that ran the network too."""

    source: str
    weights: str
    calls: tuple[CallRow, ...]
    populations: Mapping[str, int]
    samples: frozenset[int]
    passes: tuple[PassRow, ...]
    versions: Mapping[str, str]
    elsewhere: Opinion | None = None

    @classmethod
    def read(cls, plain: Any) -> Record:
        """Raises ValueError, with what is wrong, where ``plain`` is no record."""
        module = taken(plain, "module", dict)
        counts, named = taken(module, "populations", dict), taken(plain, "versions", dict)
        samples = taken(module, "samples", list)
        return cls(
            taken(module, "source", str),
            taken(module, "weights", str),
            tuple(map(CallRow.read, taken(module, "calls", list))),
            {name: whole(counts, name) for name in counts},
            frozenset(whole({"samples": each}, "samples", 1) for each in samples),
            tuple(map(PassRow.read, taken(plain, "passes", list))),
            {name: taken(named, name, str) for name in named},
            _opinion(plain["elsewhere"]) if "elsewhere" in plain else None,
        )

    @property
    def said(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {
            **({} if self.elsewhere is None else {"elsewhere": dict(vars(self.elsewhere))}),
            "module": {
                "source": self.source,
                "weights": self.weights,
                "calls": [call.said for call in self.calls],
                "populations": dict(self.populations),
                "samples": sorted(self.samples),
            },
            "passes": [row.said for row in self.passes],
            "versions": dict(self.versions),
        }


def _opinion(plain: Any) -> Opinion:
    return Opinion(whole(plain, "samples"), whole(plain, "ties"))


def taken(plain: Any, name: str, kind: type | UnionType) -> Any:
    """``plain[name]``. Raises ValueError where it is not there or of another kind."""
    if not isinstance(plain, dict) or name not in plain:
        raise ValueError(f"it has no `{name}`")
    value = plain[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"its `{name}` is not of the right kind")
    return value


def whole(plain: Any, name: str, least: int = 0) -> int:
    """A whole number of at least ``least``. Raises ValueError where it is none."""
    value = taken(plain, name, int)
    if value < least:
        raise ValueError(f"its `{name}` is less than {least}")
    return int(value)


def record_of(
    module: nn.Module, agreed: Agreement, checks: Iterable[Check], samples: Iterable[int],
    opinion: Opinion | None = None,
) -> Record:  # fmt: skip
    """What was compared; ``samples`` are those of the recording.

    ``opinion``: of a program that ran the network too.
    """
    printed = fingerprint(module)
    return Record(
        printed["source"],
        printed["weights"],
        tuple(map(CallRow.of, agreed.calls)),
        populations(agreed),
        frozenset(samples),
        tuple(PassRow(check.applied, check.compared, check.ties) for check in checks),
        versions(),
        opinion,
    )


def populations(agreed: Agreement) -> dict[str, int]:
    """How many neuron-steps of each population were compared with the module's."""
    total: dict[str, int] = {}
    for call in agreed.calls:
        for name, count in call.populations.items():
            total[name] = total.get(name, 0) + count
    return total


def fingerprint(module: nn.Module) -> dict[str, str]:
    """SHA-256 of the source that the module runs, and of its parameters and buffers.

    The source is the whole file of every class that is not of a library, base classes too, and of
    every hook or function that was set on a part. Paths are not hashed.
    """
    source = hashlib.sha256()
    for text in sorted({f"{own.__qualname__}\n{_source(own)}\n" for own in _own(module)}):
        source.update(text.encode())
    weights = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            weights.update(f"{name} {digest(tensor)}\n".encode())
    return {"source": source.hexdigest(), "weights": weights.hexdigest()}


def _own(module: nn.Module) -> Iterator[type | FunctionType]:
    """The classes of the parts and the functions set on them, without those of libraries."""
    for part in module.modules():
        found: list[object] = [*type(part).__mro__]
        for value in vars(part).values():
            found += value.values() if isinstance(value, Mapping) else [value]
        for each in found:
            function = _function(each)
            if function is not None and not _of_library(function):
                yield function


def _function(value: object) -> type | FunctionType | None:
    """The class or function that holds the code of ``value``, where it has any."""
    while isinstance(value, partial):
        value = value.func
    if isinstance(value, MethodType):
        value = value.__func__
    return value if isinstance(value, type | FunctionType) else None


def _of_library(own: type | FunctionType) -> bool:
    name = (own.__module__ or "").partition(".")[0]
    if name == "builtins":  # code that exec made may say so, too
        return getattr(builtins, own.__qualname__, None) is own
    return name in LIBRARIES or name in sys.stdlib_module_names


def _source(own: type | FunctionType) -> str:
    """The text of its file, or its own text, or what Python compiled of it."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        return Path(inspect.getsourcefile(own) or "").read_text(encoding="utf-8")
    with contextlib.suppress(OSError, TypeError):
        return inspect.getsource(own)
    functions = [own] if isinstance(own, FunctionType) else map(_function, vars(own).values())
    return "\n".join(_code(f.__code__) for f in functions if isinstance(f, FunctionType))


def _code(code: CodeType) -> str:
    """Bytes, names and constants of compiled code, without file and line."""
    constants = [
        _code(each)
        if isinstance(each, CodeType)
        else repr(sorted(map(repr, each)) if isinstance(each, frozenset) else each)
        for each in code.co_consts
    ]
    return "\n".join([code.co_name, code.co_code.hex(), repr(code.co_names), *constants])


def versions() -> dict[str, str]:
    """Of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
