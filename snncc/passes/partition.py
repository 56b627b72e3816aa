"""partition: every neuron on a core, within every limit of the chip, work in balance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.interpreter import Value, run_network
from snncc.ir.mapping import Mapping as CoreMapping
from snncc.ir.network import Network, Place, Population
from snncc.passes.base import Form, Outcome, Pass
from snncc.passes.bricks import Bricks, cut
from snncc.passes.demands import LIMITS, Activity, Demands, Structure, limits
from snncc.passes.fitting import OWN_BIAS, alike, not_on_chip, origin, too_many_cores, too_much
from snncc.passes.packing import Packing
from snncc.targets.chip import Chip, board_for, find_chip

ROUNDS = 6
"""How often the number of cores is guessed anew."""

_SLACK = 0.07
"""How much closer than asked the work of a full core is to the mean, because not all are full."""


@dataclass(frozen=True)
class Partition(Pass):
    """Split the places of a scheduled network over the cores of ``chip`` (design, section 3).

    ``chip`` is the name of one of ours or a file. ``balance`` is how much more synaptic work than
    the mean a core may have. ``calibration``: inputs as `snncc.ir.interpreter.run_network` takes
    them, whose spikes say how much work a synapse is; without them every neuron counts alike.

    1. Sources, populations and readouts are cut into bricks: equal intervals of each axis, of
       channels, of space or of both, whichever costs fewer cores; no brick exceeds a limit.
       Populations with little work are cut small, along the lines of what they copy.
    2. Large bricks first, each joins the core it exchanges most spikes with, or the one numbered
       nearest to it that has room under all limits, or opens a new one. Where the chip has one set
       of neuron parameters a core, only like neurons share it.
    3. The number of cores is guessed from below until packing needs no more and the work is in
       balance: few cores where limits allow it, more where balance needs them.

    Core numbers count cores as they were filled; ``place`` moves them. Spikes are preserved.

    Refuses a neuron that is too much for a core by itself (SNN204 synapse memory, SNN205 fan-in
    lists, SNN206 fan-out axons, SNN207 routing entries), more cores than a board has (SNN208), a
    delay longer than the chip's (SNN209), thresholds or decays by neuron where the chip has them by
    layer (SNN201), and counts in more bits than a spike carries (SNN202). Warns where work cannot
    be balanced (SNN210).
    """

    name: ClassVar[str] = "partition"
    reads: ClassVar[type[Form]] = Network
    writes: ClassVar[type[Form]] = Network

    chip: str = "loihi1"
    balance: float = 1.3
    calibration: Mapping[str, Value] | None = field(default=None, repr=False, compare=False)

    def __call__(self, form: Form) -> Outcome:
        assert isinstance(form, Network)
        chip = find_chip(self.chip)
        activity = None if self.calibration is None else rates(form, self.calibration)
        structure = Structure.of(form, chip, activity)
        problems = [*not_on_chip(form, chip, self.calibration)]
        cores = Cores.found(structure, self.balance)
        problems += [*cores.problems, *too_many_cores(structure, cores.of, cores.least)]
        if problems:
            return Outcome(form, tuple(problems), rest=form)
        mapping = CoreMapping(cores.chips, cores.of, activity or {})
        mapping.verify(form.on_chip, chip.cores)
        findings = tuple(_imbalance(cores, self.balance))
        return Outcome(replace(form, mapping=mapping), findings, cores.report)


def rates(network: Network, inputs: Mapping[str, Value]) -> Activity:
    """Spikes a step that each neuron sends on the average over ``inputs``, by place."""
    run = run_network(network, inputs)
    return {
        name: run.spikes[name].double().mean((0, 1)).numpy()
        for name in network.on_chip
        if name in run.spikes
    }


@dataclass(frozen=True)
class Cores:
    """Where each neuron went, or why it could not; what the cores hold, and the least possible.

    ``least`` is how many cores each limit needs by itself.
    """

    structure: Structure
    of: Mapping[str, np.ndarray]
    count: int
    demands: Demands
    least: Mapping[str, int]
    problems: tuple[Finding, ...] = ()

    @classmethod
    def found(cls, structure: Structure, balance: float) -> Cores:
        """Rules 1 to 3."""
        least = lower_bound(structure)
        total = sum(float(work.sum()) for work in structure.work.values())
        neurons = sum(math.prod(shape) for shape in structure.shapes.values())
        guess, best = max(least.values(), default=0), None
        for _ in range(ROUNDS):
            most = max(total / max(guess, 1) * (balance - _SLACK), 1e-300)
            parts = _bricks(structure, most)
            demands = structure.demands(parts)
            needed = _needed(demands, structure.chip)
            if best is None and needed > 1.1 * guess:
                guess = needed
                continue
            parts, demands, problems = _within_limits(structure, parts, demands)
            if problems:
                return cls(structure, parts, len(demands.work), demands, least, problems)
            core = _packed(structure, parts, demands, most)
            of = {name: core[part] for name, part in parts.items()}
            cores = cls(structure, of, int(core.max(initial=-1)) + 1, structure.demands(of), least)
            if best is None or cores.imbalance < best.imbalance:
                best = cores
            if cores.imbalance <= balance:
                break
            # Bricks come in steps, so that work falls more slowly than cores are added.
            guess = int(np.ceil(guess * min((cores.imbalance / (balance - _SLACK / 2)) ** 1.5, 2)))
            if guess > neurons:
                break
        assert best is not None
        return best

    @property
    def chips(self) -> int:
        """Of the board; some may hold no neuron so that all its rows are full."""
        chip = self.structure.chip
        return board_for(max(-(-self.count // chip.cores), 1), chip.chips)

    @property
    def imbalance(self) -> float:
        """The most synaptic work on a core, by the mean over all cores in use."""
        mean = self.demands.work.mean() if self.count else 0.0
        return float(self.demands.work.max() / mean) if mean else 1.0

    @property
    def report(self) -> dict[str, object]:
        chip, held = self.structure.chip, self.demands.limited
        return {
            "chip": chip.name,
            "cores": self.count,
            "chips": self.chips,
            "cores at least": dict(self.least),
            "largest work over mean": round(self.imbalance, 4),
            "mean work": float(self.demands.work.mean()) if self.count else 0.0,
            "utilisation": {
                what: {
                    "mean": round(float(held[:, i].mean() / limit), 4),
                    "max": round(float(held[:, i].max() / limit), 4),
                }
                for i, (what, limit) in enumerate(zip(LIMITS, limits(chip).tolist(), strict=True))
                if self.count
            },
            "places": {
                name: {"neurons": core.size, "cores": len(np.unique(core))}
                for name, core in self.of.items()
            },
        }


def lower_bound(structure: Structure) -> dict[str, int]:
    """Cores that each limit needs by itself, whatever the mapping.

    Every neuron, kernel and fan-in list is somewhere at least once. Of an output channel's kernel
    all is on the core of its neurons, so that a neuron that reaches all channels needs an axon to
    as many cores as it takes to hold the weights.
    """
    chip = structure.chip
    once = structure.demands({n: np.zeros(s, np.int64) for n, s in structure.shapes.items()})
    axons = 0
    for name in structure.shapes:
        each = np.zeros(structure.shapes[name], np.int64)
        for wire in structure.out_of(name):
            spread = 1
            if wire.weight is not None and wire.groups <= 1:
                whole = np.zeros(wire.target, np.int64)
                spread = -(-int(wire.words_of(whole, 1)[0]) // chip.synapse_words)
            reached = np.diff(wire.reach.between.tocsc().indptr)[wire.reach.sources] > 0
            each = np.maximum(each, np.where(reached.reshape(wire.source), spread, 0))
        axons += int(each.sum())
    totals = {**{what: int(getattr(once, what).sum()) for what in LIMITS}, "axons": axons}
    del totals["entries"]
    return {what: -(-total // getattr(chip, LIMITS[what])) for what, total in totals.items()}


def _bricks(structure: Structure, most: float) -> dict[str, np.ndarray]:
    bricks, parts, count = Bricks(structure, most), {}, 0
    for name, shape in structure.shapes.items():
        parts[name] = cut(shape, bricks.grids[name]) + count
        count += math.prod(bricks.grids[name])
    return parts


def _needed(demands: Demands, chip: Chip) -> int:
    """Cores for all bricks by the tightest limit, if cores could be filled to the brim."""
    return int(np.ceil((demands.limited.sum(0) / limits(chip)).max(initial=0)))


def _within_limits(
    structure: Structure, parts: dict[str, np.ndarray], demands: Demands
) -> tuple[dict[str, np.ndarray], Demands, tuple[Finding, ...]]:
    """Halve every brick that exceeds a limit until none does, or a single neuron does."""
    room = limits(structure.chip)
    while True:
        over = np.asarray((demands.limited > room).any(1))
        problems = tuple(too_much(structure, parts, demands, over & (demands.neurons == 1)))
        if problems or not over.any():
            return parts, demands, problems
        count, halved = len(over), {}
        for name, part in parts.items():
            halved[name], count = _halved(part, over, count)
        parts = halved
        demands = structure.demands(parts)


def _halved(part: np.ndarray, over: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """``part`` with the bricks that are ``over`` cut across their longest axis."""
    result = part.copy()
    for brick in np.unique(part[over[part]]).tolist():
        at = np.nonzero(part == brick)
        spans = [int(axis.max() - axis.min()) for axis in at]
        longest = at[int(np.argmax(spans))]
        upper = longest > (int(longest.min()) + int(longest.max())) // 2
        if upper.any():
            result[tuple(axis[upper] for axis in at)] = count
            count += 1
    return result, count


def _packed(
    structure: Structure, parts: Mapping[str, np.ndarray], demands: Demands, most: float
) -> np.ndarray:
    """The core of each brick (rule 2)."""
    need = np.concatenate([demands.work[:, None], demands.limited], 1).astype(float)
    room = np.concatenate([[max(most, float(demands.work.max(initial=0)))], limits(structure.chip)])
    place = np.zeros(len(need), np.int64)
    for index, part in enumerate(parts.values()):
        place[part.ravel()] = index
    packing = Packing(need, room, demands, _kinds(structure)[place])
    size = np.ceil(np.log2(np.maximum((need / room).max(1), 1 / 16)) * 2)
    packing.join(np.lexsort((place, -size)).tolist())
    return packing.core


def _kinds(structure: Structure) -> np.ndarray:
    """For each place, the number of its set of neuron parameters; all alike where they may mix."""
    if structure.chip.thresholds == "neuron":
        return np.zeros(len(structure.shapes), np.int64)
    kinds: dict[object, int] = {}
    places = (structure.network.places[name] for name in structure.shapes)
    kind = (_kind(place, structure.network) for place in places)
    return np.array([kinds.setdefault(each, len(kinds)) for each in kind])


def _kind(place: Place, network: Network) -> object:
    """What neurons must have alike to share a core of one set of parameters."""
    if not isinstance(place, Population):
        return type(place)
    own = vars(place.neuron).items()
    return tuple((name, alike(value, network)) for name, value in own if name not in OWN_BIAS)


def _imbalance(cores: Cores, balance: float) -> Iterator[Finding]:
    if cores.imbalance > balance:
        at = int(cores.demands.work.argmax())
        name = max(
            cores.of, key=lambda n: float((cores.structure.work[n] * (cores.of[n] == at)).sum())
        )
        message = (
            f"the busiest core has {cores.imbalance:.2f} times the synaptic work of the mean, more "
            f"than {balance:g}; most of it is of {name}"
        )
        yield Finding("SNN210", message, origin(cores.structure.network, name), name)
