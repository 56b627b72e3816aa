"""The tables of a mapped Network as the kernels read them, and those that they fill.

Named tuples of arrays: a compiled kernel takes them as they are. K cores, P places, n neurons,
numbered place after place, each flat; S steps, L links.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Hearing(NamedTuple):
    """One projection as its target's neurons see it.

    ``source`` is the place it comes from, ``delay`` the steps it takes more. Neurons of a class
    (``sources``, ``targets``) hear the same; class c is heard by the target classes
    ``heard[start[c]:start[c + 1]]``.
    """

    source: int
    delay: int
    sources: np.ndarray
    targets: np.ndarray
    start: np.ndarray
    heard: np.ndarray


class Order(NamedTuple):
    """The neurons core by core, in the order in which they are updated.

    Run i of ``neurons`` (n,), ``neurons[run_start[i]:run_start[i + 1]]``, is of one place,
    ``run_place``, and core k has the runs ``core_start[k]:core_start[k + 1]``. Place p is
    ``lag[p]`` steps behind the input, and ``updates[p]`` says whether its neurons are updated.
    """

    neurons: np.ndarray
    run_start: np.ndarray
    run_place: np.ndarray
    core_start: np.ndarray
    lag: np.ndarray
    updates: np.ndarray


class Rows(NamedTuple):
    """Where the packets of neurons go, and what they start there.

    Neurons of a place with the same synapses in every core are of one row, ``of`` (n,), −1 where
    none leave. Row r has the entries ``start[r]:start[r + 1]``: a packet to ``core`` that starts
    ``events`` synaptic operations there. The same operations by the place they belong to are
    ``layer_place`` and ``layer_events``, from ``layer_start[r]``.
    """

    of: np.ndarray
    start: np.ndarray
    core: np.ndarray
    events: np.ndarray
    layer_start: np.ndarray
    layer_place: np.ndarray
    layer_events: np.ndarray


class Groups(NamedTuple):
    """Rows as one core sends them: ``of`` (n,) is the group of a neuron, −1 where none leave.

    Group g is of ``row[g]``; ``hops`` (G, 3) are those of its packets east-west, north-south and
    between chips, together. In the order of the row's entries its packets are the numbers
    ``packet_start[g]:packet_start[g + 1]``.
    """

    of: np.ndarray
    row: np.ndarray
    hops: np.ndarray
    packet_start: np.ndarray


class Paths(NamedTuple):
    """The links that packets take: a packet of a group takes the path ``of[packet]``, and path p is
    the links ``links[start[p]:start[p + 1]]``."""

    of: np.ndarray
    start: np.ndarray
    links: np.ndarray


class Used(NamedTuple):
    """The same paths by the numbers of the links in use alone, ``links``, ascending.

    ``ways`` are the paths, one after the other, of places in that list, each with a `kernels.END`
    behind it; ``begins`` is where among them each path begins.
    """

    links: np.ndarray
    ways: np.ndarray
    begins: np.ndarray


class Ways(NamedTuple):
    """The same for the kernel that times packets.

    ``legs`` has a `kernels.LEG` for each packet of a group; from its ``hop`` on its links stand in
    ``links``, the ``ways`` of `Used`. ``link_ns`` (L,) is how long a packet is on each.
    """

    legs: np.ndarray
    links: np.ndarray
    link_ns: np.ndarray


class Durations(NamedTuple):
    """What the constants of a chip come to, in nanoseconds.

    ``slot`` is what a link takes between two packets, ``active`` and ``inactive`` the update of a
    neuron, ``axon_out`` a packet that leaves; ``axon_in`` is how long a packet keeps its target but
    for its synapses: tile port and axon-in.
    """

    slot: float
    active: float
    inactive: float
    axon_out: float
    axon_in: float


class Tally(NamedTuple):
    """What a kernel counts, int64, as `snncc.backends.cycle.steps.Counts` has it step by step.

    (S, K) ``packets_out``, ``packets_in``, ``events``, ``active`` and (S, K, 3) ``hops``; (S, P)
    ``layer_spikes``, ``layer_events``, ``layer_active``, ``layer_packets`` and (S, P, 3)
    ``layer_hops``.
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

    @classmethod
    def zeros(cls, steps: int, cores: int, places: int) -> Tally:
        def per(width: int, *more: int) -> np.ndarray:
            return np.zeros((steps, width, *more), np.int64)

        return cls(
            per(cores), per(cores), per(cores), per(cores), per(cores, 3),
            per(places), per(places), per(places), per(places), per(places, 3),
        )  # fmt: skip


class Times(NamedTuple):
    """What a kernel times, in nanoseconds.

    (S, K) ``ends``, when a core has updated its last neuron and sent its last packet, ``finish``,
    when it has worked off its last packet, and ``waited``, how long its packets stood ready before
    a link or core took them. (L, 2) ``link_waited`` is how long packets stood before a link and
    behind it, and (1, 2) ``latency`` their time from ready to worked off: whole nanoseconds, and
    `kernels.PARTS` of one, int64.
    """

    ends: np.ndarray
    finish: np.ndarray
    waited: np.ndarray
    link_waited: np.ndarray
    latency: np.ndarray

    @classmethod
    def zeros(cls, steps: int, cores: int, links: int) -> Times:
        ends, finish, waited = np.zeros((3, steps, cores))
        return cls(ends, finish, waited, np.zeros((links, 2), np.int64), np.zeros((1, 2), np.int64))
