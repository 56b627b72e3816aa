"""Spikes in, counts and times out: the steps of a chip, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Literal, Self

import numpy as np

from snncc.backends.cycle import kernels
from snncc.backends.cycle.wiring import Place, Wiring
from snncc.diagnostics import refuse
from snncc.targets.chip import Chip
from snncc.targets.mesh import EAST, SOUTH

Level = Literal["count", "packet"]

LARGEST_COUNT = 127
"""The largest count one event of a source may carry here."""


@dataclass(frozen=True, eq=False)
class Steps:
    """What happened in S steps of a chip; K cores, P places, L links, times in nanoseconds.

    (S, K) ``packets_out`` and ``packets_in``, ``events`` (synaptic operations), ``active`` (neuron
    updates with something to do) and (S, K, 3) ``hops`` of the packets a core sends, east-west,
    north-south and between chips. (S, P) ``layer_spikes``, ``layer_events`` by the place whose
    neurons they reach, ``layer_active``, ``layer_packets`` and (S, P, 3) ``layer_hops``. (L,)
    ``link_packets``.

    At level "packet" also (S, K) ``ends``, when a core is done with its neurons and its packets
    are on their way, ``finish``, when it has worked off what it was sent, ``waited``, how long its
    packets stood ready; (L,) ``link_waited``; (2,) ``latency``, sum and longest of a packet.
    """

    packets_out: np.ndarray
    packets_in: np.ndarray
    events: np.ndarray
    active: np.ndarray
    hops: np.ndarray
    layer_spikes: np.ndarray
    layer_events: np.ndarray
    layer_active: np.ndarray
    layer_packets: np.ndarray
    layer_hops: np.ndarray
    link_packets: np.ndarray
    ends: np.ndarray
    finish: np.ndarray
    waited: np.ndarray
    link_waited: np.ndarray
    latency: np.ndarray

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """One run of steps after another."""
        several = list(parts)
        columns = {f.name: [getattr(part, f.name) for part in several] for f in fields(cls)}
        whole = {name: np.concatenate(column) for name, column in columns.items()}
        for name in ("link_packets", "link_waited"):
            whole[name] = np.sum(columns[name], axis=0)
        latency = np.stack(columns["latency"])
        whole["latency"] = np.array([latency[:, 0].sum(), latency[:, 1].max(initial=0)])
        return cls(**whole)


Spikes = Mapping[str, np.ndarray]
"""(T, N, *shape) by the name of the place, of every source and population."""


def replay(
    wiring: Wiring, chunks: Iterable[Spikes], level: Level = "packet", workers: int = 1
) -> Steps:
    """The steps of a chip on which the samples of all ``chunks`` stream back to back.

    N samples of T steps take N·T steps and as many more as the last place is behind the first.
    Between two barriers nothing is in flight, so that ``workers`` share the steps; they are
    threads, because the kernels hold no lock. Raises SnnccError (SNN312) for an event of a count
    above 127.
    """
    with ThreadPoolExecutor(workers) as pool:
        return Steps.joined(_steps(wiring, chunks, level, workers, pool))


def _steps(
    wiring: Wiring, chunks: Iterable[Spikes], level: Level, workers: int, pool: Executor
) -> Iterator[Steps]:
    for spikes, warm, last in _parts(wiring, chunks):
        rows = flags(wiring, spikes)
        begin = warm * next(s.shape[1] for s in spikes if s is not None)
        end = len(rows) + (wiring.lag if last else 0)
        # Some parts for each worker, because steps are not alike.
        parts = 1 if workers == 1 else max(1, min(4 * workers, end - begin))
        ends = np.linspace(begin, end, parts + 1).astype(int)
        run = partial(_replayed, wiring, level, rows)
        yield from pool.map(run, ends[:-1], ends[1:])


Part = tuple[list[np.ndarray | None], int, bool]
"""Spikes (N, T, n) uint8 place by place (a readout has none); how many of the samples were run
before and are there for the places that lag behind; whether the stream ends here."""


def _parts(wiring: Wiring, chunks: Iterable[Spikes]) -> Iterator[Part]:
    before: list[np.ndarray | None] | None = None
    held: Part | None = None
    for chunk in chunks:
        now = [_bytes(chunk.get(place.name), place) for place in wiring.places]
        back = -(-wiring.lag // next(s.shape[1] for s in now if s is not None))
        warm = 0
        if before is not None:
            warm = next(len(s) for s in before if s is not None)
            now = [_beside(old, new) for old, new in zip(before, now, strict=True)]
        if held is not None:
            yield held
        held = now, warm, False
        before = [None if s is None else s[max(len(s) - back, 0) :] for s in now]
    if held is not None:
        yield held[0], held[1], True


def _bytes(spikes: np.ndarray | None, place: Place) -> np.ndarray | None:
    """(T, N, *shape) of any number type as (N, T, n) uint8."""
    if spikes is None:
        return None
    if place.kind == "source" and (most := spikes.max(initial=0)) > LARGEST_COUNT:
        message = f"an event of {place.name} has count {most:g}, and the cycle backend takes"
        raise refuse("SNN312", f"{message} at most {LARGEST_COUNT}")
    by_sample = spikes.reshape(*spikes.shape[:2], -1).swapaxes(0, 1)
    return np.ascontiguousarray(by_sample, np.uint8)


def _beside(old: np.ndarray | None, new: np.ndarray | None) -> np.ndarray | None:
    return None if old is None or new is None else np.concatenate([old, new])


def flags(wiring: Wiring, spikes: list[np.ndarray | None]) -> np.ndarray:
    """(N·T, n) uint8: bit 0 whether the neuron is active, above it the count it sends.

    A neuron is active unless it is at rest, nothing arrives and nothing drives it.
    """
    samples, steps = next(s.shape[:2] for s in spikes if s is not None)
    result = np.empty((samples * steps, wiring.neurons), np.uint8)
    for p, place in enumerate(wiring.places):
        mine = spikes[p]
        for n in range(samples):
            here = result[n * steps : (n + 1) * steps, wiring.first[p] : wiring.first[p + 1]]
            own = np.zeros(here.shape, np.uint8) if mine is None else mine[n]
            if not place.updates:
                kernels.source_flags(own, here)
                continue
            touched = np.zeros(here.shape, np.uint8)
            for h in place.hears:
                heard = spikes[h.source]
                assert heard is not None
                kernels.touch(heard[n], h.sources, h.targets, h.start, h.heard, h.delay, touched)
            kernels.mark(
                own, touched, place.rest, place.driven, place.forgets, place.memoryless, here
            )
    return result


def _replayed(wiring: Wiring, level: Level, rows: np.ndarray, begin: int, end: int) -> Steps:
    """The steps from ``begin`` to ``end``; in step s, place p has the flags ``rows[s - lag]``."""
    chip, steps = wiring.chip, end - begin
    cores, places = len(wiring.cores), len(wiring.places)
    lag = np.array([place.lag for place in wiring.places], np.int64)
    updates = np.array([place.updates for place in wiring.places])

    def per(width: int, *more: int) -> np.ndarray:
        return np.zeros((steps, width, *more), np.int64)

    counts = {
        "packets_out": per(cores), "packets_in": per(cores), "events": per(cores),
        "active": per(cores), "hops": per(cores, 3), "layer_spikes": per(places),
        "layer_events": per(places), "layer_active": per(places), "layer_packets": per(places),
        "layer_hops": per(places, 3),
    }  # fmt: skip
    group_spikes = np.zeros(len(wiring.group_row), np.int64)
    kernels.tally(
        rows, begin, wiring.first, lag, updates, wiring.core, wiring.group, wiring.group_row,
        wiring.row_start, wiring.entry_core, wiring.entry_events, wiring.layer_start,
        wiring.layer_place, wiring.layer_events, wiring.group_hops, *counts.values(), group_spikes,
    )  # fmt: skip
    times = {name: np.zeros((steps if level == "packet" else 0, cores))
             for name in ("ends", "finish", "waited")}  # fmt: skip
    link_waited, latency = np.zeros(wiring.mesh.links), np.zeros(2)
    if level == "packet":
        used, ways, _ = wiring.ways
        used_waited = np.zeros(len(used))
        packets = int(counts["packets_out"].sum(1).max(initial=1))
        kernels.deliver(
            rows, begin, lag, updates, wiring.order, wiring.run_start, wiring.run_place,
            wiring.core_start, wiring.group, wiring.path_of_group, legs(wiring), ways,
            link_ns(wiring)[used],
            *packet_ns(chip), min(chip.buffer_spikes, packets),
            int(counts["layer_spikes"].sum(1).max(initial=0)),
            *times.values(), used_waited, latency,
        )  # fmt: skip
        link_waited[used] = used_waited
    return Steps(
        **counts,
        **times,
        link_packets=_loads(wiring, group_spikes),
        link_waited=link_waited,
        latency=latency,
    )


def nanoseconds(seconds: np.ndarray) -> np.ndarray:
    """In whole 2^-30 ns: sums are exact, and what happens at the same time has the same number."""
    return np.rint(np.asarray(seconds) * 1e9 * 2**30) / 2**30


def packet_ns(chip: Chip) -> np.ndarray:
    """What a link takes between two packets, an active and an inactive neuron, and axon-out; and
    how long a packet keeps its target but for its synapses: tile port and axon-in."""
    seconds = [chip.neuron_active_s, chip.neuron_inactive_s, chip.axon_out_s]
    return nanoseconds(np.array([1 / chip.link_spikes_s, *seconds, chip.tile_s + chip.axon_in_s]))


def entry_ns(wiring: Wiring) -> np.ndarray:
    """How long the synapses of each entry take for a spike."""
    return nanoseconds(wiring.chip.synapse_s * wiring.entry_events)


def legs(wiring: Wiring) -> np.ndarray:
    """The packets of all groups, as `kernels.LEG`."""
    _, _, begins = wiring.ways
    result = np.empty(len(begins), kernels.LEG)
    result["hop"], result["core"] = begins, wiring.entry_core[wiring.entries]
    result["work"] = entry_ns(wiring)[wiring.entries]
    return result


def link_kinds(wiring: Wiring) -> np.ndarray:
    """(L,) 0 for a link east or west, 1 north or south, 2 from a chip to the next."""
    mesh, chip = wiring.mesh, wiring.chip
    link = np.arange(mesh.links)
    place, direction = np.divmod(link, 4)
    row, column = np.divmod(place, mesh.columns)
    across = direction < 2
    step = np.where(np.isin(direction, (EAST, SOUTH)), 1, -1)
    along, size = np.where(across, column, row), np.where(across, chip.tile_columns, chip.tile_rows)
    leaves = (along + step) // size != along // size
    return np.where(leaves, 2, np.where(across, 0, 1))


def link_ns(wiring: Wiring) -> np.ndarray:
    """(L,) how long a packet is on each link."""
    chip = wiring.chip
    hops = nanoseconds(np.array([chip.hop_ew_s, chip.hop_ns_s, chip.hop_chip_s]))
    return hops[link_kinds(wiring)]


def _loads(wiring: Wiring, group_spikes: np.ndarray) -> np.ndarray:
    """(L,) packets over each link, from how often each group was sent."""
    sent = np.repeat(group_spikes, np.diff(wiring.path_of_group))
    per_path = np.bincount(wiring.path, sent, len(wiring.path_start) - 1)
    on_link = np.repeat(per_path, np.diff(wiring.path_start))
    return np.bincount(wiring.links, on_link, wiring.mesh.links).astype(np.int64)
