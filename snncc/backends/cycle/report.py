"""A run on a chip in words, and as sections of the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snncc.backends.cycle.timing import Timing
from snncc.pages import count
from snncc.report import Cell, Section, Table, facts
from snncc.report.charts import bars, cells, lines
from snncc.report.section import quantity
from snncc.targets.mesh import Squares

MOST = 1500
"""Squares in a picture of the mesh: cores, or tiles where there are more cores, or chips."""


def sections(timing: Timing) -> list[Section]:
    """What the run took on the chip: by step, by what it is spent on, by layer, on the mesh."""
    about = timing.as_dict()
    return [summary(timing, about), by_step(timing), by_layer(timing, about), mesh(timing, about)]


def summary(timing: Timing, about: dict[str, Any]) -> Section:
    """Time and energy of a sample, and what the energy is spent on, the idle chips included."""
    total = about["total"]
    seconds, samples = timing.time_ns * 1e-9, max(timing.samples, 1)
    how = "every packet timed" if timing.level == "packet" else "estimated from counts"
    rows = {
        "on": f"{about['chips']} × {about['chip']}, {how}",
        "steps": f"{timing.totals.steps:,}",
        "time per sample": quantity(seconds / samples, "s"),
        "latency of one sample": quantity(timing.latency_ns * 1e-9, "s"),
        "energy per sample": quantity(timing.energy_j / samples, "J"),
        "and of the idle chip": quantity(timing.static_j / samples, "J"),
        "mean step": quantity(timing.mean_step_ns * 1e-9, "s"),
        "of it barrier": quantity(timing.wiring.barrier_s, "s"),
        "packets": f"{total['packets']:,}",
        "synaptic operations": f"{total['synaptic_events']:,}",
        "hops": f"{total['hops']:,}",
    }
    if timing.level == "packet":
        share = 1 - timing.count_ns / max(timing.time_ns, 1e-300)
        rows["waiting for the network"] = f"{share:.1%} of the time"
    spent = Table.of(
        "where the energy goes",
        {"spent on": "text", "energy": "joule", "part": "share"},
        [
            (name, joules, joules / max(timing.energy_j + timing.static_j, 1e-300))
            for name, joules in {**total["energy_parts_j"], "idle chips": timing.static_j}.items()
        ],
    )
    says = (
        "A model with published constants, not a measurement of a chip. What it assumes stands in "
        "the documentation of snncc.backends.cycle.",
    )
    picture = bars(spent, "spent on", "energy", says="Of the whole run; the idle chips included.")
    return Section(
        "chip", "On the chip", says, (facts("on the chip", rows.items()), spent), (picture,)
    )


def by_step(timing: Timing) -> Section:
    """Time and energy of each step, and the core that it waits for."""
    steps = timing.steps
    timed = "as timed" if timing.level == "packet" else "as estimated"
    table = Table.of(
        "time and energy by step",
        {"step": "count", timed: "second", "busiest core by itself": "second", "energy": "joule",
         "waits for core": "count"},
        [
            (step, float(time) * 1e-9, float(counted) * 1e-9, float(energy), int(core))
            for step, (time, counted, energy, core) in enumerate(
                zip(steps.time_ns, steps.count_ns, steps.core_j.sum(1), steps.critical_core,
                    strict=True))
        ],
    )  # fmt: skip
    w, counts = timing.wiring, timing.totals.critical
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    waited = Table.of(
        "the core that steps wait for",
        {"core": "text", "steps": "count"},
        [(f"core {w.cores[k]}", int(counts[k])) for k in order],
    )
    says = []
    if len(steps) < timing.totals.steps:
        says.append(f"The first {len(steps):,} of {timing.totals.steps:,} steps.")
    series = [timed, "busiest core by itself"] if timing.level == "packet" else [timed]
    more = " What lies between the two lines is the network between the cores."
    pictures = (
        lines(table, "step", series, title="Time of each step",
              says=f"In seconds.{more if timing.level == 'packet' else ''}"),
        lines(table, "step", ["energy"], title="Energy of each step",
              says="Without what the idle chips draw."),
        bars(waited, "core", "steps", title="The core that steps wait for",
             says="In how many steps it is the slowest.", most=16),
    )  # fmt: skip
    return Section("steps", "Step by step", tuple(says), (table, waited), pictures)


def by_layer(timing: Timing, about: dict[str, Any]) -> Section:
    """Spikes, packets, work and energy of each place."""
    places = about["places"]
    total = sum(place["energy_j"] for place in places) or 1.0
    table = Table.of(
        "time and energy by layer",
        {"layer": "text", "kind": "text", "neurons": "count", "spikes": "count", "packets": "count",
         "synaptic operations": "count", "work": "second", "energy": "joule", "part": "share"},
        [
            (p["name"], p["kind"], p["neurons"], p["spikes"], p["packets"], p["synaptic_events"],
             p["work_ns"] * 1e-9, p["energy_j"], p["energy_j"] / total)
            for p in places
        ],
    )  # fmt: skip
    pictures = (
        bars(table, "layer", "energy", says="Of the whole run, without the idle chips."),
        bars(table, "layer", "work", says="Time that all its cores work, added up."),
    )
    return Section("chip-layers", "Layers on the chip", (), (table,), pictures)


def mesh(timing: Timing, about: dict[str, Any]) -> Section:
    """How busy each core is, and the traffic on the links."""
    loads = Table.of(
        "cores in use",
        {"core": "text", "tile column": "count", "tile row": "count", "busy": "share",
         "sending": "second", "receiving": "second", "packets out": "count", "packets in": "count",
         "critical in steps": "count", "energy": "joule"},
        [
            (str(c["core"]), c["tile_column"], c["tile_row"], c["utilisation"],
             c["sending_ns"] * 1e-9, c["receiving_ns"] * 1e-9, c["packets_out"], c["packets_in"],
             c["critical_steps"], c["energy_j"])
            for c in about["cores"]
        ],
    )  # fmt: skip
    links = Table.of(
        "links in use",
        {"link": "text", "packets": "count", "of its capacity": "share", "packets waited": "second",
         "energy": "joule"},
        [
            (link["link"], link["packets"], link["utilisation"], link["waited_ns"] * 1e-9,
             link["energy_j"])
            for link in sorted(about["links"], key=lambda link: -int(link["packets"]))
        ],
    )  # fmt: skip
    w = timing.wiring
    squares = w.mesh.squares(w.cores, MOST)
    busy = Table.of("", {"column": "count", "row": "count", "busy": "share", "says": "text"},
                    _busy(timing, loads, squares))  # fmt: skip
    by_chip = squares.what == "chip"
    unit = "chip" if by_chip else "tile"
    traffic = Table.of(
        f"packets that leave the tiles, by {unit}",
        {"column": "count", "row": "count", "packets": "count"},
        _traffic(timing, by_chip),
    )
    whole = "" if squares.what == "core" else ", with its busiest core"
    pictures = (
        cells(busy, "column", "row", "busy", title="Load", words=lambda row: str(row[3]),
              says=f"Each square is a {squares.what} where it lies on the board{whole}; the "
                   "stronger its colour, the longer it works."),
        cells(traffic, "column", "row", "packets", title="Traffic",
              says=f"Each square is a {unit}; the stronger its colour, the more packets leave its "
                   "tiles over their links."),
        bars(links, "link", "packets", title="Links", says="Tile (column, row) and direction.",
             most=16),
    )  # fmt: skip
    return Section("mesh", "The mesh", (), (loads, traffic, links), pictures)


def _busy(timing: Timing, loads: Table, squares: Squares) -> Iterator[tuple[Cell, ...]]:
    """Position, utilisation and words of the busiest core of each square."""
    order = np.argsort(-timing.utilisation, kind="stable")
    _, first = np.unique(squares.number[order], return_index=True)
    for k in order[first].tolist():
        busy = float(timing.utilisation[k])
        yield int(squares.column[k]), int(squares.row[k]), busy, loads.said(loads.rows[k])


def _traffic(timing: Timing, by_chip: bool) -> Iterator[tuple[Cell, ...]]:
    """Packets that leave each tile over its links, or those of all tiles of a chip."""
    mesh = timing.wiring.mesh
    leaving = timing.totals.link_packets.reshape(-1, 4).sum(1)
    place = np.flatnonzero(leaving)
    column, row = place % mesh.columns, place // mesh.columns
    if by_chip:
        column, row = column // mesh.chip.tile_columns, row // mesh.chip.tile_rows
    at, square = np.unique(np.stack([row, column]), axis=1, return_inverse=True)
    packets = np.zeros(at.shape[1], np.int64)
    np.add.at(packets, square, leaving[place])
    for (y, x), number in zip(at.T.tolist(), packets.tolist(), strict=True):
        yield x, y, number


def said(timing: Timing) -> list[str]:
    """Time and energy, one fact per line."""
    w, totals, samples = timing.wiring, timing.totals, max(timing.samples, 1)
    busiest = totals.critical.argmax()
    share = totals.critical[busiest] / max(totals.steps, 1)

    def row(title: str, value: str, more: str = "") -> str:
        return f"  {title:<24}{value:>10}  {more}".rstrip()

    network = 1 - timing.count_ns / max(timing.time_ns, 1e-300)
    where = "every packet timed" if timing.level == "packet" else "estimated from counts"
    rows = [
        f"  on {w.chips} × {w.chip.name}, {len(w.cores)} cores in {w.tiles} tiles, {where}",
        row("time per step", quantity(timing.mean_step_ns * 1e-9, "s")),
        row("time per sample", quantity(timing.time_ns / samples * 1e-9, "s")),
        row("latency of a sample", quantity(timing.latency_ns * 1e-9, "s")),
        row("energy per sample", quantity(timing.energy_j / samples, "J")),
        row("idle chips, besides", quantity(timing.static_j / samples, "J"), "per sample"),
        row("packets per sample", count(totals.packets_out.sum() / samples)),
        row("hops per sample", count(totals.hops.sum() / samples)),
        row("critical core", str(w.cores[busiest]), f"in {share:.0%} of the steps"),
        row("mean core busy", f"{timing.utilisation.mean():.1%}"),
    ]
    if timing.level == "packet":
        rows.append(row("waiting for the network", f"{network:.1%}", "of the time"))
    return rows
