"""The pytest plugin: a model named to ``pytest --snncc-check`` is one more test.

Its argument is what `snncc check` takes, as one word for the shell. Nothing is imported, torch
least of all, before such a test runs.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from snncc.diagnostics import Finding


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("snncc").addoption(
        "--snncc-check",
        action="append",
        default=[],
        metavar="'MODEL [OPTION ...]'",
        help="Run `snncc check MODEL [OPTION ...]` as a test; repeatable.",
    )
    parser.addini("snncc_check", "Models to check, a line each, as --snncc-check takes them.",
                  type="linelist", default=[])  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    said = [*config.getini("snncc_check"), *config.getoption("snncc_check")]
    for line in dict.fromkeys(said):
        items.append(ModelCheck.from_parent(session, name=f"snncc check {line}", line=line))


class NotSpikeOnly(Exception):
    """A model with errors."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(findings)
        self.findings = findings


class ModelCheck(pytest.Item):
    """`snncc check` of one model."""

    def __init__(self, *, line: str, **known: Any) -> None:
        super().__init__(**known)
        self._line = line

    def runtest(self) -> None:
        from snncc.cli.check import checked
        from snncc.diagnostics.render import text

        findings = checked(shlex.split(self._line))
        if any(finding.is_error for finding in findings):
            raise NotSpikeOnly(findings)
        if findings:
            self.add_report_section("call", "snncc", text(findings))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        import click

        from snncc.diagnostics import SnnccError
        from snncc.diagnostics.render import text

        match excinfo.value:
            case NotSpikeOnly(findings=findings) | SnnccError(findings=findings):
                return text(findings)
            case click.ClickException() as error:
                return f"{self.name}: {error.format_message()}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name
