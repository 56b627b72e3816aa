"""snncc convert: a network from one file format into another, with the same spikes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli.errors import Command, say
from snncc.cli.export import own_step, writing_options
from snncc.cli.model import ModelOptions, model_options, open_model

if TYPE_CHECKING:
    from snncc.ir.graph import Graph


@click.command("convert", cls=Command)
@click.argument("source", metavar="MODEL")
@click.argument("output", metavar="FILE.onnx|FILE.nir", type=click.Path(path_type=Path))
@writing_options
@model_options()
def command(source: str, output: Path, dtype: str, reader: str, options: ModelOptions) -> None:
    """Write MODEL, as it was traced, as FILE; its ending says in which format.

    Nothing is compiled. MODEL is compared with what was traced, and that with the file, which is
    read again: every spike of every neuron, on the inputs of the proof of `compile`. Where one
    differs, there is no file.
    """
    from snncc.diagnostics import refuse
    from snncc.frontends.torch import as_example, record
    from snncc.verification.files import held_against
    from snncc.verification.module import agreement
    from snncc.verification.probes import arranged, for_passes, probes

    writers: dict[str, Any] = {".onnx": _onnx, ".nir": _nir}
    write = writers.get(output.suffix.lower())
    if write is None:
        message = f"{output} does not say in its ending which format to write"
        raise refuse("SNN316", message, help="end it in .onnx or .nir")
    if options.cut_merge:
        raise refuse("SNN316", "--cut-merge is for compile", help="leave it out")
    options, dt = own_step(options, source, to_nir=output.suffix.lower() == ".nir")
    opened = open_model(source, options)
    example = as_example(opened.example)
    recording = record(
        opened.module, example, time_steps=opened.time_steps, layout=opened.layout,
        input=opened.input,
    )  # fmt: skip
    graph = recording.graph
    agreed = agreement(opened.module, graph, probes(recording, example))
    (inputs,) = arranged(graph, for_passes(agreed.probes)).values()
    if options.head is not None:
        graph = _with_head(graph, options.head)
    unproved = output.with_name(f".unproved-{output.name}")
    try:
        notes = write(graph, unproved, dtype, reader, dt)
        found = held_against(graph, unproved, inputs)
        unproved.replace(output)
    finally:
        unproved.unlink(missing_ok=True)
    say([*opened.notes, *agreed.findings, *notes])
    click.echo(
        f"{output}: {output.stat().st_size / 1e6:.1f} MB; {agreed.compared:,} spikes of {source} "
        f"and {found.compared:,} of the file compared in {found.populations} populations, "
        f"0 differ; outputs differ by {found.outputs:.1e} at most"
    )


def _with_head(graph: Graph, head: str) -> Graph:
    """``graph`` with the output of that name or index alone."""
    from snncc.diagnostics import refuse

    names = list(graph.heads)
    chosen = names[int(head)] if head.isdecimal() and int(head) < len(names) else head
    if chosen not in graph.heads:
        message = f"there is no output {head}"
        raise refuse("SNN316", message, help=f"the outputs are {', '.join(names)}")
    end = graph.heads[chosen]
    return graph.keep(graph.ancestors(end) | {n.name for n in graph.inputs}, {chosen: end})


def _onnx(graph: Graph, path: Path, dtype: str, reader: str, dt: float | None) -> tuple[Any, ...]:
    from snncc.backends.onnx import export

    export(graph, path, dtype=dtype)
    return ()


def _nir(graph: Graph, path: Path, dtype: str, reader: str, dt: float | None) -> tuple[Any, ...]:
    from snncc.backends.nir import export

    return export(graph, path, reader=reader, dt=dt).notes
