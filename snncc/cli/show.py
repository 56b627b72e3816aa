"""snncc show: a network as text."""

from __future__ import annotations

from pathlib import Path

import click

from snncc.cli.compile import target_option
from snncc.cli.errors import Command
from snncc.cli.model import Options, model_options, open_model, refuse_model_options, there


@click.command("show", cls=Command)
@click.argument("what", metavar="DIR|MODEL", callback=there)
@click.option(
    "--form",
    type=click.Choice(["network", "scheduled", "graph"]),
    default="network",
    show_default=True,
    help="Spike-only, as the target runs it, or as it was traced.",
)
@target_option
@model_options()
def command(what: str, form: str, target: str, options: Options) -> None:
    """Print the text form of a compiled program or of a model."""
    from snncc.ir.text import print_graph, print_network
    from snncc.program import load

    if Path(what).is_dir():
        refuse_model_options(what, "target")
        program = load(what)
    else:
        program = open_model(what, options).compile(target, options, verify=False)
    if form == "graph":
        click.echo(print_graph(program.graph), nl=False)
        return
    network = program.network if form == "network" else program.scheduled
    if network is None:
        from snncc.diagnostics import refuse

        raise refuse(
            "SNN316",
            f"{what} is for {program.target}, which needs no schedule",
            help="leave --form scheduled out",
        )
    click.echo(print_network(network), nl=False)
