"""snncc simulate: a program on data, its accuracy and its work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli.compile import count, keep_aap_option
from snncc.cli.errors import Command
from snncc.cli.model import Options, data_for, model_options, open_model
from snncc.cli.progress import counted

if TYPE_CHECKING:
    from snncc.frontends.data import Array
    from snncc.program import Program
    from snncc.simulation import Simulation


@click.command("simulate", cls=Command)
@click.argument("what", metavar="DIR|MODEL")
@click.option(
    "--input",
    "data_path",
    type=click.Path(path_type=Path),
    metavar="DATA.npz",
    required=True,
    help="`inputs` in the model's layout and, for accuracy, `labels`.",
)
@click.option(
    "--backend",
    type=click.Choice(["reference", "lava"]),
    default="reference",
    show_default=True,
    help="Where to run it.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N samples only.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long Lava may take.",
)
@keep_aap_option
@model_options(kind=False)
def command(
    what: str,
    data_path: Path,
    backend: Any,
    limit: int | None,
    timeout: float | None,
    keep_aap: bool,
    options: Options,
) -> None:
    """Run a compiled program, or a model compiled on the way, on recordings.

    Prints accuracy, spikes, the AC and MAC before and after compiling, and their energy. With
    --backend lava the emitted package runs in Lava and every spike is compared with the reference;
    exits with 1 when they differ.
    """
    from dataclasses import replace

    from snncc.diagnostics import Exit
    from snncc.program import load
    from snncc.simulation import simulate

    if Path(what).is_dir():
        program = load(what)
    else:
        target = "loihi" if backend == "lava" else "reference"
        program = open_model(what, options).compile(target, options)
    if keep_aap:
        program = replace(program, keep_aap=True)
    data, axis = data_for(program, data_path, _classes(program))
    samples = min(limit or data.inputs.shape[axis], data.inputs.shape[axis])
    inputs = data.inputs.take(range(samples), axis)
    labels = None if data.labels is None else data.labels[:samples]
    with counted("simulating", samples) as advance:
        simulation = simulate(program, inputs, backend, timeout=timeout, on_samples=advance)
    click.echo("\n".join(summary(simulation, what, labels)))
    if simulation.agreement is not None and not simulation.agreement.equal:
        click.get_current_context().exit(int(Exit.VIOLATIONS))


def summary(simulation: Simulation, what: str, labels: Array | None) -> list[str]:
    """Answers and work, a line a fact."""
    from snncc.ir.work import CMOS_45NM

    result, samples = simulation.result, simulation.before.samples
    rows = [f"{what} on {samples} sample{'s' if samples > 1 else ''}, {simulation.backend}"]
    if labels is not None:
        for name, logits in {"": result.logits, **result.heads}.items():
            right = int((_classes_said(logits) == labels).sum())
            title = f"accuracy, {name}" if name else "accuracy"
            rows.append(f"  {title:<20}{right / samples:>10.2%}  ({right} of {samples})")
    rows.append(f"  {'spikes a sample':<20}{count(simulation.spikes / samples):>10}")
    columns = {"before": simulation.before.total, "after": simulation.after.total}
    if simulation.host.parts:
        columns["AAP on host"] = simulation.host.total

    def row(title: str, cells: list[str]) -> str:
        return f"  {title:<20}" + "".join(f"{cell:>14}" for cell in cells)

    def per_sample(title: str, number: str) -> str:
        return row(title, [count(getattr(ops, number) / samples) for ops in columns.values()])

    rows += [
        "",
        row("a sample", list(columns)),
        per_sample("AC", "ac"),
        per_sample("MAC", "mac"),
        per_sample("neuron updates", "updates"),
        row("energy of AC, MAC", [_joules(CMOS_45NM(o) / samples) for o in columns.values()]),
        "",
        "  before: as trained, the auxiliary path included; after: as compiled, with its gates and",
        "  relays and the encoders on the host.",
        f"  Energy: {CMOS_45NM.source}.",
    ]
    if (agreement := simulation.agreement) is not None:
        rows += [
            "",
            f"  Lava against the reference: {agreement.compared:,} spikes and silences, "
            f"{agreement.differing:,} differ; outputs by at most {agreement.outputs:.2g}",
        ]
        if agreement.first is not None:
            name, (step, sample, *neuron) = agreement.first
            where = f"step {step}, sample {sample}, neuron {tuple(neuron)}"
            rows.append(f"  first: population {name}, {where}")
    return rows


def _classes_said(logits: Any) -> Any:
    """(N,) classes of (N, classes) logits; what a readout with argmax says is classes already."""
    return (logits.argmax(-1) if logits.dim() > 1 else logits).numpy()


def _classes(program: Program) -> int | None:
    """How many classes the labels may name."""
    from snncc.ir.ops import Argmax

    (readout, *_) = program.network.readouts
    decided = any(isinstance(op, Argmax) for op in readout.host)
    return readout.shape[0] if len(readout.shape) == 1 and not decided else None


def _joules(energy: float) -> str:
    for unit, scale in (("J", 1.0), ("mJ", 1e-3), ("µJ", 1e-6), ("nJ", 1e-9)):
        if energy >= scale:
            return f"{energy / scale:.3g} {unit}"
    return f"{energy / 1e-12:.3g} pJ"
