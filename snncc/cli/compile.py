"""snncc compile: a model into a folder that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snncc.cli.errors import Command, say
from snncc.cli.model import (
    ModelOptions,
    encode_options,
    model_options,
    open_model,
    reads_equations,
    there,
)
from snncc.cli.progress import counted
from snncc.cli.unused import refuse_unused

if TYPE_CHECKING:
    from snncc.frontends.data.encoders import Encoder
    from snncc.program import Program

target_option = click.option(
    "--target", default="loihi", show_default=True, help="What it is to run on (snncc targets)."
)
keep_aap_option = click.option(
    "--keep-aap", is_flag=True, help="Keep the auxiliary path, on the host beside the chip."
)


weight_bits_option = click.option(
    "--weight-bits",
    type=click.IntRange(2, 8),
    metavar="2-8",
    help="Compute in the target's whole numbers, with weights of so many bits.  [default: in "
    "floating point]",
)
stock_only_option = click.option(
    "--stock-only",
    is_flag=True,
    help="Use nothing that the target's own software does not have.",
)


@click.command("compile", cls=Command)
@click.argument("model", metavar="MODEL", callback=there)
@target_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write it.  [default: the model's name]",
)
@model_options()
@click.option(
    "--calibrate",
    metavar="DATA",
    help="Recordings to verify the translation on, to choose the scales of whole numbers with, and "
    "to measure the work of each neuron with: a file or data set, as of simulate --input.",
)
@encode_options
@weight_bits_option
@click.option("--strict", is_flag=True, help="An analog encoder on the host is an error.")
@keep_aap_option
@stock_only_option
@click.option("--no-verify", is_flag=True, help="Do not run both sides of each pass.")
@click.option(
    "--print-after",
    multiple=True,
    metavar="PASS",
    help="Print the network after a pass, on stderr; all: after each.",
)
@click.option("--time-passes", is_flag=True, help="Print how long each pass took, on stderr.")
def command(
    model: str,
    target: str,
    output: Path | None,
    options: ModelOptions,
    calibrate: str | None,
    encode: Encoder | None,
    weight_bits: int | None,
    strict: bool,
    keep_aap: bool,
    stock_only: bool,
    no_verify: bool,
    print_after: tuple[str, ...],
    time_passes: bool,
) -> None:
    """Compile MODEL for a target into a folder.

    MODEL is a .pt, .pth, .pt2, .onnx, .nir or .net file, or package.module:factory. A folder
    that holds a compiled program is replaced.
    """
    from snncc.diagnostics import refuse
    from snncc.pipeline import frontend_passes, target_passes
    from snncc.program import replaceable
    from snncc.targets import target as target_of

    folder = output or Path(_stem(model))
    if not replaceable(folder):
        raise refuse(
            "SNN316",
            f"{folder} exists and is not a compiled program",
            help="choose another name with -o, or remove it first",
        )
    if not target_of(target).emits:
        refuse_unused(("stock_only",), f"needs a target with a package, and {target} has none")
    passes = target_passes(target, stock_only=stock_only, weight_bits=weight_bits)
    count = len(frontend_passes()) + len(passes)
    opened = open_model(model, options, calibrate, resets=True, encode=encode)
    chosen = opened.options(
        options,
        weight_bits=weight_bits,
        reset=None if reads_equations(model) else options.reset,
        strict=strict,
        keep_aap=keep_aap,
        stock_only=stock_only,
    )
    with counted("compiling", count + 1) as advance:
        program = opened.compile(
            target,
            chosen,
            verify=not no_verify,
            print_after=print_after,
            on_pass=lambda stage: advance(1),
        )
        program.save(folder)
        advance(1)
    say(program.findings)
    if time_passes:
        for name, seconds in program.seconds.items():
            click.echo(f"{seconds:9.3f} s  {name}", err=True)
    click.echo("\n".join(summary(program, model, folder)))


def summary(program: Program, model: str, folder: Path) -> list[str]:
    """What was made, a line per fact."""
    from snncc.program import processes_of
    from snncc.program.overview import line, lines

    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return [
        f"{model} for {program.target}",
        *lines(program, processes_of(folder)),
        line("written", f"{folder} ({size / 1e6:.1f} MB)"),
    ]


def _stem(model: str) -> str:
    if re.fullmatch(r"[\w.]+:[\w.]+", model):
        return model.rpartition(":")[2].rpartition(".")[2]
    return Path(model).stem
