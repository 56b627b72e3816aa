"""The pytest plugin: a model named to ``pytest --snncc-check`` is one more test.

Its argument is what `snncc check` takes, as one word for the shell; the test is called
``snncc::MODEL``, with the options in brackets where a model is named more than once. The models of
the option ``snncc_check`` of the ini file are left out where pytest is told single files or tests.
Nothing is imported, torch least of all, before such a test runs.
"""

from __future__ import annotations

import shlex
from collections import Counter
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
    parser.addini(
        "snncc_check",
        "Models to check, a line each, as --snncc-check takes them.",
        type="linelist",
        default=[],
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    said = [*_of_the_ini_file(config), *config.getoption("snncc_check")]
    lines = dict.fromkeys(said)
    named = Counter(_model(line) for line in lines)
    for line in lines:
        model, options = _model(line), line.partition(" ")[2]
        name = f"{model}[{options}]" if named[model] > 1 else model
        items.append(ModelCheck.from_parent(session, name=name, nodeid=f"snncc::{name}", line=line))


def _of_the_ini_file(config: pytest.Config) -> list[str]:
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    folders = all((config.invocation_params.dir / name).is_dir() for name in named)
    lines: list[str] = config.getini("snncc_check") if folders else []
    return lines


def _model(line: str) -> str:
    return line.partition(" ")[0]


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
        import click

        from snncc.cli.check import checked
        from snncc.diagnostics.render import text

        try:
            words = shlex.split(self._line)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        findings = checked(words)
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
                return f"{self._line}: {error.format_message()}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"snncc check {self._line}"
