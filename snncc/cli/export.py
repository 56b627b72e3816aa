"""snncc export: a network in the format of another tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from snncc.cli.compile import target_option, weight_bits_option
from snncc.cli.errors import Command
from snncc.cli.model import Options, model_options, open_model, recordings_for, there

if TYPE_CHECKING:
    from snncc.program import Program


@dataclass(frozen=True)
class Order:
    """What to write, and where."""

    program: Program
    name: str
    output: Path
    form: str
    dtype: str
    data_path: Path | None


def _onnx(order: Order) -> str:
    """One file, from the spike-only network or from the network as it was traced."""
    import json

    from snncc.backends.onnx import export
    from snncc.diagnostics import refuse

    if order.data_path is not None:
        raise refuse("SNN316", "--data goes with --format sanafe", help="leave it out")
    program = order.program
    about = {"org.snncc.target": program.target}
    source = program.about.get("source") or {}
    about |= {f"org.snncc.source.{name}": str(value) for name, value in source.items()}
    if program.scheduled is not None and program.scheduled.levels is not None:
        about["org.snncc.levels"] = json.dumps(dict(program.scheduled.levels), sort_keys=True)
    what = program.network if order.form == "network" else program.graph
    written = export(what, order.output, dtype=order.dtype, about=about)
    said = f"{order.output}: {order.form} in {order.dtype}, {written.bytes / 1e6:.1f} MB"
    if written.rounded:
        said += f"; {len(written.rounded)} tensors are rounded to {order.dtype}"
    return said


def _sanafe(order: Order) -> str:
    """architecture.yaml and network.yaml in a folder, from a program with its mapping."""
    from snncc.backends.sanafe import export
    from snncc.diagnostics import refuse
    from snncc.targets import target

    compiled = order.program
    chip = target(compiled.target).chip
    network = compiled.scheduled
    if network is None or network.mapping is None or chip is None:
        raise refuse(
            "SNN316",
            f"{order.name} is compiled for {compiled.target} and lies on no cores",
            help="compile it for loihi1, loihi2 or a chip file",
        )
    inputs = {}
    if order.data_path is not None:
        with recordings_for(compiled, order.data_path, None) as recordings:
            values = compiled.arrange(recordings.take(0, 1))
        steps = compiled.graph.time_steps or 1
        for source in network.sources:
            inputs[source.name] = values[source.name].expand(steps, 1, *source.shape)[:, 0].numpy()
    try:
        export(network, network.mapping, chip, order.output, inputs)
    except OSError as error:
        raise refuse(
            "SNN305",
            f"{order.output} cannot be written: {error.strerror or error}",
            help="choose a folder that can be written to",
        ) from error
    return f"{order.output}: architecture.yaml, network.yaml"


WRITERS: Mapping[str, Callable[[Order], str]] = {"onnx": _onnx, "sanafe": _sanafe}
"""The one place that knows which format is written by what; each says what it wrote."""


@click.command("export", cls=Command)
@click.argument("what", metavar="DIR|MODEL", callback=there)
@click.option(
    "--format",
    "form_of_file",
    type=click.Choice(list(WRITERS)),
    required=True,
    help="onnx: a file that onnxruntime runs; sanafe: architecture.yaml and network.yaml for "
    "SANA-FE 2.2.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    required=True,
    help="What to write: a file (onnx) or a folder (sanafe).",
)
@click.option(
    "--form",
    type=click.Choice(["network", "graph"]),
    default="network",
    show_default=True,
    help="onnx: the spike-only network, or the network as it was traced.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="onnx: the type of its numbers; onnxruntime has no convolutions in float64.",
)
@click.option(
    "--data",
    "data_path",
    type=click.Path(path_type=Path),
    metavar="DATA.npz",
    help="sanafe: recordings, of which the first is the input.  [default: silence]",
)
@click.option("--input", "said_input", metavar="KIND|DATA.npz", help="Of a MODEL, what its values "
              "are; with a DIR and sanafe, the same as --data.")  # fmt: skip
@target_option
@weight_bits_option
@model_options(kind=False)
def command(
    what: str,
    form_of_file: str,
    output: Path,
    form: str,
    dtype: str,
    data_path: Path | None,
    said_input: str | None,
    target: str,
    weight_bits: int | None,
    options: Options,
) -> None:
    """Write a compiled program, or a MODEL that is compiled for it, for another tool."""
    from dataclasses import replace

    from snncc.diagnostics import refuse
    from snncc.frontends.data import InputKind
    from snncc.program import load

    if said_input in get_args(InputKind):
        options = replace(options, input=cast("InputKind", said_input))
    elif said_input is not None and data_path is None:
        data_path = Path(said_input)
    if Path(what).is_dir():
        if weight_bits is not None:
            said = f"{what} is compiled already, and --weight-bits is said when it is"
            raise refuse("SNN316", said, help="leave --weight-bits out")
        program = load(what)
    else:
        opened = open_model(what, options)
        program = opened.compile(target, options, weight_bits=weight_bits)
    click.echo(WRITERS[form_of_file](Order(program, what, output, form, dtype, data_path)))
