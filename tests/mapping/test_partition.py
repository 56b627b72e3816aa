"""partition, place and route: demands against brute force, balance, what shares a core."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from chips import chip, chip_file, convolutions, dense
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.ir import Neuron, Population, Ref
from snncc.ir.mapping import Mapping
from snncc.ir.matrix import compose
from snncc.ir.ops import Conv, Dense
from snncc.mapping.bricks import cut
from snncc.mapping.cores import Cores, rates
from snncc.mapping.demands import Structure, limits
from snncc.mapping.placement import at_random, hops, placed
from snncc.passes.partition import Partition
from snncc.passes.place import Place
from snncc.passes.route import Route
from snncc.targets.mesh import Mesh

NAMES = ("neurons", "words", "lists", "axons", "entries")


def connections(network, projection):
    """(targets, sources), whether they are joined."""
    shape = network.places[projection.source].shape
    ones = {name: np.ones_like(tensor) if tensor.dtype.kind == "f" else tensor
            for name, tensor in network.tensors.items()}  # fmt: skip
    return compose(projection.map, shape, ones).toarray() != 0


def by_brute_force(network, chip, parts):
    """Neurons, words, lists, axons, entries, work of each part and spikes between parts."""
    count = 1 + max(int(p.max()) for p in parts.values())
    of = {name: part.ravel() for name, part in parts.items()}
    neurons, words, lists, axons = np.zeros((4, count), np.int64)
    work, spikes = np.zeros(count), np.zeros((count, count))
    knows = np.zeros((count, count), bool)
    for name, shape in network.on_chip.items():
        for part in of[name]:
            neurons[part] += 1
        sends = np.zeros((math.prod(shape), count), bool)
        for p in network.outgoing[name]:
            for target, source in zip(*np.nonzero(connections(network, p)), strict=True):
                sends[source, of[p.target][target]] = True
                work[of[p.target][target]] += 1
        for source, part in enumerate(of[name]):
            axons[part] += sends[source].sum()
            spikes[part] += sends[source]
    for p in network.projections:
        joined, source = connections(network, p), network.places[p.source].shape
        op = p.map[-1] if p.map else None
        for part in range(count):
            rows = np.nonzero(of[p.target] == part)[0]
            heard = np.nonzero(joined[rows].any(0))[0]
            if isinstance(op, Conv) or op is None:
                weight = np.ones((source[0], 1, 1, 1)) if op is None else network.tensors[op.weight]
                groups = source[0] if op is None else op.groups
                channels = np.unique(np.unravel_index(rows, network.places[p.target].shape)[0])
                for group in range(groups):
                    mine = (channels // (len(weight) // groups) == group).sum()
                    bits = mine * math.prod(weight.shape[2:]) * chip.weight_bits
                    words[part] += weight.shape[1] * -(-bits // chip.word_bits)
                at = heard % math.prod(source[1:]) if chip.population_axons else heard
                lists[part] += len(np.unique(at))
            elif isinstance(op, Dense):
                bits = len(rows) * chip.weight_bits
                words[part] += joined.shape[1] * -(-bits // chip.word_bits)
                lists[part] += len(heard)
            else:
                bits = joined[rows].sum(0) * (chip.weight_bits + chip.index_bits)
                words[part] += int((-(-bits // chip.word_bits)).sum())
                lists[part] += len(heard)
    knows |= spikes > 0
    return (neurons, words, lists, axons, knows.sum(1)), work, spikes


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.booleans())
def test_demands_are_those_counted_one_by_one(seed, count, population_axons):
    random = np.random.default_rng(seed)
    channels = tuple(int(n) for n in random.integers(1, 4, 3))
    network, small = convolutions(channels, 4, seed), chip(population_axons=int(population_axons))
    parts = {n: random.integers(0, count, shape) for n, shape in network.on_chip.items()}
    structure = Structure.of(network, small)
    found = structure.demands(parts)
    counted, work, spikes = by_brute_force(network, small, parts)
    for name, expected in zip(NAMES, counted, strict=True):
        np.testing.assert_array_equal(getattr(found, name), expected, name)
    np.testing.assert_array_equal(found.work, work)
    np.testing.assert_array_equal(found.spikes.toarray(), spikes)


def test_activity_weighs_work_and_spikes():
    network = dense(3, 2)
    activity = {"in": np.array([0.5, 0.25, 0.0]), "a": np.ones(2)}
    found = Structure.of(network, chip(), activity).demands(
        {"in": np.array([0, 0, 1]), "a": np.array([1, 2])}
    )
    assert found.work.tolist() == [0, 0.75, 0.75]
    assert found.spikes.toarray().tolist() == [[0, 0.75, 0.75], [0, 0, 0], [0, 0, 0]]


def test_sources_with_equal_weights_share_a_list():
    network = dense(6, 4)
    weight = network.tensors["w"][:, [0, 1, 0, 1, 0, 0]]
    shared = replace(network, tensors={"w": weight})
    parts = {"in": np.zeros(6, int), "a": np.ones(4, int)}
    assert Structure.of(network, chip()).demands(parts).lists.tolist() == [0, 6]
    assert Structure.of(shared, chip()).demands(parts).lists.tolist() == [0, 2]
    assert Structure.of(shared, chip()).demands(parts).words.tolist() == [0, 2]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.data())
def test_bricks_differ_by_one_along_an_axis(shape, data):
    grid = tuple(data.draw(st.integers(1, n)) for n in shape)
    bricks = cut(tuple(shape), grid)
    assert set(np.unique(bricks)) == set(range(math.prod(grid)))
    sizes = np.bincount(bricks.ravel())
    assert sizes.max() <= math.prod(-(-n // g) for n, g in zip(shape, grid, strict=True))
    assert sizes.min() >= math.prod(n // g for n, g in zip(shape, grid, strict=True))


# -- what shares a core (the limits themselves: test_limits.py) ---------------------------------


@pytest.mark.parametrize(("neurons", "cores"), [(43, 1), (42, 2)])
def test_the_neurons_of_a_core(tmp_path, neurons, cores):
    outcome = Partition(chip_file(tmp_path, neurons=neurons), balance=9.0)(dense(40, 3))
    assert outcome.report.cores == cores
    assert outcome.report.cores_at_least["neurons"] == cores


def test_a_bias_is_each_neurons_own_with_thresholds_by_layer(tmp_path):
    network = dense(4, 4)
    own = Population("a", (4,), Neuron(bias=Ref("t")))
    network = network.with_changes(
        [*network.sources, own], tensors={**network.tensors, "t": np.arange(1.0, 5.0)}
    )
    outcome = Partition(chip_file(tmp_path, thresholds="layer"))(network)
    assert outcome.ok, outcome.findings


def test_only_like_neurons_share_a_core_with_thresholds_by_layer(tmp_path):
    network = convolutions()
    mixed = Partition(chip_file(tmp_path))(network).form.mapping
    apart = Partition(chip_file(tmp_path, thresholds="layer"), balance=99.0)(network).form.mapping
    assert len(mixed.cores) == 1
    of = {name: set(np.unique(core)) for name, core in apart.core_of.items()}
    assert of["a"] & of["c"]
    assert not of["a"] & (of["b"] | of["a@+1"] | of["in"] | of["y"])


# -- whole mappings ----------------------------------------------------------------------------

TIGHT = st.fixed_dictionaries({
    "neurons": st.integers(8, 64), "synapse_words": st.integers(260, 2000),
    "fan_in_lists": st.integers(220, 400), "fan_out_axons": st.integers(60, 400),
    "routing_entries": st.integers(60, 99), "tile_columns": st.integers(1, 4),
    "cores_per_tile": st.integers(1, 4),
})  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(TIGHT, st.integers(0, 99))
def test_no_core_exceeds_a_limit_and_every_neuron_has_one(changes, seed):
    small, network = chip(**changes), convolutions(seed=seed)
    structure = Structure.of(network, small)
    cores = Cores.found(structure, 1.3)
    assert not cores.problems
    mapping = Mapping(-(-cores.count // small.cores), cores.of)
    mapping.verify(network.on_chip, small.cores)
    held = structure.demands(cores.of)
    assert (held.limited <= limits(small)).all()
    assert held.neurons.min() > 0
    assert cores.count >= max(cores.least.values())
    parts = dict(cores.of)
    counted, work, _ = by_brute_force(network, small, parts)
    np.testing.assert_array_equal(held.words, counted[1])
    assert cores.imbalance == pytest.approx(work.max() / work.mean())


def test_the_same_seed_gives_the_same_mapping(tmp_path):
    small = chip_file(tmp_path, neurons=24, cores_per_tile=1, tile_columns=4, tile_rows=3)
    network, results = convolutions(), []
    for seed in (0, 0, 1):
        form = Partition(small)(network).form
        results.append(Place(small, seed=seed)(form).form.mapping.core_of)
    for name in results[0]:
        assert np.array_equal(results[0][name], results[1][name])
    assert any(not np.array_equal(results[0][n], results[2][n]) for n in results[0])


def test_place_only_moves_cores_and_route_adds_up_what_they_send(tmp_path):
    small = chip_file(tmp_path, neurons=24, cores_per_tile=1, tile_columns=4, tile_rows=3)
    network = convolutions()
    cut = Partition(small)(network)
    moved = Place(small)(cut.form)
    before, after = cut.form.mapping.core_of, moved.form.mapping.core_of
    pairs = {(a, b) for n in before
             for a, b in zip(before[n].ravel(), after[n].ravel(), strict=True)}  # fmt: skip
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert moved.report.hops < moved.report.hops_at_random
    routed = Route(small)(moved.form)
    assert routed.form is moved.form
    total = routed.report.spikes_on_the_mean_link * routed.report.links_in_use
    assert total == pytest.approx(moved.report.hops)
    assert routed.report.spikes_on_the_busiest_link <= moved.report.spikes


def test_neighbours_that_talk_are_placed_side_by_side():
    mesh = Mesh(chip(cores_per_tile=1), 2)
    cores = mesh.cores
    random = np.random.default_rng(0).permutation(cores)
    spikes = np.zeros((cores, cores))
    spikes[random[:-1], random[1:]] = 1.0  # one long chain: cores - 1 hops at best
    from scipy import sparse

    spikes = sparse.csr_array(spikes)
    slots = placed(spikes, mesh)
    assert sorted(slots) == list(range(cores))
    assert (
        cores - 1
        <= hops(spikes, mesh, slots)
        < 0.35 * hops(spikes, mesh, at_random(cores, mesh, 0))
    )


def test_work_follows_calibration():
    network = dense(8, 8)
    inputs = {"in": torch.tensor([[[1.0] * 4 + [0.0] * 4], [[1.0] * 4 + [0.0] * 4]])}
    activity = rates(network, inputs)
    assert activity["in"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    outcome = Partition("loihi1", calibration=inputs)(network)
    assert outcome.form.mapping.activity["in"].tolist() == activity["in"].tolist()
    assert outcome.report.mean_work == 4 * 8


def test_one_neuron_that_hears_too_much_is_out_of_balance(tmp_path):
    network = dense(64, 1)
    outcome = Partition(chip_file(tmp_path, neurons=8))(network)
    (finding,) = outcome.findings
    assert finding.code == "SNN210"
    assert "most of it is of a" in finding.message
