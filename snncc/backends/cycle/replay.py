"""Spikes in, counts and times out: the steps of a chip, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from snncc.backends.cycle import kernels
from snncc.backends.cycle.costs import entry_ns, in_parts, link_ns, packet_ns
from snncc.backends.cycle.steps import SERIES, Level, Steps, Totals
from snncc.backends.cycle.tables import Tally, Times, Ways
from snncc.backends.cycle.timing import Timing
from snncc.backends.cycle.wiring import Place, Wiring
from snncc.diagnostics import refuse

LARGEST_COUNT = 127
"""The largest count one event of a source may carry here."""

BLOCK = 2**24
"""About how many bytes the tables of the steps take that are replayed at a time."""

Spikes = Mapping[str, np.ndarray]
"""(T, N, *shape) by the name of the place, of every source and population."""


def measure(
    wiring: Wiring, chunks: Iterable[Spikes], level: Level = "packet", workers: int = 1
) -> Timing:
    """Replay the spikes of ``chunks``, one after the other, and say what they took.

    Raises SnnccError (SNN312) for an event of a count above 127.
    """
    replay = Replay(wiring, level, workers)
    for chunk in chunks:
        replay.add(chunk)
    return replay.finish()


class Replay:
    """A chip on which the samples of all chunks stream back to back.

    N samples of T steps take N·T steps and as many more as the last place is behind the first.
    Memory does not grow with their number, and no number depends on how they come in chunks.
    Between two barriers nothing is in flight, so that ``workers`` share the steps; they are
    threads, because the kernels hold no lock.
    """

    def __init__(self, wiring: Wiring, level: Level = "packet", workers: int = 1) -> None:
        self.wiring, self.level, self.workers = wiring, level, workers
        held = np.empty((0, wiring.neurons), np.uint8)
        totals, steps = _replayed(wiring, level, held, 0, 0)
        self._so_far = _SoFar(0, totals, (steps,), held)

    def add(self, spikes: Spikes) -> None:
        """Replay a chunk more; after an error or an interrupt it has not been added.

        Raises SnnccError (SNN312) for an event of a count above 127.
        """
        steps, samples = next(iter(spikes.values())).shape[:2]
        given = [_bytes(spikes.get(place.name), place, steps, samples)
                 for place in self.wiring.places]  # fmt: skip
        # A step has a byte per neuron, and some 16 numbers per core.
        step = self.wiring.neurons + 128 * len(self.wiring.cores)
        size = max(1, BLOCK // (steps * step))
        so_far = self._so_far
        with ThreadPoolExecutor(self.workers) as pool:
            for begin in range(0, samples, size):
                block = begin, min(begin + size, samples)
                so_far = self._block(so_far, given, block, pool)
        self._so_far = so_far

    def finish(self) -> Timing:
        """What the samples so far took, the last of them to its last answer.

        The replay stays as it was: there may be more to add.
        """
        so_far = self._so_far
        if so_far.samples:
            begin = len(so_far.held)
            end = begin + self.wiring.lag
            rest = _replayed(self.wiring, self.level, so_far.held, begin, end)
            so_far = so_far.then([rest], 0, so_far.held)
        steps = Steps.joined(so_far.series)
        return Timing(self.wiring, self.level, so_far.samples, so_far.totals, steps)

    def _block(
        self, so_far: _SoFar, given: list[np.ndarray], block: tuple[int, int], pool: Executor
    ) -> _SoFar:
        """``so_far`` and the samples of a ``block``, first and end."""
        wiring, steps, samples = self.wiring, len(given[0]), block[1] - block[0]
        held = len(so_far.held)
        rows = np.empty((held + samples * steps, wiring.neurons), np.uint8)
        rows[:held] = so_far.held

        def fill(begin: int, end: int) -> None:
            here = rows[held + begin * steps : held + end * steps]
            flags(wiring, given, block[0] + begin, here)

        ends = np.linspace(0, samples, min(self.workers, samples) + 1).astype(int)
        list(pool.map(fill, ends[:-1], ends[1:]))
        # Some parts for each worker, because steps are not alike.
        parts = 1 if self.workers == 1 else min(4 * self.workers, samples * steps)
        ends = np.linspace(held, len(rows), parts + 1).astype(int)
        replayed = pool.map(partial(_replayed, wiring, self.level, rows), ends[:-1], ends[1:])
        lagging = rows[max(len(rows) - wiring.lag, 0) :].copy()
        return so_far.then(replayed, samples, lagging)


@dataclass(frozen=True, eq=False)
class _SoFar:
    """What was replayed: ``series`` are its first steps, ``held`` the flags of the last, which
    places that lag behind have yet to come to."""

    samples: int
    totals: Totals
    series: tuple[Steps, ...]
    held: np.ndarray

    def then(self, parts: Iterable[tuple[Totals, Steps]], samples: int, held: np.ndarray) -> _SoFar:
        totals, series = self.totals, self.series
        for more, steps in parts:
            if totals.steps < SERIES:
                series = (*series, steps.first(SERIES - totals.steps))
            totals += more
        return _SoFar(self.samples + samples, totals, series, held)


def _bytes(spikes: np.ndarray | None, place: Place, steps: int, samples: int) -> np.ndarray:
    """(T, N, *shape) of any number type as (T, N, n) uint8; a readout has none."""
    size = int(np.prod(place.shape))
    if spikes is None:
        return np.zeros((steps, samples, size), np.uint8)
    if place.kind == "source" and (most := spikes.max(initial=0)) > LARGEST_COUNT:
        message = f"an event of {place.name} has count {most:g}, and the cycle backend takes"
        raise refuse("SNN312", f"{message} at most {LARGEST_COUNT}")
    return np.ascontiguousarray(spikes.reshape(steps, samples, size), np.uint8)


def flags(wiring: Wiring, spikes: list[np.ndarray], sample: int, rows: np.ndarray) -> None:
    """Fill ``rows`` (N·T, n) uint8: bit 0 whether the neuron is active, above it the count it
    sends.

    They are of the samples from ``sample`` on, ``spikes`` (T, …, n) uint8 by place of all. A
    neuron is active unless it is at rest, nothing arrives and nothing drives it.
    """
    rows[:] = 0
    for place, mine, first in zip(wiring.places, spikes, wiring.first[:-1], strict=True):
        if not place.updates:
            kernels.source_flags(mine, sample, first, rows)
            continue
        for h in () if place.driven.all() else place.hears:
            kernels.touch(spikes[h.source], sample, h, first, rows)
        kernels.mark(
            mine, sample, first, place.rest, place.driven, place.forgets, place.memoryless, rows
        )


def _replayed(
    wiring: Wiring, level: Level, rows: np.ndarray, begin: int, end: int
) -> tuple[Totals, Steps]:
    """The steps from ``begin`` to ``end``; in step s, place p has the flags ``rows[s - lag]``."""
    steps, cores, packet_level = end - begin, len(wiring.cores), level == "packet"
    tally = Tally.zeros(steps, cores, len(wiring.places))
    group_spikes = np.zeros(len(wiring.groups.row), np.int64)
    links = wiring.used.links if packet_level else np.empty(0, np.int64)
    times, longest = Times.zeros(steps if packet_level else 0, cores, len(links)), 0.0
    if steps:
        kernels.tally(rows, begin, wiring.order, wiring.groups, wiring.rows, tally, group_spikes)
    if steps and packet_level:
        packets = int(tally.packets_out.sum(1).max(initial=1))
        longest = kernels.deliver(
            rows, begin, wiring.order, wiring.groups, ways(wiring), packet_ns(wiring.chip),
            min(wiring.chip.buffer_spikes, packets),
            int(tally.layer_spikes.sum(1).max(initial=0)), times,
        )  # fmt: skip
    link_waited = np.zeros((wiring.mesh.links, 2), np.int64)
    link_waited[links] = times.link_waited
    done = Steps(
        wiring, *tally, level=level, ends=times.ends, finish=times.finish, waited=times.waited
    )
    latency = int(in_parts(*times.latency[0]))
    return Totals.of(done, group_spikes, in_parts(*link_waited.T), latency, longest), done


def ways(wiring: Wiring) -> Ways:
    """The packets of all groups, and the links on their ways."""
    used, entries = wiring.used, wiring.entries
    legs = np.empty(len(entries), kernels.LEG)
    legs["hop"], legs["core"] = used.begins[wiring.paths.of], wiring.rows.core[entries]
    legs["work"] = entry_ns(wiring)[entries]
    return Ways(legs, used.ways, link_ns(wiring)[used.links])
