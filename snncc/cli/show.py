"""snncc show: a network as text, as a graph for Graphviz, or as a page."""

from __future__ import annotations

from pathlib import Path

import click

from snncc.cli.compile import target_option
from snncc.cli.errors import Command
from snncc.cli.model import ModelOptions, model_options, open_model, refuse_model_options, there


@click.command("show", cls=Command)
@click.argument("what", metavar="DIR|MODEL", callback=there)
@click.option(
    "--form",
    type=click.Choice(["network", "scheduled", "graph"]),
    default="network",
    show_default=True,
    help="Spike-only, as the target runs it, or as it was traced.",
)
@click.option(
    "--format",
    "language",
    type=click.Choice(["text", "dot", "html"]),
    default="text",
    show_default=True,
    help="The text form, the language of Graphviz, or the report of the program as one page.",
)
@target_option
@model_options()
def command(what: str, form: str, language: str, target: str, options: ModelOptions) -> None:
    """Print a compiled program or a model."""
    from snncc import report
    from snncc.ir.dot import dot
    from snncc.ir.text import print_graph, print_network
    from snncc.program import load, processes_of, sections

    processes = None
    if Path(what).is_dir():
        refuse_model_options(what, "target")
        program, processes = load(what), processes_of(Path(what))
    else:
        opened = open_model(what, options)
        program = opened.compile(target, opened.options(options), verify=False)
    if language == "html":
        text = report.page(sections.title(program), sections.sections(program, processes))
        click.echo(text, nl=False)
        return
    if form == "graph":
        click.echo((dot if language == "dot" else print_graph)(program.graph), nl=False)
        return
    network = program.network if form == "network" else program.scheduled
    if network is None:
        from snncc.diagnostics import refuse

        raise refuse(
            "SNN316",
            f"{what} is for {program.target}, which needs no schedule",
            help="leave --form scheduled out",
        )
    click.echo((dot if language == "dot" else print_network)(network), nl=False)
