"""A run on a chip in words, and as one HTML file, plots and all, that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from snncc.backends.cycle.timing import Timing
from snncc.pages import count, filled

BINS = 400
"""The most points of a plot over the steps; of more steps the longest in each bin is shown."""

WIDTH, HEIGHT = 860.0, 170.0
TILE, GAP = 34.0, 16.0


def report(timing: Timing, title: str, facts: Mapping[str, str]) -> str:
    """The page; ``facts`` (accuracy, say) come first. Everything is escaped."""
    about = timing.as_dict()
    total = about["total"]
    seconds = timing.time_ns * 1e-9
    samples = max(timing.samples, 1)
    facts = {
        **facts,
        "samples": f"{timing.samples:,}",
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
        facts["waiting for the network"] = f"{share:.1%} of the time"
    steps = timing.steps
    return filled(
        "snncc.backends.cycle", "report.html.j2", quantity=quantity,
        title=title, about=about, facts=facts, mesh=mesh(timing),
        time=plot(steps.time_ns * 1e-9, "s"),
        counted=plot(steps.count_ns * 1e-9, "s", steps.time_ns.max(initial=0) * 1e-9),
        energy=plot(steps.core_j.sum(1), "J"), critical=critical(timing),
        places=shares(about["places"], "energy_j"),
        links=sorted(about["links"], key=lambda link: -link["packets"])[:12],
        cores=sorted(about["cores"], key=lambda core: -core["utilisation"])[:12],
        parts={
            name: (joules, joules / max(timing.energy_j, 1e-300))
            for name, joules in total["energy_parts_j"].items()
        },
    )  # fmt: skip


def lines(timing: Timing) -> list[str]:
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


def quantity(value: float, unit: str) -> str:
    """Three digits with a prefix: 12.3 µs."""
    for prefix, scale in (("", 1.0), ("m", 1e-3), ("µ", 1e-6), ("n", 1e-9), ("p", 1e-12)):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"0 {unit}" if value == 0 else f"{value:.2g} {unit}"


@dataclass(frozen=True)
class Plot:
    """A line over the steps as points of an SVG of WIDTH × HEIGHT, and the values of its ticks."""

    points: str
    ticks: tuple[tuple[float, str], ...]
    """Height in the SVG and value, with its unit."""
    steps: int


def plot(values: np.ndarray, unit: str, top: float | None = None) -> Plot:
    """``values`` (S,), the largest of each bin; ``top`` is the value at the upper edge."""
    bins = np.array_split(values, max(1, min(BINS, len(values))))
    binned = np.array([part.max(initial=0.0) for part in bins])
    top = float(values.max(initial=0.0)) if top is None else top
    x = np.linspace(0, WIDTH, len(binned)) if len(binned) > 1 else np.full(1, WIDTH / 2)
    y = HEIGHT - binned / (top or 1.0) * HEIGHT
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    ticks = tuple((HEIGHT * (1 - part), quantity(top * part, unit)) for part in (1.0, 0.5, 0.0))
    return Plot(points, ticks, len(values))


def critical(timing: Timing) -> dict[str, Any]:
    """Which core each step waits for: a row and its number of steps for each core that ever is,
    and points (x, y) for the steps there are one by one."""
    w, counts, row = timing.wiring, timing.totals.critical, timing.steps.critical
    order = np.argsort(-counts, kind="stable")[: min(24, np.count_nonzero(counts))]
    line = {int(core): k for k, core in enumerate(order)}
    steps = np.flatnonzero(np.isin(row, order))
    x = steps / max(len(row) - 1, 1) * WIDTH
    shown = np.unique(np.round(np.stack([x, [line[int(row[s])] for s in steps]], 1), 0), axis=0)
    return {
        "points": [(f"{a:.0f}", int(b)) for a, b in shown],
        "cores": [(int(w.cores[k]), int(counts[k])) for k in order],
    }


def mesh(timing: Timing) -> dict[str, Any]:
    """The tiles in use with their cores, shaded by utilisation, and the links between them."""
    w, chip = timing.wiring, timing.wiring.chip
    column, row = w.mesh.position(w.cores)
    west, north = int(column.min(initial=0)), int(row.min(initial=0))
    pitch, side = TILE + GAP, int(np.ceil(np.sqrt(chip.cores_per_tile)))
    cell = TILE / side
    busiest = max(float(timing.utilisation.max(initial=0)), 1e-12)
    cores: list[dict[str, Any]] = []
    for k, core in enumerate(w.cores.tolist()):
        down, along = divmod(core % chip.cores_per_tile, side)
        cores.append({
            "x": (int(column[k]) - west) * pitch + along * cell,
            "y": (int(row[k]) - north) * pitch + down * cell,
            "size": cell - 1.5, "shade": shade(float(timing.utilisation[k]) / busiest),
            "says": f"core {core}: {timing.utilisation[k]:.1%} busy, "
                    f"{quantity(float(timing.totals.core_j[k]), 'J')}",
        })  # fmt: skip
    loads = timing.totals.link_packets
    fullest = max(int(loads.max(initial=0)), 1)
    links: list[dict[str, Any]] = []
    for link in np.flatnonzero(loads).tolist():
        place, direction = divmod(link, 4)
        y, x = divmod(place, w.mesh.columns)
        x0, y0 = (x - west) * pitch + TILE / 2, (y - north) * pitch + TILE / 2
        dx, dy = ((1, 0), (-1, 0), (0, -1), (0, 1))[direction]
        aside = 3.5 * (1 if direction in (0, 3) else -1)
        links.append({
            "x1": x0 + dx * TILE / 2 + aside * abs(dy), "y1": y0 + dy * TILE / 2 + aside * abs(dx),
            "x2": x0 + dx * (pitch - TILE / 2) + aside * abs(dy),
            "y2": y0 + dy * (pitch - TILE / 2) + aside * abs(dx),
            "width": f"{1 + 4 * loads[link] / fullest:.1f}",
            "shade": shade(loads[link] / fullest, LINK),
            "says": f"link {timing.link_names[link]}: {loads[link]:,} packets, "
                    f"{timing.link_utilisation[link]:.2%} of its capacity",
        })  # fmt: skip
    xs = [link[key] for link in links for key in ("x1", "x2")] + [c["x"] + cell for c in cores]
    ys = [link[key] for link in links for key in ("y1", "y2")] + [c["y"] + cell for c in cores]
    left, top, right, bottom = min([0.0, *xs]), min([0.0, *ys]), max(xs), max(ys)
    every = max(1, int((right - left) / pitch / 30))
    columns = range(round(left / pitch), int(right / pitch) + 1, every)
    rows = range(round(top / pitch), int(bottom / pitch) + 1, every)
    return {
        "cores": cores, "links": links, "busiest": busiest, "fullest": fullest,
        "columns": [(x * pitch + TILE / 2, west + x) for x in columns],
        "rows": [(y * pitch + TILE / 2 + 4, north + y) for y in rows],
        "left": left - 30, "top": top - 18, "right": right,
        "width": right - left + 34, "height": bottom - top + 22,
    }  # fmt: skip


CORE, LINK = ((222, 235, 247), (8, 48, 107)), ((253, 224, 197), (166, 54, 3))
"""From a pale to a dark blue, and from a pale to a dark orange."""


def shade(share: float, colours: tuple[tuple[int, ...], tuple[int, ...]] = CORE) -> str:
    """The colour at ``share`` of the way."""
    pale, dark = map(np.array, colours)
    return "#" + "".join(f"{int(c):02x}" for c in pale + (dark - pale) * min(share, 1.0) ** 0.6)


def shares(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The rows with their share of the sum of ``key``."""
    total = sum(row[key] for row in rows) or 1.0
    return [{**row, "share": row[key] / total} for row in rows]
