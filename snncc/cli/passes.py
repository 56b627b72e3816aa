"""snncc passes: what a compilation goes through."""

from __future__ import annotations

import inspect
import re

import click

from snncc.cli.errors import Command


@click.command("passes", cls=Command)
@click.option("--target", help="Only the passes of this target, in order.")
def command(target: str | None) -> None:
    """List the passes, their options and the forms they read and write."""
    from snncc.passes.base import find, names, options
    from snncc.pipeline import frontend_passes, target_passes

    listed = list(names())
    if target is not None:
        chosen = [*frontend_passes(), *target_passes(target)]
        listed = [each.name for each in chosen]
    for name in listed:
        each = find(name)
        fields = ", ".join(f"{f.name.replace('_', '-')}={f.default}" for f in options(each))
        click.echo(f"{name}{'{' + fields + '}' if fields else ''}")
        about = inspect.getdoc(inspect.getmodule(each)) or inspect.getdoc(each) or ""
        first = re.sub(r"^[\w-]+: |(Graph|Network) → \w+[,;.]? ?", "", about.partition("\n")[0])
        forms = f"{each.reads.__name__} → {each.writes.__name__}"
        click.echo(f"  {forms}{': ' if first else ''}{first}")
