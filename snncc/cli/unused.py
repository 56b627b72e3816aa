"""Options that would change nothing are refused: whoever gives one expects something of it."""

from __future__ import annotations

from collections.abc import Collection

import click
from click.core import ParameterSource


def refuse_unused(names: Collection[str], why: str) -> None:
    """Raise click.UsageError if one of the parameters ``names`` stands on the command line.

    ``why`` goes on from its name: "--level" "belongs to --backend cycle". A default from the
    environment is for all commands and is passed over.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in names and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = max(parameter.opts, key=len)
            raise click.UsageError(f"{option} {why}")
