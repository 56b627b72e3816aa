"""snncc passes: what a compilation goes through."""

from __future__ import annotations

import inspect
import textwrap

import click

from snncc.cli.errors import Command, is_told


@click.command("passes", cls=Command)
@click.option("--target", help="Only the passes of this target, in order.")
def command(target: str | None) -> None:
    """List the passes, their options and the forms they read and write.

    With --verbose the rules of each pass, numbered as in its code.
    """
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
        click.echo(f"  {each.reads.__name__} → {each.writes.__name__}: {each.summary}")
        if is_told("verbose"):
            of_module = inspect.getdoc(inspect.getmodule(each)) or ""
            rules = of_module.partition("\n")[2].strip(), inspect.getdoc(each) or ""
            for text in filter(None, rules):
                click.echo("\n" + textwrap.indent(text, "    "))
            click.echo()
