"""The command line: one file per command. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import importlib

import click

from snncc.cli.errors import Guarded

COMMANDS = (
    "init",
    "compile",
    "check",
    "simulate",
    "verify",
    "export",
    "convert",
    "show",
    "explain",
    "targets",
    "passes",
    "lava",
)


class Commands(Guarded, click.Group):
    """The commands in the order of their use, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"snncc.cli.{name}").command
        assert isinstance(command, click.Command)
        return command


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"snncc {version('snncc')}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version and exit.",
)
def main() -> None:
    """Take a trained full-spike network to neuromorphic hardware.

    Exit codes: 0 fine, 1 violations found or outputs differ, 2 bad input or usage, 70 a bug of
    ours, 130 interrupted.
    """
