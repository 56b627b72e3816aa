"""What the report says of a run on data: answers, spikes, work, and samples step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from snncc.arithmetic import classes
from snncc.backends.base import Replays, find
from snncc.ir.interpreter.membranes import traces
from snncc.ir.work import CMOS_45NM, Energy, Operations
from snncc.program import Program
from snncc.report import Cell, Picture, Section, Table, facts
from snncc.report.charts import bars, cells, lines

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from snncc.ir.interpreter import Value
    from snncc.report.section import Kind
    from snncc.simulation import Simulation

NEURONS = 24
"""Neurons of a layer in a raster: those that fire most."""

TRACED = 3
"""Neurons of a layer whose membranes are drawn: those that fire most."""

CLASSES = 20
"""The most classes whose confusion is drawn as squares."""

LAYERS = 24
"""Layers in rasters and traces, from the input on."""


def sections(
    program: Program,
    simulation: Simulation,
    data: str,
    labels: ArrayLike | None,
    samples: Mapping[int, Mapping[str, Value]],
) -> list[Section]:
    """The report of a run on ``data``; ``samples``: inputs of those to be shown step by step."""
    several = [
        answers(simulation, data, labels),
        spikes(program, simulation),
        work(program, simulation),
        flips(simulation),
        *_on_chip(simulation),
        *(sample(program, number, inputs) for number, inputs in samples.items()),
    ]
    return [each for each in several if each is not None]


def _on_chip(simulation: Simulation) -> Sequence[Section]:
    """What the backend says of the chip, where it ran on one."""
    machine = find(simulation.backend)()
    if simulation.timing is None or not isinstance(machine, Replays):
        return ()
    return machine.sections(simulation.timing)


def answers(simulation: Simulation, data: str, labels: ArrayLike | None) -> Section:
    """What ran on what, the accuracy of every head, and which class was taken for which."""
    rows = [
        ("data", data),
        ("samples", f"{simulation.samples:,}"),
        ("backend", simulation.backend),
        ("arithmetic", str(simulation.arithmetic)),
    ]
    if simulation.encoder:
        rows.append(("encoded by", simulation.encoder))
    if (agreed := simulation.agreement) is not None:
        said = f"{agreed.differing:,} of {agreed.compared:,} spikes and silences differ"
        rows.append(("against the reference", said))
    says = (
        ["Interrupted: all numbers are of the samples before that."] if simulation.partial else []
    )
    tables, pictures = [facts("run", rows)], []
    if labels is not None:
        told = np.asarray(labels)
        accuracy = Table.of(
            "accuracy",
            {"head": "text", "right": "count", "of": "count", "accuracy": "share"},
            [
                (name, right := int((classes(y).numpy() == told).sum()), len(told),
                 right / max(len(told), 1))
                for name, y in simulation.heads.items()
            ],
        )  # fmt: skip
        confusion = _confusion(simulation.confusion(told))
        tables += [accuracy, confusion]
        says += [
            f"{name}: {100 * share:.2f} % ({right:,} of {of:,})."
            for name, right, of, share in accuracy.rows
            if isinstance(share, float) and isinstance(right, int) and isinstance(of, int)
        ]
        pictures.append(_confused(simulation.confusion(told), confusion))
    return Section("run", "The run", tuple(says), tuple(tables), tuple(pictures))


def _confusion(counts: np.ndarray) -> Table:
    """The pairs of label and answer that there are."""
    return Table.of(
        "confusion",
        {"label": "text", "answer": "text", "samples": "count"},
        [
            (str(label), str(answer), int(counts[label, answer]))
            for label, answer in np.argwhere(counts).tolist()
        ],
    )


def _confused(counts: np.ndarray, confusion: Table) -> Picture:
    """Every pair of classes, or of many classes the answers that are most often wrong."""
    size = len(counts)
    if size > CLASSES:
        wrong = sorted((row for row in confusion.rows if row[0] != row[1]),
                       key=lambda row: -counts[int(str(row[0])), int(str(row[1]))])  # fmt: skip
        table = Table.of(
            "",
            {"pair": "text", "samples": "count"},
            [(f"{a} taken for {b}", n) for a, b, n in wrong],
        )
        says = "How many samples of one label were given another answer."
        return bars(table, "pair", "samples", title="Wrong answers", says=says, most=20)
    table = Table.of(
        "",
        {"answer": "text", "label": "text", "samples": "count"},
        [(str(b), str(a), int(counts[a, b])) for a in range(size) for b in range(size)],
    )
    says = "How many samples of each label (row) were given each answer (column)."
    return cells(table, "answer", "label", "samples", title="Confusion", says=says, numbers=True)


def spikes(program: Program, simulation: Simulation) -> Section:
    """How much each layer fires."""
    whole = program.scheduled or program.network
    table = Table.of(
        "spikes by layer",
        {"layer": "text", "kind": "text", "neurons": "count", "spikes per sample": "count",
         "rate": "share"},
        [
            (place.name, place.role, math.prod(place.shape),
             simulation.sent[place.name] / simulation.samples,
             simulation.sent[place.name] / max(simulation.after.parts[place.name].updates, 1))
            for place in whole.populations
            if place.name in simulation.sent
        ],
    )  # fmt: skip
    says = ("The rate of a layer is the mean number of spikes of a neuron in a step.",)
    pictures = (
        bars(table, "layer", "rate", says="Mean spikes of a neuron in a step."),
        bars(table, "layer", "spikes per sample", says="All neurons of the layer together."),
    )
    return Section("spikes", "Spikes", says, (table,), pictures)


_COSTS: Mapping[str, Kind] = {
    "AC": "count", "MAC": "count", "neuron updates": "count", "energy of AC and MAC": "joule",
}  # fmt: skip


def _costs(done: Operations, price: Energy, samples: int) -> tuple[float, ...]:
    """What the columns of `_COSTS` hold, per sample."""
    return tuple(each / samples for each in (done.ac, done.mac, done.updates, price(done)))


def work(program: Program, simulation: Simulation) -> Section:
    """Where the AC and MAC of a sample are, by layer, before and after compiling."""
    samples = simulation.samples
    whole = program.scheduled or program.network
    trained, price = simulation.prices
    into: dict[str, Operations] = {name: Operations() for name in whole.places}
    for name, done in simulation.after.parts.items():
        at = name.rpartition(" -> ")[2]
        into[at] = into.get(at, Operations()) + done
    after = Table.of(
        "a sample as compiled, by layer",
        {"layer": "text", **_COSTS},
        [
            (name, *_costs(done, price, samples))
            for name, done in into.items()
            if done != Operations()
        ],
    )
    before = Table.of(
        "a sample as trained, by op",
        {"op": "text", "AC": "count", "MAC": "count", "energy of AC and MAC": "joule"},
        [
            (name, done.ac / samples, done.mac / samples, trained(done) / samples)
            for name, done in simulation.before.parts.items()
            if done.ac or done.mac
        ],
    )
    columns = {"as trained": (simulation.before.total, trained),
               "as compiled": (simulation.after.total, price)}  # fmt: skip
    if simulation.host.parts:
        columns["auxiliary path on the host"] = (simulation.host.total, CMOS_45NM)
    total = Table.of(
        "a sample in all",
        {"network": "text", **_COSTS},
        [(name, *_costs(done, cost, samples)) for name, (done, cost) in columns.items()],
    )
    says = [
        "As trained: the auxiliary path included. As compiled: with its gates and relays, and the "
        "encoders on the host.",
        f"Energy: {trained.source}.",
    ]
    if price is not trained:
        says.append(f"As compiled: {price.source}.")
    pictures = [
        bars(after, "layer", "AC", says="Additions of a weight in a sample, as compiled."),
        bars(after, "layer", "energy of AC and MAC", says="Of a sample, as compiled."),
        bars(before, "op", "AC", title="AC as trained", says="By op of the trained network."),
    ]
    if rows := tuple(row for row in before.rows if row[2]):
        dense = replace(before, rows=rows)
        pictures.append(
            bars(dense, "op", "MAC", title="MAC as trained", says="By op of the trained network.")
        )
    return Section("work", "Work and energy", tuple(says), (total, after, before), tuple(pictures))


def flips(simulation: Simulation) -> Section | None:
    """The spikes of each layer that differ from floating point on this data."""
    rounding = simulation.rounding
    if rounding is None:
        return None
    table = Table.of(
        "flips by layer, with all that earlier flips change",
        {"layer": "text", "flips": "count"},
        rounding.flips.items(),
    )
    says = (
        f"{rounding.flipped:,} of {rounding.compared:,} spikes and silences of neurons differ from "
        "those in floating point on this data: flips made and inherited.",
    )
    picture = bars(table, "layer", "flips", says="Made in the layer or inherited from before it.")
    return Section("flips", "Flips on this data", says, (table,), (picture,))


@dataclass(frozen=True)
class _Shown:
    """Neurons of a layer in one sample: ``of`` (K,) are their places, spikes and v are (T, K)."""

    layer: str
    of: Sequence[int]
    spikes: np.ndarray
    membranes: np.ndarray
    thresholds: np.ndarray


def sample(program: Program, number: int, inputs: Mapping[str, Value]) -> Section:
    """One sample step by step: how each layer fires, rasters, and membranes of some neurons."""
    network = program.network
    run = program.simulator(torch.float64, None)(inputs)
    several = [place for place in network.populations if place.name in run.spikes]
    rates = Table.of(
        "rate by layer and step",
        {"step": "count", "layer": "text", "rate": "share"},
        [
            (step, place.name, float(rate))
            for place in several
            for step, rate in enumerate(run.spikes[place.name][:, 0].double().flatten(1).mean(1))
        ],
    )
    shown = list(_shown(program, inputs, run.spikes))
    raster = Table.of(
        "spikes",
        {"layer": "text", "step": "count", "neuron": "count"},
        [
            (each.layer, int(step), int(each.of[at]))
            for each in shown
            for step, at in np.argwhere(each.spikes)
        ],
    )
    membranes = Table.of(
        "membranes before reset",
        {"layer": "text", "neuron": "count", "step": "count", "membrane": "number",
         "threshold": "number", "spike": "count"},
        [
            (each.layer, int(each.of[at]), step, float(each.membranes[step, at]),
             float(each.thresholds[at]), int(each.spikes[step, at]))
            for each in shown
            for at in range(min(TRACED, len(each.of)))
            for step in range(len(each.membranes))
        ],
    )  # fmt: skip
    pictures = [
        cells(rates, "step", "layer", "rate", title="Rate by layer and step",
              says="The stronger the colour, the more neurons of the layer fire."),
        *(picture for each in shown for picture in (_raster(each), _traced(each))),
    ]  # fmt: skip
    says = (
        f"Rasters show the {NEURONS} neurons of a layer that fire most in this sample, and their "
        f"numbers in the layer; membranes those of the first {TRACED}, before reset, in units of "
        "the layer's weights.",
    )
    return Section(
        f"sample-{number}", f"Sample {number}", says, (rates, raster, membranes), tuple(pictures)
    )


def _shown(
    program: Program, inputs: Mapping[str, Value], said: Mapping[str, Value]
) -> Iterator[_Shown]:
    names = [place.name for place in program.network.populations if place.role == "neuron"][:LAYERS]
    for name, traced in traces(program.network, inputs, said, names):
        fired, v = (x[:, 0].flatten(1).numpy() for x in (traced.spikes, traced.membranes))
        order = np.argsort(-fired.sum(0), kind="stable")[:NEURONS]
        thresholds = traced.thresholds.flatten().numpy()[order]
        yield _Shown(name, order.tolist(), fired[:, order], v[:, order], thresholds)


def _raster(each: _Shown) -> Picture:
    grid: list[tuple[Cell, ...]] = [
        (step, str(neuron), int(each.spikes[step, at]))
        for at, neuron in enumerate(each.of)
        for step in range(len(each.spikes))
    ]
    table = Table.of("", {"step": "count", "neuron": "text", "spike": "count"}, grid)
    return cells(table, "step", "neuron", "spike", title=f"Raster of {each.layer}",
                 says="A filled square is a spike.", folded=True)  # fmt: skip


def _traced(each: _Shown) -> Picture:
    count = min(TRACED, len(each.of))
    names = [f"neuron {neuron}" for neuron in each.of[:count]]
    table = Table.of(
        "",
        {"step": "count", **dict.fromkeys(names, "number")},
        [
            (step, *(float(v / (theta or 1.0)) for v, theta in
                     zip(row[:count], each.thresholds, strict=False)))
            for step, row in enumerate(each.membranes)
        ],
    )  # fmt: skip
    says = "Before reset, over the threshold: at 1 the neuron fires."
    title = f"Membranes of {each.layer}"
    return lines(table, "step", names, title=title, says=says, folded=True)
