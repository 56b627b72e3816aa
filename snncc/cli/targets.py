"""snncc targets: what a network can be compiled for."""

from __future__ import annotations

import click

from snncc.cli.errors import Command


@click.command("targets", cls=Command)
def command() -> None:
    """List the targets, their backends and what is known of the hardware."""
    from snncc.targets import targets

    for target in targets():
        click.echo(f"{target.name}: {target.title}")
        click.echo(f"  backends  {', '.join(target.backends)}")
        click.echo(f"  passes    {', '.join(target.passes) or 'none of its own'}")
        for known in target.constants:
            click.echo(f"  {known.name:<16}  {known.value:,.10g} {known.unit} ({known.source})")
