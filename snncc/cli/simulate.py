"""snncc simulate: a program on data, its accuracy and its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli.compile import keep_aap_option
from snncc.cli.errors import Command, interrupted
from snncc.cli.model import (
    ModelOptions,
    encode_options,
    model_options,
    open_model,
    recordings_for,
    refuse_model_options,
    there,
)
from snncc.cli.progress import adding, bars
from snncc.cli.unused import refuse_unused

if TYPE_CHECKING:
    from snncc.backends.base import Backend
    from snncc.frontends.data import Array
    from snncc.frontends.data.encoders import Encoder
    from snncc.program import Program
    from snncc.simulation import Simulation


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, as in 512M or 2G."""

    name = "SIZE"

    def convert(
        self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
        number, unit = str(value)[:-1], units.get(str(value)[-1:].upper())
        if unit is None or not number.isdecimal() or not int(number):
            self.fail(f"{value!r} is not like 512M or 2G", parameter, ctx)
        return int(number) * unit


@click.command("simulate", cls=Command)
@click.argument("what", metavar="DIR|MODEL", callback=there)
@click.option(
    "--input",
    "source",
    metavar="DATA",
    required=True,
    help="`inputs` in the model's layout and, for accuracy, `labels`: an .npz, .npy or HDF5 file, "
    "or package.module:factory, which returns a torch data set or loader.",
)
@encode_options
@click.option(
    "--backend",
    "spec",
    metavar="NAME",
    default="reference",
    show_default=True,
    help="Where to run it: reference, lava, cycle, or a backend of another package; with options, "
    "NAME{option=value}.",
)
@click.option(
    "--samples",
    "--limit",
    "limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="The first N samples only.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    help="The arithmetic.  [default: float32 where no spike differs from float64 on the first "
    "samples, else float64]",
)
@click.option(
    "--memory",
    type=Size(),
    help="About how much the samples in work may take, as in 2G.  [default: 256M]",
)
@click.option(
    "--threads",
    "--workers",
    "threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads; the numbers are the same with any.  [default: all cores]",
)
@click.option(
    "--save-spikes",
    "spikes_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.npz",
    help="Where to write the spikes (T, N, ...) of every source and population.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long Lava may take.",
)
@click.option(
    "--level",
    type=click.Choice(["cycle", "count"]),
    help="With --backend cycle: time every packet, or only add up what each core does.  [default: "
    "cycle]",
)
@click.option(
    "--chip",
    "chip_name",
    metavar="NAME|FILE.toml",
    help="With --backend cycle: the chip whose times and energies count.  [default: the program's "
    "own, or loihi1]",
)
@click.option(
    "--mapping",
    "mapping_path",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="With --backend cycle: the core of every neuron, in place of the program's own mapping.",
)
@click.option(
    "--timing",
    "timing_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.json|.npz",
    help="With --backend cycle: where to write times and energies by step, core, layer and link.",
)
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.html",
    help="Where to write the program's report with sections about this run; its values go into a "
    ".json file beside it.",
)
@click.option(
    "--trace",
    "traced",
    type=click.IntRange(min=0),
    metavar="N",
    multiple=True,
    default=(0,),
    show_default=True,
    help="With --report: a sample to show step by step, spikes and membranes; may be repeated.",
)
@keep_aap_option
@model_options(kind=False)
def command(
    what: str,
    source: str,
    encode: Encoder | None,
    spec: str,
    limit: int | None,
    dtype: str | None,
    memory: int | None,
    threads: int | None,
    spikes_path: Path | None,
    timeout: float | None,
    level: Any,
    chip_name: str | None,
    mapping_path: Path | None,
    timing_path: Path | None,
    report_path: Path | None,
    traced: tuple[int, ...],
    keep_aap: bool,
    options: ModelOptions,
) -> None:
    """Run a compiled program, or a model compiled on the way, on recordings.

    Prints accuracy, spikes, the AC and MAC before and after compiling, and their energy. With
    --backend lava the emitted package runs in Lava and every spike is compared with the reference;
    exits with 1 when they differ. With --backend cycle it prints the time and energy of the run on
    a chip.
    """
    from contextlib import ExitStack
    from dataclasses import replace

    import torch

    from snncc import report, run_report
    from snncc.backends.base import Replays, parse
    from snncc.diagnostics import Exit
    from snncc.ir.mapping import Mapping
    from snncc.program import processes_of, sections
    from snncc.rasters import writing
    from snncc.registry import with_known
    from snncc.simulation import MEMORY, simulate
    from snncc.targets.chip import find_chip

    backend = parse(spec)
    backend = replace(backend, **with_known(backend, {} if level is None else {"level": level}))
    _refuse_options_without_effect(backend)
    _refuse_paths(what, timing_path, report_path)
    chip = None if chip_name is None else find_chip(chip_name)
    mapping = None if mapping_path is None else Mapping.load(mapping_path)

    target = (chip_name if isinstance(backend, Replays) else None) or backend.target
    program = _opened(what, target, options, encode)
    if keep_aap:
        program = replace(program, keep_aap=True)
    with ExitStack() as stack:
        data = stack.enter_context(
            recordings_for(program, source, _classes(program), limit, encode)
        )
        count, labels = data.samples, data.labels
        here, there = stack.enter_context(bars("simulating", f"in {backend.name.capitalize()}"))
        counts = {source.name for source in program.network.sources if source.kind == "count"}
        add = None if spikes_path is None else stack.enter_context(writing(spikes_path, counts))
        simulation = simulate(
            program, data, backend, chip=chip,
            mapping=mapping, memory=memory or MEMORY, threads=threads, timeout=timeout,
            dtype=None if dtype is None else getattr(torch, dtype), partial=True,
            on_samples=adding(here, count), on_spikes=add, on_step=there,
        )  # fmt: skip
        several = () if report_path is None else traced
        shown = sorted({number for number in several if number < simulation.samples})
        samples = {number: program.arrange(data.take(number, number + 1)) for number in shown}
    labels = None if labels is None else labels[: simulation.samples]
    click.echo("\n".join(summary(simulation, what, labels, count)))
    with _refusing_unwritable():
        if timing_path is not None and simulation.timing is not None:
            simulation.timing.save(timing_path)
        if report_path is not None:
            where = Path(what)
            page = [
                *sections.sections(program, processes_of(where) if where.is_dir() else None),
                *run_report.sections(program, simulation, source, labels, samples),
            ]
            report.write(report_path, sections.title(program), page)
    if simulation.partial:
        interrupted(click.get_current_context(), f"after {simulation.samples} of {count} samples")
    if simulation.agreement is not None and not simulation.agreement.equal:
        click.get_current_context().exit(int(Exit.VIOLATIONS))


