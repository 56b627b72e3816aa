"""snncc check: every finding, and whether the model compiles."""

from __future__ import annotations

import click

from snncc.cli.compile import target_option
from snncc.cli.errors import Command
from snncc.cli.model import Options, model_options, open_model


@click.command("check", cls=Command)
@click.argument("model", metavar="MODEL")
@target_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the findings.",
)
@click.option("--strict", is_flag=True, help="An analog encoder on the host is an error.")
@model_options()
def command(model: str, target: str, form: str, strict: bool, options: Options) -> None:
    """Say everything that stands between MODEL and a target.

    MODEL is a .pt or .pth file, or package.module:factory. Exits with 1 when there are errors.
    """
    from snncc.diagnostics import SnnccError
    from snncc.diagnostics.render import as_json, text

    report = open_model(model, options).check(target, options, strict=strict)
    click.echo(as_json(report.findings) if form == "json" else text(report.findings))
    if not report.ok:
        click.get_current_context().exit(int(SnnccError(report.findings).exit_code))
