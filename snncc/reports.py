"""What a pass reports: frozen dataclasses, and plain values where a manifest is written or read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Report:
    """Base of all reports, and of what they are made of.

    A field ``idle_steps`` is "idle steps" in a manifest. A field whose default is None is left out
    where it is None. Fields are numbers, texts, other reports, and tuples and mappings of these.
    """

    @classmethod
    def read(cls, said: Any) -> Self:
        """The report that a manifest has. Raises ValueError, with what is wrong with it."""
        if not isinstance(said, Mapping):
            raise ValueError(f"{said!r} is no {cls.__name__}")
        kinds, names = get_type_hints(cls), {_words(f.name): f for f in fields(cls)}
        if more := said.keys() - names.keys():
            raise ValueError(f"`{min(map(str, more))}` is not known")
        values = {}
        for key, field in names.items():
            if key in said:
                values[field.name] = _read(kinds[field.name], said[key], key)
            elif field.default is not None:
                raise ValueError(f"it has no `{key}`")
        return cls(**values)

    @property
    def said(self) -> dict[str, Any]:
        """As a manifest has it."""
        values = {field: getattr(self, field.name) for field in fields(self)}
        return {
            _words(field.name): _plain(value)
            for field, value in values.items()
            if value is not None or field.default is not None
        }


@dataclass(frozen=True)
class Unknown(Report):
    """Of a pass that is not installed, or that says of no type what it reports."""

    values: Mapping[str, Any]

    @classmethod
    def read(cls, said: Any) -> Self:
        if not isinstance(said, Mapping):
            raise ValueError(f"{said!r} is no report")
        return cls(said)

    @property
    def said(self) -> dict[str, Any]:
        return dict(self.values)


R = TypeVar("R", bound=Report)


@dataclass(frozen=True)
class Reports:
    """The reports of a compilation, by the name of the pass; ``reports[Cut]`` finds one by type."""

    by_pass: Mapping[str, Report]

    def get(self, kind: type[R]) -> R | None:
        """The report of that type; None where no pass made one."""
        return next((each for each in self.by_pass.values() if isinstance(each, kind)), None)

    def __getitem__(self, kind: type[R]) -> R:
        """The report of that type. Raises KeyError where no pass made one."""
        if (found := self.get(kind)) is None:
            raise KeyError(kind.__name__)
        return found

    @property
    def said(self) -> dict[str, Any]:
        """As a manifest has them."""
        return {name: report.said for name, report in self.by_pass.items()}


def _words(name: str) -> str:
    for words in ("neuron-steps", "teacher-forced", "SNR dB"):
        name = name.replace(words.lower().replace("-", "_").replace(" ", "_"), words)
    return name.replace("_", " ")


def _plain(value: Any) -> Any:
    match value:
        case Report():
            return value.said
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case tuple() | list():
            return [_plain(each) for each in value]
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no infinity
    return value


def _read(kind: Any, value: Any, name: str) -> Any:
    """``value`` of a manifest as ``kind``, the type of a field."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (some,) = (part for part in parts if part is not NoneType)
        return None if value is None else _read(some, value, name)
    if origin is tuple and isinstance(value, list):
        each = parts if parts[-1] is not Ellipsis else (parts[0],) * len(value)
        if len(each) == len(value):
            return tuple(_read(k, v, name) for k, v in zip(each, value, strict=True))
    elif origin is not None and origin is not tuple and isinstance(value, dict):
        return {key: _read(parts[1], each, key) for key, each in value.items()}
    elif isinstance(kind, type) and issubclass(kind, Report):
        return kind.read(value)
    elif isinstance(value, bool):
        pass  # a whole number to Python, and to no field
    elif kind is float and value in ("inf", "-inf", "nan"):
        return float(value)
    elif kind in (int, float, str) and isinstance(value, int | kind if kind is float else kind):
        return value
    raise ValueError(f"its `{name}` is not of the right kind")
