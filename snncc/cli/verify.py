"""snncc verify: run the record of a proof again, on any machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli.errors import Command
from snncc.cli.model import Shape, encode_options, reading_options, recordings_for, said_of
from snncc.diagnostics import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from snncc.certificate import Line
    from snncc.frontends.data.encoders import Encoder


@click.command("verify", cls=Command)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("model", metavar="[MODEL]", required=False)
@click.option("--weights", type=click.Path(), help="State dict for a package.module:factory.")
@click.option(
    "--allow", multiple=True, help="A class the .pt may hold, or its factory; repeatable."
)
@click.option("--input-shape", type=Shape(), help="Of a .nir: features of its input.")
@click.option(
    "--input",
    "source",
    metavar="DATA",
    help="With MODEL: recordings to compare the module and the program on, too; as of simulate.",
)
@click.option("--samples", type=click.IntRange(min=1), help="The first N of --input only.")
@encode_options
@reading_options
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path,
    model: str | None,
    weights: str | None,
    allow: tuple[str, ...],
    input_shape: tuple[int, ...] | None,
    source: str | None,
    samples: int | None,
    encode: Encoder | None,
    dt: float | None,
    discretise: Any,
    reset: Any,
    reset_when: Any,
) -> None:
    """Run the proof of the program in DIR again and compare it with its record.

    With MODEL, a file or package.module:factory, the proof begins at the module; without, at
    the recorded network. With --input the module and the program are also compared on recordings
    that the record does not have. Exit code 1 where anything is not as recorded.
    """
    from itertools import chain

    from snncc.certificate import on_recordings, verify
    from snncc.frontends.checkpoints import open_model
    from snncc.program import load

    if source is None and (samples is not None or encode is not None):
        raise click.UsageError("--samples, --encode and --seed go with --input")
    if source is not None and model is None:
        raise click.UsageError("--input goes with MODEL, which it is compared with")
    module: nn.Module | None = None
    more: Iterator[Line] = iter(())
    if model is not None:
        said = said_of(model, input_shape, dt, discretise, reset, reset_when)
        program = load(folder)
        said = replace(said, input=program.about.options.input)
        module = open_model(model, weights=weights, allow=allow, said=said).module
        if source is not None:
            data = ctx.with_resource(recordings_for(program, source, None, samples, encode))
            more = on_recordings(program, module, data)
    same = True
    for line in chain(verify(folder, module), more):
        mark = {True: "same", False: "DIFFERS", None: "-"}[line.same]
        click.echo(f"  {line.what:<34}{mark:<9}{line.said}")
        same &= line.same is not False
    click.echo(f"{folder} is {'what its record says' if same else 'NOT what its record says'}")
    ctx.exit(int(Exit.FINE if same else Exit.VIOLATIONS))
