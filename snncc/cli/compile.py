"""snncc compile: a model into a folder that runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snncc.cli.errors import Command, say
from snncc.cli.model import Options, model_options, open_model
from snncc.cli.progress import counted

if TYPE_CHECKING:
    from snncc.program import Program

target_option = click.option(
    "--target", default="loihi", show_default=True, help="What it is to run on (snncc targets)."
)
keep_aap_option = click.option(
    "--keep-aap", is_flag=True, help="Keep the auxiliary path, on the host beside the chip."
)
reset_option = click.option(
    "--reset",
    type=click.Choice(["hard", "soft"]),
    help="Reset every neuron this way, whatever it was trained with.",
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
@click.argument("model", metavar="MODEL")
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
    type=click.Path(path_type=Path),
    metavar="DATA.npz",
    help="Recordings to verify the translation on, to choose the scales of whole numbers with, and "
    "to measure the work of each neuron with.",
)
@weight_bits_option
@reset_option
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
    options: Options,
    calibrate: Path | None,
    weight_bits: int | None,
    reset: Any,
    strict: bool,
    keep_aap: bool,
    stock_only: bool,
    no_verify: bool,
    print_after: tuple[str, ...],
    time_passes: bool,
) -> None:
    """Compile MODEL for a target into a folder.

    MODEL is a .pt or .pth file, or package.module:factory. A folder that holds a compiled program
    is replaced.
    """
    from snncc.diagnostics import refuse
    from snncc.pipeline import frontend_passes, target_passes
    from snncc.program import replaceable

    folder = output or Path(_stem(model))
    if not replaceable(folder):
        raise refuse(
            "SNN316",
            f"{folder} exists and is not a compiled program",
            help="choose another name with -o, or remove it first",
        )
    passes = target_passes(target, stock_only=stock_only, weight_bits=weight_bits)
    count = len(frontend_passes()) + len(passes)
    opened = open_model(model, options, calibrate)
    with counted("compiling", count + 1) as advance:
        program = opened.compile(
            target,
            options,
            calibration=None if calibrate is None else opened.example,
            weight_bits=weight_bits,
            reset=reset,
            strict=strict,
            keep_aap=keep_aap,
            stock_only=stock_only,
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
    """What was made, a line a fact."""
    from snncc.ir.work import GraphMeter
    from snncc.targets import target as find_target

    about, network = program.about, program.network
    rows = [("head", f"{program.head} of {', '.join(program.graph.heads)}")]
    if reset := about["options"].get("reset"):
        rows.append(("reset", f"{reset} in every neuron, whatever it was trained with"))
    gone = about["stripped"]
    work = (
        f"{gone['nodes']} ops, {gone['parameters']:,} parameters; a sample, "
        f"{count(gone['mac'])} MAC and at most {count(gone['ac_at_most'])} AC"
    )
    if not gone["nodes"]:
        work = "nothing: the network has no auxiliary path"
    rows.append(("kept on host" if program.keep_aap else "stripped", work))
    if network.encoders:
        steps = program.graph.time_steps or 1
        macs = sum(GraphMeter(e.graph)({}, 1, steps).total.mac for e in network.encoders)
        names = ", ".join(encoder.name for encoder in network.encoders)
        rows.append(("encoders", f"{names}: {count(macs)} MAC a sample on the host"))
    rows.append(("network", _populations(program)))
    if rounded := about["reports"].get("quantize"):
        rows.append(("fixed point", _rounded(rounded, about["options"]["weight_bits"])))
    if schedule := about["reports"].get("balance-delays"):
        rows += _schedule(schedule)
    if processes := _manifest(folder).get("processes"):
        named = {
            whose: ", ".join(f"{number} {name}" for name, number in kinds.items()) or "none"
            for whose, kinds in processes.items()
        }
        rows.append(("processes", f"of Lava's {named['stock']}; of our own {named['own']}"))
    machine = find_target(program.target)
    if machine.chip:
        rows += _mapped(about["reports"])
        assumed, of = len(machine.chip.assumed), len(machine.chip.sources)
        rows.append(("constants", f"{assumed} of {of} are assumed (snncc targets {machine.name})"))
    elif machine.constants:
        rows.append(("size", _cores(program)))
    if verified := about["verification"]:
        rows.append(
            (
                "verified",
                f"{verified['spikes']:,} spikes over {verified['passes']} passes, none differs "
                f"but for {verified['ties']:,} ties",
            )
        )
    else:
        rows.append(("verified", "no"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows.append(("written", f"{folder} ({size / 1e6:.1f} MB)"))
    title = f"{model} for {program.target}"
    return [title, *(f"  {name:<13}{value}" for name, value in rows)]


def _rounded(report: dict[str, Any], bits: int) -> str:
    """How the whole numbers were chosen, and what they change."""
    weights = f"{bits}-bit weights, scales from "
    if "neuron-steps" not in report:
        return f"{weights}the weights alone; what they flip was not measured"
    forced, free = (f"{report[how]['part']:.3%}" for how in ("teacher-forced", "propagated"))
    overflow = sum(row.get("saturations", 0) + row.get("wraps", 0) for row in report["populations"])
    alike = report.get("same class")
    classes = f"; {alike['samples']} of {alike['of']} keep their class" if alike else ""
    return (
        f"{weights}{report['calibration']}; of their spikes {forced} flip where they arise, {free} "
        f"with what follows; {overflow:,} overflows{classes}"
    )


def _manifest(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return read


def _schedule(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Latency, throughput, and what it costs that spikes wait."""
    yield "latency", f"{report['latency']} steps"
    if "steps a sample" in report:
        idle = report["idle steps"]
        more = f", {idle} of them idle" if idle else ""
        yield "throughput", f"a sample every {report['steps a sample']} steps{more}"
    longest = report["neuron-steps held back by the longest path"]
    yield (
        "waiting",
        f"{report['neuron-steps held back']:,} neuron-steps ({longest:,} by the longest path), "
        f"{report['relay neurons']:,} relay neurons",
    )


