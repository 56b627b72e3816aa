"""What a compiled program is, in a few facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from snncc.ir.work import GraphMeter
from snncc.mapping.reports import Cut, Placed, Schedule
from snncc.pages import count
from snncc.program.parts import Parts
from snncc.targets import target as find_target

Fact = tuple[str, str]


def facts(program: Parts, processes: Mapping[str, Any] | None = None) -> list[Fact]:
    """What was made, each fact with its name.

    ``processes``: how many of each kind the emitted package has, where there is one.
    """
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
        rows += _schedule(Schedule.read(schedule))
    if processes:
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
    rows += _verified(about["verification"])
    return rows


def _verified(record: Mapping[str, Any] | None) -> list[Fact]:
    """Both ends of the proof, and what was compared on the way."""
    if record is None:
        return [("verified", "no: neither the module nor the passes were compared")]
    calls, passes = record["module"]["calls"], record["passes"]
    elsewhere = record.get("elsewhere")
    samples = sum(call["samples"] for call in calls)
    module, between = (sum(row["neuron-steps"] for row in rows) for rows in (calls, passes))
    ties = [sum(row["ties"] for row in calls), max((row["ties"] for row in passes), default=0)]
    said = (
        f"module → network: 0 of {module:,} neuron-steps differ over {samples} samples in "
        f"{len(calls)} calls{_and_ties(ties[0])}",
        f"network → program: 0 of {between:,} neuron-steps differ over {len(passes)} passes"
        f"{_and_ties(ties[1])}",
    )
    lines = [("verified", said[0]), ("", said[1])]
    if elsewhere is not None:
        samples, others = elsewhere["samples"], elsewhere["ties"]
        said_there = f"module → onnxruntime: the outputs of {others} of {samples} samples differ"
        lines.append(("", said_there + (" (by rounding)" if others else "")))
    return lines


def _and_ties(ties: int) -> str:
    return f" ({ties:,} ties by rounding)" if ties else ""


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


def _schedule(report: Schedule) -> Iterator[Fact]:
    """Latency, throughput, and what it costs that spikes wait."""
    yield "latency", f"{report.latency} steps"
    if report.steps_a_sample is not None:
        more = f", {report.idle_steps} of them idle" if report.idle_steps else ""
        yield "throughput", f"a sample every {report.steps_a_sample} steps{more}"
    longest = report.neuron_steps_held_back_by_the_longest_path
    yield (
        "waiting",
        f"{report.neuron_steps_held_back:,} neuron-steps ({longest:,} by the longest path), "
        f"{report.relay_neurons:,} relay neurons",
    )


def _populations(program: Parts) -> str:
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


def _cores(program: Parts) -> str:
    machine, whole = find_target(program.target), program.scheduled or program.network
    neurons = sum(math.prod(p.shape) for p in whole.populations)
    cores = math.ceil(neurons / machine["neurons"])
    chips = math.ceil(cores / machine["cores"])
    return f"by neurons alone, at least {_many(cores, 'core')}, {_many(chips, 'chip')}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _mapped(reports: Mapping[str, Any]) -> list[Fact]:
    cut, placed = Cut.read(reports["partition"]), Placed.read(reports["place"])
    full = ", ".join(f"{what} {used['mean']:.0%}" for what, used in cut.utilisation.items())
    fewer = placed.times_fewer
    times = f", {fewer:.1f} times fewer than at random" if fewer else ""
    return [
        (
            "cores",
            f"{cut.cores:,} on {_many(cut.chips, 'chip')}; at "
            f"least {cut.least:,} whatever the mapping",
        ),
        ("full", f"{full} on the average"),
        ("work", f"{cut.largest_work_over_mean:.2f} times the mean on the busiest core"),
        ("hops", f"{count(placed.hops)} a step{times}"),
    ]
