"""What a pass is: a frozen value with a name, options and one call (design, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, get_args

from snncc import registry
from snncc.diagnostics import Finding
from snncc.ir.graph import Graph
from snncc.ir.network import Network
from snncc.options import Options
from snncc.reports import Report, Unknown
from snncc.targets import Target

if TYPE_CHECKING:
    from snncc.ir.interpreter import Value

Form = Graph | Network
"""What a pass may read or write: a Graph, or a Network in any of its stages (`ir.stages`)."""

Before = TypeVar("Before", bound=Form, contravariant=True)
After = TypeVar("After", bound=Form, covariant=True)


@dataclass(frozen=True)
class Outcome(Generic[After]):
    """What a pass made of its input.

    ``findings`` holds all it has to say; with an error among them ``form`` is None, or not to be
    used. ``report`` holds the numbers for the manifest and the pages. ``rest``: with an error among
    the findings, what of the form is still as it should be, so that a check goes on with it.
    """

    form: After | None
    findings: tuple[Finding, ...] = ()
    report: Report | None = None
    rest: Form | None = None

    @property
    def ok(self) -> bool:
        return not any(finding.is_error for finding in self.findings)


def refused(findings: Iterable[Finding], rest: Form | None = None) -> Outcome[Any]:
    """The outcome of a pass that found errors."""
    return Outcome(None, tuple(findings), rest=rest)


@dataclass(frozen=True)
class Pass(Generic[Before, After]):
    """Base of all passes; the fields of a subclass are its options.

    ``Pass[Before, After]`` says the forms that it ``reads`` and ``writes``: `Graph`, `Network`,
    `Scheduled` or `Mapped`. A field with ``repr=False`` holds data and is no option. ``summary``
    is one sentence for `snncc passes`, ``reports`` the type of its report, where it makes one.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    reads: ClassVar[type[Form]]
    writes: ClassVar[type[Form]]
    reports: ClassVar[type[Report]] = Unknown

    def __init_subclass__(cls) -> None:
        for base in vars(cls).get("__orig_bases__", ()):
            if len(forms := get_args(base)) == 2:
                cls.reads, cls.writes = forms

    @classmethod
    def chosen(cls, options: Options, target: Target) -> Self:
        """The pass as a compilation with these options for this target runs it."""
        return cls()

    def calibrated(self, inputs: Mapping[str, Value]) -> Self:
        """The pass as it measures on ``inputs``, by node, where it measures anything."""
        return self

    def __call__(self, form: Before) -> Outcome[After]:
        raise NotImplementedError

    def __str__(self) -> str:
        """The spec that ``parse`` reads back: ``name{option=value,…}``, defaults left out."""
        return registry.spec(self.name, self)


AnyPass = Pass[Any, Any]
"""A pass, whatever it reads and writes."""


def options(cls: type[AnyPass]) -> tuple[Field[Any], ...]:
    """The fields of a pass that are its options."""
    return registry.options(cls)


def names() -> tuple[str, ...]:
    """All passes known here, built in or from other packages."""
    return registry.names(registry.PASSES)


def find(name: str) -> type[AnyPass]:
    """The pass of that name. Raises SnnccError as `snncc.registry.find` does."""
    found: type[AnyPass] = registry.find(registry.PASSES, name)
    return found


def parse(spec: str) -> AnyPass:
    """The pass a spec such as ``fold-bn{into=weights}`` names. Raises SnnccError (SNN313, 316)."""
    found: AnyPass = registry.parse(registry.PASSES, spec)
    return found
