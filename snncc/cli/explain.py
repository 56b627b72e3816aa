"""snncc explain: what a rule is about."""

from __future__ import annotations

import click

from snncc.cli.errors import Command


@click.command("explain", cls=Command)
@click.argument("code", metavar="[CODE]", required=False)
def command(code: str | None) -> None:
    """Say what a rule does, why it matters and what to do, as in `snncc explain SNN103`.

    Without CODE, list all rules by chapter.
    """
    from snncc.diagnostics.render import explain, listed

    click.echo(listed() if code is None else explain(code))
