"""What a pass is: a frozen value with a name, options and one call (design, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from snncc import parts
from snncc.diagnostics import Finding
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
        return parts.spec(self.name, self)


def options(cls: type[Pass]) -> tuple[Field[Any], ...]:
    """The fields of a pass that are its options."""
    return parts.options(cls)


def names() -> tuple[str, ...]:
    """All passes known here, built in or from other packages."""
    return parts.names(parts.PASSES)


def find(name: str) -> type[Pass]:
    """The pass of that name. Raises SnnccError as `snncc.parts.find` does."""
    found: type[Pass] = parts.find(parts.PASSES, name)
    return found


def parse(spec: str) -> Pass:
    """The pass a spec such as ``fold-bn{into=weights}`` names. Raises SnnccError (SNN313, 316)."""
    found: Pass = parts.parse(parts.PASSES, spec)
    return found