def _populations(program: Program) -> str:
    import math

    whole = program.scheduled or program.network
    parts = []
    for role in ("neuron", "gate", "relay"):
        members = [p for p in whole.populations if p.role == role]
        neurons = sum(math.prod(p.shape) for p in members)
        plural = "" if len(members) == 1 else "s"
        what = "population" if role == "neuron" else f"{role} population"
        if members or role == "neuron":
            parts.append(f"{len(members)} {what}{plural} ({neurons:,} neurons)")
    return ", ".join(parts)


def _cores(program: Program) -> str:
    import math

    from snncc.targets import target as find_target

    machine, whole = find_target(program.target), program.scheduled or program.network
    neurons = sum(math.prod(p.shape) for p in whole.populations)
    cores = math.ceil(neurons / machine["neurons"])
    chips = math.ceil(cores / machine["cores"])
    return f"by neurons alone, at least {_many(cores, 'core')}, {_many(chips, 'chip')}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _mapped(reports: Mapping[str, Any]) -> list[tuple[str, str]]:
    cut, placed = reports["partition"], reports["place"]
    full = ", ".join(f"{what} {used['mean']:.0%}" for what, used in cut["utilisation"].items())
    fewer = placed["times fewer"]
    times = f", {fewer:.1f} times fewer than at random" if fewer else ""
    return [
        (
            "cores",
            f"{cut['cores']:,} on {_many(cut['chips'], 'chip')}; at "
            f"least {max(cut['cores at least'].values(), default=0):,} whatever the mapping",
        ),
        ("full", f"{full} on the average"),
        ("work", f"{cut['largest work over mean']:.2f} times the mean on the busiest core"),
        ("hops", f"{count(placed['hops'])} a step{times}"),
    ]


def count(number: float) -> str:
    """1,234 and 1.23 M and 1.23 G."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number:,.0f}"


def _stem(model: str) -> str:
    if re.fullmatch(r"[\w.]+:[\w.]+", model):
        return model.rpartition(":")[2].rpartition(".")[2]
    return Path(model).stem
