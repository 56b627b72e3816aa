"""snncc targets: what a network can be compiled for."""

from __future__ import annotations

import click

from snncc.cli.errors import Command


@click.command("targets", cls=Command)
@click.argument("names", nargs=-1, metavar="[NAME|FILE.toml]...")
def command(names: tuple[str, ...]) -> None:
    """List the targets, their backends and what is known of the hardware.

    With names or chip files those alone; a file is read and checked, nothing else.
    """
    from snncc.targets import target as find_target
    from snncc.targets import targets

    for target in [find_target(name) for name in names] or targets():
        click.echo(f"{target.name}: {target.title}")
        click.echo(f"  backends  {', '.join(target.backends)}")
        click.echo(f"  passes    {', '.join(target.passes) or 'none of its own'}")
        for known in target.constants:
            click.echo(f"  {known.name:<16}  {known.value:,.10g} {known.unit} ({known.source})")
        if target.chip:
            assumed, of = len(target.chip.assumed), len(target.chip.sources)
            click.echo(f"  {assumed} of {of} constants are assumed, the others have a source")
