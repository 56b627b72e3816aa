"""What a pass is: a frozen value with a name, options and one call (design, section 3)."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from types import MappingProxyType
from typing import Any, ClassVar

from snncc.diagnostics import Finding, refuse
from snncc.ir.graph import Graph
from snncc.ir.network import Network

Form = Graph | Network


@dataclass(frozen=True)
class Outcome:
    """What a pass made of its input.

    ``findings`` holds all it has to say; with an error among them ``form`` is not to be used.
    ``report`` holds plain values (numbers, names, lists) for the manifest. ``rest``: with an error
    among the findings, what of the form is still as it should be, so that a check goes on with it.
    """

    form: Form
    findings: tuple[Finding, ...] = ()
    report: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    rest: Form | None = None

    @property
    def ok(self) -> bool:
        return not any(finding.is_error for finding in self.findings)


@dataclass(frozen=True)
class Pass:
    """Base of all passes; the fields of a subclass are its options.

    ``reads`` and ``writes`` are the forms before and after. A field with ``repr=False`` holds data
    and is no option.
    """

    name: ClassVar[str]
    reads: ClassVar[type[Form]]
    writes: ClassVar[type[Form]]

    def __call__(self, form: Form) -> Outcome:
        raise NotImplementedError

    def __str__(self) -> str:
        """The spec that ``parse`` reads back: ``name{option=value,…}``, defaults left out."""
        chosen = [
            f"{f.name.replace('_', '-')}={getattr(self, f.name)}"
            for f in options(type(self))
            if getattr(self, f.name) != f.default
        ]
        return self.name + ("{" + ",".join(chosen) + "}" if chosen else "")


def options(cls: type[Pass]) -> tuple[Field[Any], ...]:
    """The fields of a pass that are its options."""
    return tuple(f for f in fields(cls) if f.repr)


@cache
def _installed() -> EntryPoints:
    """Reading what is installed takes longer than most passes."""
    return entry_points(group="snncc.passes")


def names() -> tuple[str, ...]:
    """All passes known here, built in or from other packages."""
    return tuple(sorted(entry.name for entry in _installed()))


def find(name: str) -> type[Pass]:
    """The pass of that name. Raises SnnccError (SNN313)."""
    for entry in _installed().select(name=name):
        found: type[Pass] = entry.load()
        return found
    raise refuse("SNN313", f"there is no pass {name!r}; there are {', '.join(names())}")


def parse(spec: str) -> Pass:
    """The pass a spec such as ``fold-bn{into=weights}`` names. Raises SnnccError (SNN313, 316)."""
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\{(.*)\})?\s*", spec)
    if not found:
        raise refuse("SNN316", f"{spec!r} is not of the form name{{option=value}}")
    cls = find(found[1])
    known = {f.name: f for f in options(cls)}
    chosen: dict[str, object] = {}
    for part in filter(None, (found[2] or "").split(",")):
        key, _, text = part.partition("=")
        key = key.strip().replace("-", "_")
        if key not in known:
            raise refuse("SNN316", f"pass {cls.name} has no option {key!r}")
        if isinstance(known[key].default, str):
            chosen[key] = text.strip()
            continue
        try:
            chosen[key] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError):
            raise refuse(
                "SNN316", f"{text.strip()!r} is no value for {key} of {cls.name}"
            ) from None
    return cls(**chosen)
