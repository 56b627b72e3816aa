"""What the compiler has to say to a user: findings, and the exception that carries them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from snncc.diagnostics.rules import RULES, Severity


class Exit(IntEnum):
    """Process exit codes (design, section 6)."""

    FINE = 0
    VIOLATIONS = 1
    BAD_INPUT = 2
    INTERNAL = 70
    INTERRUPTED = 130


@dataclass(frozen=True)
class Location:
    """Where a finding points: a module path, the source line that ran, or a file's own node."""

    module: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        source = f"{self.file}:{self.line}" if self.file else ""
        if self.module and source:
            return f"{self.module} ({source})"
        return self.module or source


@dataclass(frozen=True)
class Finding:
    """One rule that fired at one place.

    ``message`` says what and where, ``help`` what to do; both default to the rule's own text.
    """

    code: str
    message: str
    location: Location = Location()
    node: str = ""
    help: str = ""

    def __post_init__(self) -> None:
        rule = RULES[self.code]
        if not self.help:
            object.__setattr__(self, "help", rule.help)

    @property
    def severity(self) -> Severity:
        return RULES[self.code].severity

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    @property
    def makes_unreadable(self) -> bool:
        """Whether the input cannot be used at all, whatever else is right with it."""
        return self.is_error and self.code.startswith("SNN3")

    def at(self, location: Location, node: str = "") -> Finding:
        """The same finding, anchored where it had no anchor yet."""
        return replace(
            self,
            location=self.location if str(self.location) else location,
            node=self.node or node,
        )

    def __str__(self) -> str:
        place = str(self.location) or self.node
        where = f" at {place}" if place else ""
        return f"{self.code}{where}: {self.message}; {self.help}"


class SnnccError(Exception):
    """The edge between values and the outside: one or more findings that stop the work.

    ``exit_code`` is 1 when the network breaks a rule, 2 when the input cannot be used.
    """

    def __init__(self, findings: Finding | Iterable[Finding]) -> None:
        self.findings = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

    @property
    def exit_code(self) -> Exit:
        cannot_be_read = any(finding.makes_unreadable for finding in self.findings)
        return Exit.BAD_INPUT if cannot_be_read else Exit.VIOLATIONS


def refuse(code: str, message: str, location: Location = Location(), **more: str) -> SnnccError:
    """The error to raise for a single finding."""
    return SnnccError(Finding(code, message, location, **more))
