"""snncc explain: what a rule is about."""

from __future__ import annotations

import click

from snncc.cli.errors import Command


@click.command("explain", cls=Command)
@click.argument("code", metavar="CODE")
def command(code: str) -> None:
    """Say what a rule does, why it matters and what to do, as in `snncc explain SNN103`."""
    from snncc.diagnostics.render import explain

    click.echo(explain(code))
