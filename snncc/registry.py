"""Parts of snncc, its own and those of other packages, by entry point; and the text that names one.

A part is registered in the group of its kind: ``name = "module:object"``, imported when the name is
used. A part with options is a frozen dataclass whose fields are the options, and its *spec*,
``name{option=value,…}``, is read back to an equal one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import Field, fields
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import Any

from snncc.diagnostics import refuse

PASSES, BACKENDS, TARGETS = "snncc.passes", "snncc.backends", "snncc.targets"

KINDS: Mapping[str, str] = {PASSES: "pass", BACKENDS: "backend", TARGETS: "target"}
"""The groups, and what one part of each is called."""


@cache
def installed(group: str) -> EntryPoints:
    """The parts of a group. Reading what is installed takes long, so it is done once."""
    return entry_points(group=group)


def names(group: str) -> tuple[str, ...]:
    """The names of all parts of a group, sorted."""
    return tuple(sorted(installed(group).names))


def find(group: str, name: str) -> Any:
    """The part of that name.

    Raises SnnccError: SNN313 where there is none, SNN316 where two packages have one of that name,
    SNN317 where its package cannot be imported.
    """
    kind, found = KINDS[group], list(installed(group).select(name=name))
    if not found:
        raise refuse("SNN313", f"there is no {kind} {name!r}; there are {', '.join(names(group))}")
    if len({entry.value for entry in found}) > 1:
        packages = " and ".join(sorted(entry.dist.name for entry in found if entry.dist))
        said = f"more than one package has a {kind} {name!r}: {packages}"
        raise refuse("SNN316", said, help="uninstall all but one of them")
    try:
        return found[0].load()
    except Exception as error:  # what a package of others does when it is imported
        why = f"{type(error).__name__}: {error}"
        said = f"the {kind} {name!r} cannot be imported from {found[0].value}: {why}"
        raise refuse("SNN317", said, help="install its package again, with what it needs") from None


def options(part: Any) -> tuple[Field[Any], ...]:
    """The options of a part: its fields, but for those with ``repr=False``, which hold data."""
    return tuple(f for f in fields(part) if f.repr)


def with_known(part: Any, given: Mapping[str, object]) -> dict[str, object]:
    """What of ``given`` are fields of the part."""
    return {f.name: given[f.name] for f in fields(part) if f.name in given}


def spec(name: str, part: Any) -> str:
    """The text that `parse` reads back; options that have their default are left out."""
    chosen = [
        f"{f.name.replace('_', '-')}={getattr(part, f.name)}"
        for f in options(part)
        if getattr(part, f.name) != f.default
    ]
    return name + ("{" + ",".join(chosen) + "}" if chosen else "")


def parse(group: str, text: str) -> Any:
    """The part that a spec names, with its options. Raises SnnccError as `find` does, and SNN316.

    An option whose default is a string is taken as it stands, any other is a Python literal.
    """
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\{(.*)\})?\s*", text)
    if not found:
        raise refuse("SNN316", f"{text!r} is not of the form name{{option=value}}")
    name, kind, cls = found[1], KINDS[group], find(group, found[1])
    known = {f.name: f for f in options(cls)}
    chosen: dict[str, object] = {}
    for part in filter(None, (found[2] or "").split(",")):
        key, _, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if key not in known:
            raise refuse("SNN316", f"{kind} {name} has no option {key!r}")
        if isinstance(known[key].default, str):
            chosen[key] = value.strip()
            continue
        try:
            chosen[key] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            raise refuse("SNN316", f"{value.strip()!r} is no value for {key} of {name}") from None
    return cls(**chosen)