def _opened(what: str, target: str, options: ModelOptions, encode: Encoder | None) -> Program:
    """A compiled program, or a model compiled for ``target``."""
    from snncc.program import load

    if Path(what).is_dir():
        refuse_model_options(what)
        return load(what)
    opened = open_model(what, options, encode=encode)
    return opened.compile(target, opened.options(options))


def _refuse_options_without_effect(backend: Backend) -> None:
    """Raise a usage error for an option of another kind of backend."""
    from snncc.backends.base import Replays, Runs

    if not isinstance(backend, Replays):
        names = ("level", "chip_name", "timing_path", "mapping_path")
        refuse_unused(names, "belongs to --backend cycle")
    if not isinstance(backend, Runs):
        refuse_unused(("timeout",), "belongs to --backend lava")


def _refuse_paths(what: str, timing_path: Path | None, report_path: Path | None) -> None:
    """Raise a usage error for a file that is not written, before anything is computed."""
    if timing_path and timing_path.suffix not in (".json", ".npz"):
        raise click.UsageError(f"--timing {timing_path}: the name ends in .json or .npz")
    if report_path is not None and report_path.resolve().is_relative_to(Path(what).resolve()):
        said = (
            f"--report {report_path} lies in the program's folder, which stays as it was compiled"
        )
        raise click.UsageError(f"{said}; name a file outside")


