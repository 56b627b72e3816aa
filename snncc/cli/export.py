"""snncc export: a network in the format of another tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import click

from snncc.cli.compile import target_option, weight_bits_option
from snncc.cli.errors import Command
from snncc.cli.model import (
    ModelOptions,
    encode_options,
    model_options,
    open_model,
    reads_equations,
    recordings_for,
    refuse_model_options,
    there,
)
from snncc.cli.unused import refuse_unused

if TYPE_CHECKING:
    from snncc.frontends.data.encoders import Encoder
    from snncc.program import Program

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Order:
    """What to write, and where."""

    program: Program
    name: str
    output: Path
    form: str
    dtype: str
    data: str | None
    encode: Encoder | None
    reader: str = "any"
    dt: float | None = None


def _onnx(order: Order) -> str:
    """One file, from the spike-only network or from the network as it was traced."""
    import json

    from snncc.backends.onnx import export
    from snncc.diagnostics import refuse

    if order.data is not None:
        raise refuse("SNN316", "--data goes with --format sanafe", help="leave it out")
    program = order.program
    about = {"org.snncc.target": program.target}
    about |= {f"org.snncc.source.{name}": value for name, value in program.about.source.items()}
    if program.scheduled is not None:
        about["org.snncc.levels"] = json.dumps(dict(program.scheduled.levels), sort_keys=True)
    what = program.network if order.form == "network" else program.graph
    written = export(what, order.output, dtype=order.dtype, about=about)
    said = f"{order.output}: {order.form} in {order.dtype}, {written.bytes / 1e6:.1f} MB"
    if written.rounded:
        said += f"; {len(written.rounded)} tensors are rounded to {order.dtype}"
    return said


def _nir(order: Order) -> str:
    """One file; it is read again, and takes its place if not one spike differs."""
    import torch

    from snncc.backends.nir import export
    from snncc.cli.errors import say
    from snncc.diagnostics import refuse
    from snncc.frontends.torch import Recording
    from snncc.verification.files import held_against
    from snncc.verification.probes import arranged, for_passes, probes

    if order.data is not None:
        raise refuse("SNN316", "--data goes with --format sanafe", help="leave it out")
    program = order.program
    what = program.network if order.form == "network" else program.graph
    unproved = order.output.with_name(f".unproved-{order.output.name}.nir")
    try:
        written = export(what, unproved, reader=order.reader, dt=order.dt)
        example = torch.as_tensor(program.inputs["example"])
        calls = for_passes(probes(Recording(program.graph), example))
        (inputs,) = arranged(program.graph, calls).values()
        found = held_against(what, unproved, inputs)
        unproved.replace(order.output)
    finally:
        unproved.unlink(missing_ok=True)
    say(written.notes)
    return (
        f"{order.output}: {order.form}, {written.bytes / 1e6:.1f} MB; read again, "
        f"{found.compared:,} spikes compared, 0 differ"
    )


def _sanafe(order: Order) -> str:
    """architecture.yaml and network.yaml in a folder, from a program with its mapping."""
    from snncc.backends.sanafe import export
    from snncc.diagnostics import refuse
    from snncc.ir.stages import Mapped
    from snncc.targets import target

    compiled = order.program
    chip = target(compiled.target).chip
    network = compiled.scheduled
    if not isinstance(network, Mapped) or chip is None:
        raise refuse(
            "SNN316",
            f"{order.name} is compiled for {compiled.target} and lies on no cores",
            help="compile it for loihi1, loihi2 or a chip file",
        )
    inputs = {}
    if order.data is not None:
        with recordings_for(compiled, order.data, None, 1, order.encode) as recordings:
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


WRITERS: Mapping[str, Callable[[Order], str]] = {"onnx": _onnx, "nir": _nir, "sanafe": _sanafe}
"""The one place that knows which format is written by what; each says what it wrote."""


def writing_options(function: F) -> F:
    """How the numbers of a file are written, and for whom."""
    wrapped: Any = function
    for each in (
        click.option(
            "--for",
            "reader",
            type=click.Choice(["any", "snntorch", "spikingjelly", "norse", "sinabs"]),
            default="any",
            show_default=True,
            help="nir: the tool that will read the file; what it would run as another network is "
            "refused.",
        ),
        click.option(
            "--dtype",
            type=click.Choice(["float32", "float64"]),
            default="float32",
            show_default=True,
            help="onnx: the type of its numbers; onnxruntime has no convolutions in float64.",
        ),
    ):
        wrapped = each(wrapped)
    result: F = wrapped
    return result


def own_step(
    options: ModelOptions, source: str, *, to_nir: bool
) -> tuple[ModelOptions, float | None]:
    """What is left to say of MODEL, and --dt for a NIR file that is written from it.

    Of a MODEL that is a NIR file, --dt is of both.
    """
    if not to_nir or options.dt is None or reads_equations(source):
        return options, options.dt if to_nir else None
    return replace(options, dt=None), options.dt


_OF_FORMATS = {
    "form": ("onnx", "nir"), "dtype": ("onnx",), "reader": ("nir",), "data": ("sanafe",),
}  # fmt: skip
"""The formats that an option is for."""


@click.command("export", cls=Command)
@click.argument("what", metavar="DIR|MODEL", callback=there)
@click.option(
    "--format",
    "form_of_file",
    type=click.Choice(list(WRITERS)),
    required=True,
    help="onnx: a file that onnxruntime runs; nir: a file that the frameworks read; sanafe: "
    "architecture.yaml and network.yaml for "
    "SANA-FE 2.2.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    required=True,
    help="What to write: a file (onnx, nir) or a folder (sanafe).",
)
@click.option(
    "--form",
    type=click.Choice(["network", "graph"]),
    default="network",
    show_default=True,
    help="onnx, nir: the spike-only network, or the network as it was traced.",
)
@writing_options
@click.option(
    "--data",
    metavar="DATA",
    help="sanafe: recordings, of which the first is the input.  [default: silence]",
)
@click.option("--input", "said_input", metavar="KIND|DATA", help="Of a MODEL, what its values "
              "are; with a DIR and sanafe, the same as --data.")  # fmt: skip
@encode_options
@target_option
@weight_bits_option
@model_options(kind=False)
def command(
    what: str,
    form_of_file: str,
    output: Path,
    form: str,
    dtype: str,
    reader: str,
    data: str | None,
    said_input: str | None,
    encode: Encoder | None,
    target: str,
    weight_bits: int | None,
    options: ModelOptions,
) -> None:
    """Write a compiled program, or a MODEL that is compiled for it, for another tool."""
    from snncc.options import InputKind
    from snncc.program import load

    if said_input in get_args(InputKind):
        options = replace(options, input=cast("InputKind", said_input))
    elif said_input is not None and data is None:
        data = said_input
    if encode is not None and data is None and Path(what).is_dir():
        raise click.UsageError("--encode goes with --data")
    for name, formats in _OF_FORMATS.items():
        if form_of_file not in formats:
            refuse_unused((name,), f"belongs to --format {' and '.join(formats)}")
    options, dt = own_step(options, what, to_nir=form_of_file == "nir")
    if Path(what).is_dir():
        refuse_model_options(
            what, "target", "weight_bits", but=("dt",) if form_of_file == "nir" else ()
        )
        program = load(what)
    else:
        opened = open_model(what, options, encode=encode)
        program = opened.compile(target, opened.options(options, weight_bits=weight_bits))
    order = Order(program, what, output, form, dtype, data, encode, reader, dt)
    click.echo(WRITERS[form_of_file](order))
