"""The core of every neuron, found by cutting places into bricks and packing these (partition)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snncc.diagnostics import Finding
from snncc.ir.interpreter import Value, run_network
from snncc.ir.network import Network, Place, Population
from snncc.mapping.bricks import Bricks, cut
from snncc.mapping.demands import LIMITS, Activity, Demands, Structure, limits
from snncc.mapping.fitting import OWN_BIAS, alike, too_much
from snncc.mapping.packing import Packing
from snncc.mapping.reports import Cut
from snncc.targets.chip import Chip, board_for

ROUNDS = 6
"""How often the number of cores is guessed anew."""

_SLACK = 0.07
"""How much closer than asked the work of a full core is to the mean, because not all are full."""


def rates(network: Network, inputs: Mapping[str, Value]) -> Activity:
    """Spikes per step that each neuron sends on the average over ``inputs``, by place."""
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
    def report(self) -> Cut:
        chip, held = self.structure.chip, self.demands.limited
        return Cut(
            chip=chip.name,
            cores=self.count,
            chips=self.chips,
            cores_at_least=dict(self.least),
            largest_work_over_mean=round(self.imbalance, 4),
            mean_work=float(self.demands.work.mean()) if self.count else 0.0,
            utilisation={
                what: {
                    "mean": round(float(held[:, i].mean() / limit), 4),
                    "max": round(float(held[:, i].max() / limit), 4),
                }
                for i, (what, limit) in enumerate(zip(LIMITS, limits(chip).tolist(), strict=True))
                if self.count
            },
            places={
                name: {"neurons": core.size, "cores": len(np.unique(core))}
                for name, core in self.of.items()
            },
        )


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
