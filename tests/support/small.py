"""Small mapped networks, and a chip whose numbers are easy to add up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snncc.ir.mapping import Mapping
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Ref, Reshape, Sparse
from snncc.ir.stages import Scheduled
from snncc.targets.chip import built_in

CHIP = replace(
    built_in("loihi1"),
    tile_columns=3, tile_rows=2, cores_per_tile=2,
    synapse_j=1.0, neuron_active_j=10.0, neuron_inactive_j=5.0, axon_in_j=100.0,
    axon_out_j=1e3, tile_j=1e4, hop_ew_j=1e5, hop_ns_j=1e6, hop_chip_j=1e7,
    synapse_s=1e-9, neuron_active_s=10e-9, neuron_inactive_s=5e-9, axon_in_s=7e-9,
    axon_out_s=3e-9, tile_s=2e-9, hop_ew_s=20e-9, hop_ns_s=30e-9, hop_chip_s=50e-9,
    barrier_tile_s=1000e-9, barrier_chip_s=1000e-9, barrier_next_s=0.0, step_s=0.0,
    link_spikes_s=0.25e9, buffer_spikes=4,
)  # fmt: skip
"""Tiles 0 1 2 in the first row and 3 4 5 in the second, cores 2t and 2t + 1 on tile t."""


def dense(shapes: dict[str, tuple[int, int]], **more) -> tuple[tuple[Projection, ...], dict]:
    """Projections "a>b" of shape (targets, sources), all weights one."""
    projections, tensors = [], {}
    for name, shape in shapes.items():
        source, target = name.split(">")
        tensors[Ref(name)] = np.ones(shape)
        projections.append(Projection(source, target, (Dense(Ref(name)),), **more))
    return tuple(projections), tensors


def mapped(network: Network, cores: dict[str, object], chips: int = 1) -> Mapping:
    """Each place on one core, or neuron by neuron."""
    spread = {}
    for name, core in cores.items():
        shape = network.places[name].shape
        spread[name] = np.broadcast_to(np.asarray(core, np.int32).ravel(), math.prod(shape))
        if np.ndim(core):
            spread[name] = np.asarray(core, np.int32)
        spread[name] = spread[name].reshape(shape)
    return Mapping(chips, spread)


def random_network(draw, whole=False):
    """A source, up to three populations of convs, dense and sparse maps, and a readout.

    ``draw(low, high)`` gives a whole number. With ``whole`` membranes are whole numbers, no place
    has a bias, and every projection spans one level. Every level is one more than the highest a
    place hears.
    """
    tensors: dict[str, np.ndarray] = {}
    places: list = [Source("in", (2, 4, 4))]
    projections: list[Projection] = []
    levels = {"in": 0}
    rng = np.random.default_rng(draw(0, 2**31))

    def weight(*shape):
        name = Ref(f"w{len(tensors)}")
        tensors[name] = rng.integers(-3, 6, shape).astype(float)
        return name

    def connect(source, shape):
        planes = len(source.shape) == 3 and len(shape) == 3 and source.shape[1] >= shape[1]
        if planes and draw(0, 2):
            wide = source.shape[1] == shape[1]
            kernel, pad = (3, 1) if wide else (source.shape[1] - shape[1] + 1, 0)
            conv = Conv(weight(shape[0], source.shape[0], kernel, kernel), None, (1, 1), (pad, pad))
            return (conv,)
        size, flat = math.prod(shape), math.prod(source.shape)
        if draw(0, 1):
            return (Reshape((flat,)), Dense(weight(size, flat)), Reshape(shape))
        some = (rng.random((size, flat)) < 0.2).astype(float)
        data, indices, indptr = (Ref(f"w{len(tensors)}.{part}") for part in "dip")
        tensors[data] = np.ones(int(some.sum()))
        tensors[indices] = np.nonzero(some)[1]
        tensors[indptr] = np.concatenate([[0], some.sum(1).cumsum()]).astype(np.int64)
        return (Sparse(data, indices, indptr, shape),)

    count = draw(1, 3)
    for k in range(count):
        shape = (draw(1, 3), *([4, 4] if draw(0, 1) else [2, 2])) if draw(0, 2) else (draw(1, 7),)
        neuron = Neuron(
            decay=(1.0, 0.0 if whole else 0.5, 0.0)[draw(0, 2)], threshold=float(draw(1, 9)),
            bias=float(draw(0, 3) == 0 and not whole), reset=("hard", "soft")[draw(0, 1)],
            keep=0.0 if whole else (0.0, 0.0, 0.5)[draw(0, 2)],
        )  # fmt: skip
        place = Population(f"p{k}", shape, neuron)
        sources = [places[-1]] + ([places[0]] if draw(0, 2) == 0 and k and not whole else [])
        for source in sources:
            projections.append(Projection(source.name, place.name, connect(source, shape)))
        levels[place.name] = 1 + max(levels[s.name] for s in sources)
        places.append(place)
    out = Readout("out", (3,))
    projections.append(Projection(places[-1].name, "out", connect(places[-1], (3,))))
    levels["out"] = levels[places[-1].name] + 1
    network = Network.build([*places, out], projections, tensors, time_steps=3)
    network = Scheduled.of(network, levels)
    cores = {
        name: rng.integers(0, CHIP.cores, place.shape) for name, place in network.places.items()
    }
    return network, mapped(network, cores), rng
