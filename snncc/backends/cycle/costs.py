"""What the constants of a chip come to; times lie on a grid, so that their sums are exact."""

from __future__ import annotations

import numpy as np

from snncc.backends.cycle.kernels import PARTS
from snncc.backends.cycle.tables import Durations
from snncc.backends.cycle.wiring import Wiring
from snncc.targets.chip import Chip
from snncc.targets.mesh import EAST, SOUTH


def nanoseconds(seconds: np.ndarray) -> np.ndarray:
    """On the grid: sums are exact, and what happens at the same time has the same number."""
    return np.rint(np.asarray(seconds) * 1e9 * PARTS) / PARTS


def summed(ns: np.ndarray) -> np.ndarray:
    """The sum of times over the first axis, exactly: Python's integers, in parts."""
    whole = np.floor(ns)
    return in_parts(whole.astype(np.int64).sum(0), ((ns - whole) * PARTS).astype(np.int64).sum(0))


def in_parts(whole: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """So many whole nanoseconds and parts of one, as Python's integers: no sum is too long."""
    return np.asarray(whole).astype(object) * PARTS + np.asarray(parts).astype(object)


def packet_ns(chip: Chip) -> Durations:
    """What the parts of a packet's way take."""
    seconds = [chip.neuron_active_s, chip.neuron_inactive_s, chip.axon_out_s]
    seconds = [1 / chip.link_spikes_s, *seconds, chip.tile_s + chip.axon_in_s]
    return Durations(*nanoseconds(np.array(seconds)).tolist())


def synapse_ns(chip: Chip) -> float:
    """A synaptic operation."""
    return float(nanoseconds(np.array(chip.synapse_s)))


def entry_ns(wiring: Wiring) -> np.ndarray:
    """How long the synapses of each entry take for a spike."""
    return synapse_ns(wiring.chip) * wiring.rows.events


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


def hop_j(chip: Chip) -> np.ndarray:
    """A hop east or west, north or south, and from a chip to the next."""
    return np.array([chip.hop_ew_j, chip.hop_ns_j, chip.hop_chip_j])
