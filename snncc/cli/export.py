"""snncc export: a compiled program in the format of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snncc.cli.errors import Command
from snncc.cli.model import recordings_for


@click.command("export", cls=Command)
@click.argument("program", metavar="PROGRAM", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["sanafe"]),
    required=True,
    help="sanafe: architecture.yaml and network.yaml for SANA-FE 2.2.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    required=True,
    help="Where to write the files.",
)
@click.option(
    "--input",
    "data_path",
    type=click.Path(path_type=Path),
    metavar="DATA.npz",
    help="Recordings, of which the first is the input.  [default: silence]",
)
def command(program: Path, form: Any, output: Path, data_path: Path | None) -> None:
    """Write a PROGRAM that was compiled for a chip, with its mapping, for another tool."""
    from snncc.backends.sanafe import export
    from snncc.diagnostics import refuse
    from snncc.program import load
    from snncc.targets import target

    compiled = load(program)
    chip = target(compiled.target).chip
    network = compiled.scheduled
    if network is None or network.mapping is None or chip is None:
        raise refuse(
            "SNN316",
            f"{program} is compiled for {compiled.target} and lies on no cores",
            help="compile it for loihi1, loihi2 or a chip file",
        )
    inputs = {}
    if data_path is not None:
        with recordings_for(compiled, data_path, None) as recordings:
            values = compiled.arrange(recordings.take(0, 1))
        steps = compiled.graph.time_steps or 1
        for source in network.sources:
            inputs[source.name] = values[source.name].expand(steps, 1, *source.shape)[:, 0].numpy()
    try:
        export(network, network.mapping, chip, output, inputs)
    except OSError as error:
        raise refuse(
            "SNN305",
            f"{output} cannot be written: {error.strerror or error}",
            help="choose a folder that can be written to",
        ) from error
    click.echo(f"{output}: architecture.yaml, network.yaml")
