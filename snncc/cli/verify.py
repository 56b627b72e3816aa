"""snncc verify: run the record of a proof again, on any machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snncc.cli.errors import Command
from snncc.cli.model import Shape, reading_options, said_of
from snncc.diagnostics import Exit


@click.command("verify", cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("model", metavar="[MODEL]", required=False)
@click.option("--weights", type=click.Path(), help="State dict for a package.module:factory.")
@click.option(
    "--allow", multiple=True, help="A class the .pt may hold, or its factory; repeatable."
)
@click.option("--input-shape", type=Shape(), help="Of a .nir: features of its input.")
@reading_options
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path,
    model: str | None,
    weights: str | None,
    allow: tuple[str, ...],
    input_shape: tuple[int, ...] | None,
    dt: float | None,
    discretise: Any,
    reset: Any,
    reset_when: Any,
) -> None:
    """Run the proof of the program in DIR again and compare it with its record.

    With MODEL, a file or package.module:factory, the proof begins at the module; without, at
    the recorded network. Exit code 1 where anything is not as recorded.
    """
    from snncc.certificate import verify
    from snncc.frontends.checkpoints import open_model

    module = None
    if model is not None:
        said = said_of(model, input_shape, dt, discretise, reset, reset_when)
        module = open_model(model, weights=weights, allow=allow, said=said).module
    same = True
    for line in verify(folder, module):
        mark = {True: "same", False: "DIFFERS", None: "-"}[line.same]
        click.echo(f"  {line.what:<34}{mark:<9}{line.said}")
        same &= line.same is not False
    click.echo(f"{folder} is {'what its record says' if same else 'NOT what its record says'}")
    ctx.exit(int(Exit.FINE if same else Exit.VIOLATIONS))
