"""What a compiled program is, in a few facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from snncc.ir.network import Network
from snncc.ir.stages import Mapped
from snncc.ir.work import GraphMeter
from snncc.mapping.fitting import ASKED
from snncc.mapping.reports import Cut, Placed, Schedule
from snncc.pages import count
from snncc.program.parts import Parts
from snncc.reports import Reports
from snncc.rounding.report import Rounded
from snncc.targets import target as find_target
from snncc.verification.record import Record

Fact = tuple[str, str]


def facts(program: Parts, processes: Mapping[str, Any] | None = None) -> list[Fact]:
    """What was made, each fact with its name.

    ``processes``: how many of each kind the emitted package has, where there is one.
    """
    about, network = program.about, program.network
    rows = list(_head(program))
    if reset := about.options.reset:
        rows.append(("reset", f"{reset} in every neuron, whatever it was trained with"))
    gone = about.stripped
    work = (
        f"{gone.nodes} ops, {gone.parameters:,} parameters; per sample "
        f"{count(gone.mac)} MAC and at most {count(gone.ac_at_most)} AC"
    )
    if not gone.nodes:
        work = "nothing: the network has no auxiliary path"
    rows.append(("kept on host" if program.keep_aap else "stripped", work))
    if network.encoders:
        steps = program.graph.time_steps or 1
        macs = sum(GraphMeter(e.graph)({}, 1, steps).total.mac for e in network.encoders)
        names = ", ".join(encoder.name for encoder in network.encoders)
        rows.append(("encoders", f"{names}: {count(macs)} MAC per sample on the host"))
    rows.append(("network", _populations(program)))
    if rounded := about.reports.get(Rounded):
        rows += _rounded(rounded, about.options.weight_bits)
    if schedule := about.reports.get(Schedule):
        rows += _schedule(schedule)
    if processes:
        named = {
            whose: ", ".join(f"{number} {name}" for name, number in kinds.items()) or "none"
            for whose, kinds in processes.items()
        }
        said = f"Lava's own: {named['stock']}; of the package: {named['own']}"
        rows.append(("processes", said))
    machine = find_target(program.target)
    if machine.chip:
        rows += _mapped(about.reports, program.scheduled)
        assumed, of = len(machine.chip.assumed), len(machine.chip.sources)
        said = f"{assumed} of the chip's {of} are assumed (snncc targets {machine.name})"
        rows.append(("constants", said))
    elif machine.constants:
        rows.append(("size", _cores(program)))
    rows += _verified(about.verification)
    return rows


def lines(program: Parts, processes: Mapping[str, Any] | None = None) -> list[str]:
    """The facts as text, one per line."""
    return [line(*fact) for fact in facts(program, processes)]


def line(title: str, value: str) -> str:
    return f"  {title:<13}{value}"


def _head(program: Parts) -> Iterator[Fact]:
    """Which output was kept, where there are several."""
    others = [name for name in program.graph.heads if name != program.head]
    if others:
        there = "kept on the host" if program.keep_aap else "left out"
        yield "head", f"`{program.head}`; {', '.join(f'`{name}`' for name in others)} {there}"


def _verified(record: Record | None) -> list[Fact]:
    """Both ends of the proof, and what was compared on the way."""
    if record is None:
        return [("verified", "no: neither the module nor the passes were compared")]
    calls, passes, elsewhere = record.calls, record.passes, record.elsewhere
    samples = sum(call.samples for call in calls)
    module, between = sum(c.compared for c in calls), sum(p.compared for p in passes)
    ties = [sum(call.ties for call in calls), max((row.ties for row in passes), default=0)]
    said = (
        f"module → network: 0 of {module:,} neuron-steps differ, {samples} samples in "
        f"{len(calls)} calls{_and_ties(ties[0])}",
        f"network → program: 0 of {between:,} neuron-steps differ, both sides of "
        f"{_many(len(passes), 'pass')}{_and_ties(ties[1])}",
    )
    lines = [("verified", said[0]), ("", said[1])]
    if elsewhere is not None:
        samples, others = elsewhere.samples, elsewhere.ties
        said_there = f"module → onnxruntime: the outputs of {others} of {samples} samples differ"
        lines.append(("", said_there + (" (by rounding)" if others else "")))
    return lines


def _and_ties(ties: int) -> str:
    return f" ({ties:,} ties by rounding)" if ties else ""


def _rounded(report: Rounded, bits: int | None) -> Iterator[Fact]:
    """How the whole numbers were chosen, and what they change."""
    totals = report.totals
    source = "the weights alone" if totals is None else report.calibration
    yield "fixed point", f"{bits}-bit weights, scales from {source}"
    if totals is None:
        yield "flips", "not measured; give recordings with --calibrate"
        return
    forced, free = (f"{flips.part:.3%}" for flips in (totals.teacher_forced, totals.propagated))
    overflow = sum(row.overflows or 0 for row in report.populations)
    alike = totals.same_class
    classes = f"; {alike.samples} of {alike.of} samples keep their class" if alike else ""
    yield (
        "flips",
        f"{forced} of the neuron-steps where they arise, {free} propagated; "
        f"{overflow:,} overflows{classes}",
    )


def _schedule(report: Schedule) -> Iterator[Fact]:
    """Latency, throughput, and what it costs that spikes wait."""
    yield "latency", f"{_many(report.latency, 'step')} from the first input to the answer"
    if report.steps_a_sample is not None:
        more = f", {report.idle_steps} of them idle" if report.idle_steps else ""
        yield "throughput", f"one sample every {_many(report.steps_a_sample, 'step')}{more}"
    yield (
        "waiting",
        f"spikes wait for {report.neuron_steps_held_back:,} neuron-steps in all, "
        f"in {report.relay_neurons:,} relay neurons and in delays",
    )


def _populations(program: Parts) -> str:
    whole = program.scheduled or program.network
    parts = []
    for role in ("neuron", "gate", "relay"):
        members = [p for p in whole.populations if p.role == role]
        neurons = sum(math.prod(p.shape) for p in members)
        what = "population" if role == "neuron" else f"{role} population"
        if members or role == "neuron":
            parts.append(f"{_many(neurons, role)} in {_many(len(members), what)}")
    return ", ".join(parts)


def _cores(program: Parts) -> str:
    machine, whole = find_target(program.target), program.scheduled or program.network
    neurons = sum(math.prod(p.shape) for p in whole.populations)
    cores = math.ceil(neurons / machine["neurons"])
    chips = math.ceil(cores / machine["cores"])
    return f"at least {_many(cores, 'core')} on {_many(chips, 'chip')}, counting neurons alone"


def _many(number: int, what: str) -> str:
    plural = "" if number == 1 else "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{plural}"


def _mapped(reports: Reports, network: Network | None) -> Iterator[Fact]:
    cut, placed = reports[Cut], reports[Placed]
    used = [f"{each['mean']:.0%} of its {ASKED[what]}" for what, each in cut.utilisation.items()]
    fewer = placed.times_fewer
    times = f", {fewer:.1f} times fewer than if placed at random" if fewer else ""
    yield (
        "cores",
        f"{cut.cores:,} on {_many(cut.chips, 'chip')}; any mapping needs at least {cut.least:,}",
    )
    yield "core in use", f"on average {', '.join(used)}"
    yield "work", f"on the busiest core {cut.largest_work_over_mean:.2f} times the mean"
    yield "hops", f"{count(placed.hops)} per step{times}"
    if isinstance(network, Mapped) and not network.mapping.activity:
        yield "", "work and hops as if every neuron fired at every step; give --calibrate"
