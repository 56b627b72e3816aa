"""snncc check: every finding, and whether the model compiles."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snncc.cli.compile import stock_only_option, target_option
from snncc.cli.errors import Command
from snncc.cli.model import Options, gather_options, model_options, open_model

if TYPE_CHECKING:
    from snncc.diagnostics import Finding

FORMATS = ("text", "json", "sarif", "junit", "github")

_IN_A_REPOSITORY = ("sarif", "github")


@click.command("check", cls=Command)
@click.argument("model", metavar="MODEL")
@target_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="How to print the findings.",
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."
)
@click.option("--strict", is_flag=True, help="An analog encoder on the host is an error.")
@stock_only_option
@model_options()
def command(
    model: str,
    target: str,
    form: str,
    output: Path | None,
    strict: bool,
    stock_only: bool,
    options: Options,
) -> None:
    """Say everything that stands between MODEL and a target.

    MODEL is a .pt or .pth file, or package.module:factory. Exits with 1 when there are errors, and
    with 2 when MODEL cannot be read. sarif, junit and github are for CI servers: they report a
    MODEL that cannot be opened as a finding too.
    """
    from snncc.diagnostics import SnnccError
    from snncc.diagnostics.render import FORMATS as RENDERERS

    try:
        findings = _findings(model, target, options, strict, stock_only)
    except SnnccError as error:
        if form in ("text", "json"):
            raise
        findings = error.findings
    if form in _IN_A_REPOSITORY:
        findings = tuple(_in_repository(findings, model))
    said = RENDERERS[form](findings, model).encode(errors="replace").decode()
    if output is None:
        click.echo(said)
    else:
        _write(output, said)
    if any(finding.is_error for finding in findings):
        click.get_current_context().exit(int(SnnccError(findings).exit_code))


def checked(arguments: Sequence[str]) -> tuple[Finding, ...]:
    """The findings of ``snncc check`` with these arguments.

    Raises SnnccError where the model cannot be read, click.UsageError for wrong arguments.
    """
    said = command.make_context("snncc check", list(arguments)).params
    for only_shown in ("form", "output"):
        said.pop(only_shown)
    return gather_options(_findings)(**said)


def _findings(
    model: str, target: str, options: Options, strict: bool, stock_only: bool
) -> tuple[Finding, ...]:
    opened = open_model(model, options)
    return opened.check(target, options, strict=strict, stock_only=stock_only).findings


def _write(path: Path, text: str) -> None:
    """The whole file or nothing. Raises SnnccError (SNN305) where it cannot be written."""
    from snncc.diagnostics import refuse

    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(f"{text}\n", encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        said = f"{path} cannot be written: {error.strerror}"
        raise refuse("SNN305", said, help="name a file in a folder that is there") from error


def _in_repository(findings: Iterable[Finding], model: str) -> Iterable[Finding]:
    """Files relative to the root of the repository that a CI server checked out, if inside it.

    What has no line of code is anchored to the file that MODEL is or comes from: servers drop
    results without a file.
    """
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    module, colon, _ = model.partition(":")
    origin = (getattr(sys.modules.get(module), "__file__", None) or "") if colon else model
    for finding in findings:
        file = finding.location.file or origin
        whole = Path(file).resolve()
        if file and whole.is_relative_to(root):
            file = str(whole.relative_to(root))
        yield replace(finding, location=replace(finding.location, file=file))
