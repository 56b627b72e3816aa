"""snncc check: every finding, and whether the model compiles."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snncc.cli.compile import stock_only_option, target_option, weight_bits_option
from snncc.cli.errors import Command, say
from snncc.cli.model import ModelOptions, gather_options, model_options, open_model

if TYPE_CHECKING:
    from snncc.diagnostics import Finding

FORMATS = ("text", "json", "sarif", "junit", "github")


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
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write them, the whole file or none of it.  [default: stdout]",
)
@click.option("--strict", is_flag=True, help="An analog encoder on the host is an error.")
@stock_only_option
@weight_bits_option
@model_options()
def command(
    model: str,
    target: str,
    form: str,
    output: Path | None,
    strict: bool,
    stock_only: bool,
    weight_bits: int | None,
    options: ModelOptions,
) -> None:
    """Say everything that stands between MODEL and a target.

    MODEL is a .pt, .pth, .pt2, .onnx, .nir or .net file, or package.module:factory. Exits with
    1 when there are errors, and with 2 when MODEL cannot be read, which is said on stderr too;
    every format but text is then still a whole document, so that a CI job has a report to
    upload.
    """
    from snncc.diagnostics import Exit, SnnccError
    from snncc.diagnostics.render import FORMATS as RENDERERS
    from snncc.diagnostics.render.repository import in_repository
    from snncc.diagnostics.render.text import summary

    for_people = form == "text" and output is None
    try:
        findings = _findings(model, target, options, strict, stock_only, weight_bits)
    except SnnccError as error:
        if for_people:
            raise
        findings = error.findings
    if form not in ("text", "json"):
        root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
        findings = in_repository(findings, root, _origin(model))
    said = RENDERERS[form](findings, model)
    if output is None:
        encoding = sys.stdout.encoding if for_people else "utf-8"
        click.echo(said.encode(encoding, errors="replace"))
    else:
        from snncc.ir.files import write_whole

        write_whole(output, f"{said}\n".encode(errors="replace"))
    errors = tuple(finding for finding in findings if finding.is_error)
    code = SnnccError(errors).exit_code if errors else Exit.FINE
    if code is Exit.BAD_INPUT and not for_people:
        say(finding for finding in errors if finding.makes_unreadable)
    elif output is not None:
        click.echo(f"{summary(findings)}, in {output}", err=True)
    click.get_current_context().exit(int(code))


def checked(arguments: Sequence[str]) -> tuple[Finding, ...]:
    """The findings of ``snncc check`` with these arguments.

    Raises SnnccError where the model cannot be read, click.UsageError for wrong arguments.
    """
    said = command.make_context("snncc check", list(arguments)).params
    for only_shown in ("form", "output"):
        said.pop(only_shown)
    return gather_options(_findings)(**said)


def _findings(
    model: str,
    target: str,
    options: ModelOptions,
    strict: bool,
    stock_only: bool,
    weight_bits: int | None,
) -> tuple[Finding, ...]:
    opened = open_model(model, options)
    chosen = opened.options(options, strict=strict, stock_only=stock_only, weight_bits=weight_bits)
    return opened.check(target, chosen).findings


def _origin(model: str) -> str:
    """The file that MODEL is or comes from, as far as it is known."""
    module, colon, _ = model.partition(":")
    return (getattr(sys.modules.get(module), "__file__", None) or "") if colon else model
