"""snncc lava: the interpreter that Lava needs for itself."""

from __future__ import annotations

import click

from snncc.cli.errors import Command


@click.group("lava")
def command() -> None:
    """Look after Lava's own interpreter."""


@command.command("setup", cls=Command)
def setup() -> None:
    """Install lava-nc in an environment of its own, which needs a Python 3.10 (300 MB, once)."""
    from snncc.backends.loihi.interpreter import set_up

    click.echo(f"Lava's interpreter: {set_up()}")