@contextmanager
def _refusing_unwritable() -> Iterator[None]:
    """Raise SNN305 for a file that cannot be written."""
    from snncc.diagnostics import refuse

    try:
        yield
    except OSError as error:
        message = f"{error.filename} cannot be written: {error.strerror}"
        raise refuse("SNN305", message, help="name a file in a folder that is there") from None


def summary(
    simulation: Simulation, what: str, labels: Array | None, asked: int | None = None
) -> list[str]:
    """Answers and work, a line per fact; ``asked`` is the number of samples there were."""
    from snncc.backends.base import Replays, find
    from snncc.pages import count

    samples = simulation.samples
    many = f"{samples} of {asked}" if simulation.partial else f"{samples}"
    several = "s" if samples > 1 or simulation.partial else ""
    rows = [f"{what} on {many} sample{several}, {simulation.backend}"]
    if simulation.encoder:
        rows.append(f"  {'input encoded by':<24}  {simulation.encoder}")
    if simulation.partial:
        rows.append("  interrupted: all numbers are of the samples before that")
    for title, (right, share) in _right(simulation, labels).items():
        rows.append(f"  {title:<24}{share:>10.2%}  ({right} of {samples})")
    if (rounding := simulation.rounding) is not None:
        part = rounding.flipped / max(rounding.compared, 1)
        of = f"of {rounding.compared:,} differ from those in floating point"
        rows.append(f"  {'flipped spikes':<24}{part:>10.3%}  {of}")
    rows.append(f"  {'spikes per sample':<24}{count(simulation.spikes / samples):>10}")
    floats = "arithmetic" if simulation.rounding is None else "arithmetic in float"
    rows.append(f"  {floats:<24}  {simulation.arithmetic}")
    rows += ["", *_work(simulation)]
    if simulation.timing is not None and isinstance(machine := find(simulation.backend)(), Replays):
        rows += ["", *machine.lines(simulation.timing)]
    if (agreement := simulation.agreement) is not None:
        name = simulation.backend.capitalize()
        rows += [
            "",
            f"  {name} against the reference: {agreement.compared:,} spikes and silences, "
            f"{agreement.differing:,} differ; outputs by at most {agreement.outputs:.2g}",
        ]
        if agreement.first is not None:
            name, (step, sample, *neuron) = agreement.first
            where = f"step {step}, sample {sample}, neuron {tuple(neuron)}"
            rows.append(f"  first: population {name}, {where}")
    return rows


def _work(simulation: Simulation) -> list[str]:
    """The work of a sample before and after compiling, as a table."""
    from snncc.ir.work import CMOS_45NM
    from snncc.pages import count

    samples = simulation.samples
    columns = {"as trained": simulation.before.total, "as compiled": simulation.after.total}
    if simulation.host.parts:
        columns["AAP on host"] = simulation.host.total
    trained, compiled = simulation.prices
    prices = {"as trained": trained, "as compiled": compiled, "AAP on host": CMOS_45NM}
    sources = [f"Energy: {trained.source}"]
    if compiled is not trained:
        sources.append(f"As compiled: {compiled.source}")

    def row(title: str, cells: list[str]) -> str:
        return f"  {title:<20}" + "".join(f"{cell:>14}" for cell in cells)

    def per_sample(title: str, number: str) -> str:
        return row(title, [count(getattr(ops, number) / samples) for ops in columns.values()])

    energies = [_joules(prices[name](work) / samples) for name, work in columns.items()]
    return [
        row("per sample", list(columns)),
        per_sample("AC", "ac"),
        per_sample("MAC", "mac"),
        per_sample("neuron updates", "updates"),
        row("energy of AC, MAC", energies),
        "",
        "  As trained: with the auxiliary path. As compiled: with gates and relays, and with the",
        "  encoders on the host.",
        *(f"  {line}." for line in sources),
    ]


def _right(simulation: Simulation, labels: Array | None) -> dict[str, tuple[int, float]]:
    if labels is None:
        return {}
    from snncc.arithmetic import classes

    several = simulation.heads.items()
    right = {title: int((classes(y).numpy() == labels).sum()) for title, y in several}
    return {title: (count, count / len(labels)) for title, count in right.items()}


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
