"""What whole numbers change, layer by layer."""

from __future__ import annotations

from snncc.program.parts import Parts
from snncc.report import Section, Table
from snncc.report.charts import bars
from snncc.rounding.report import Rounded


def whole_numbers(program: Parts) -> Section | None:
    """Range, signal-to-noise ratio, overflows and flips of each population; None in floats."""
    report = program.about.reports.get(Rounded)
    if report is None:
        return None
    table = Table.of(
        "whole numbers by layer",
        {"layer": "text", "kind": "text", "thresholds": "text", "weight range used": "share",
         "SNR of weights": "decibel", "membrane range used": "share", "overflows": "count",
         "flips made": "count", "of neuron-steps": "count", "part": "share"},
        [
            (row.population, row.role, _thresholds(row.threshold), row.weight_range,
             row.weight_snr_db, row.membrane_range, row.overflows, row.flipped, row.neuron_steps,
             row.part)
            for row in report.populations
        ],
    ).without_empty()  # fmt: skip
    says, tables = [f"Scales are chosen from {report.calibration}."], [table]
    if (totals := report.totals) is not None:
        says.append(
            "Flips made: each layer is given the right spikes, so that only its own flips count. "
            "Flips made and inherited: with all that earlier flips change."
        )
        tables.append(
            Table.of(
                "flips of all neurons",
                {"flips": "text", "spikes that differ": "count", "of neuron-steps": "count",
                 "part": "share"},
                [
                    (name, flips.flipped, totals.neuron_steps, flips.part)
                    for name, flips in (("made", totals.teacher_forced),
                                        ("made and inherited", totals.propagated))
                ],
            )
        )  # fmt: skip
    pictures = [
        bars(table, "layer", column, says=said)
        for column, said in (
            ("part", "Part of a layer's spikes that flip where they arise."),
            ("SNR of weights", "The higher, the nearer the whole weights are to the trained ones."),
            ("membrane range used", "Largest membrane over what the register holds."),
        )
        if any(each.title == column for each in table.columns)
    ]
    return Section("whole-numbers", "Whole numbers", tuple(says), tuple(tables), tuple(pictures))


def _thresholds(bounds: tuple[float, float] | None) -> str | None:
    """The smallest and the largest threshold."""
    if bounds is None:
        return None
    least, most = (f"{bound:,.6g}" for bound in bounds)
    return least if least == most else f"{least} to {most}"
