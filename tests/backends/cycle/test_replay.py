"""Counts against every synapse written down, and times that can be added up by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import first_come
import numpy as np
import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.cycle.replay import flags, replay
from snncc.backends.cycle.timing import measure
from snncc.backends.cycle.wiring import wire
from snncc.diagnostics import SnnccError
from snncc.ir.interpreter import run_network
from snncc.ir.matrix import compose
from snncc.ir.network import Network, Neuron, Population, Source

CHIP = small.CHIP


def spikes_of(network, rng, steps, samples):
    """Counts up to three from the source, spikes from all others."""
    shape = (steps, samples, *network.sources[0].shape)
    inputs = torch.tensor((rng.random(shape) < 0.3) * rng.integers(1, 4, shape)).double()
    run = run_network(network, {network.sources[0].name: inputs})
    return {name: s.numpy() for name, s in run.spikes.items()}


def structure(network, projection):
    """(targets, sources) bool: every synapse of a projection."""
    ones = {k: (np.ones_like(v) if v.dtype.kind == "f" else v) for k, v in network.tensors.items()}
    return compose(projection.map, network.places[projection.source].shape, ones).toarray() > 0


def by_hand(network, mapping, chip, spikes):
    """Counts of every step of the stream, spike by spike and synapse by synapse."""
    mesh = wire(network, mapping, chip).mesh
    steps, samples = next(iter(spikes.values())).shape[:2]
    levels = network.levels
    cores = {int(core): k for k, core in enumerate(mapping.cores)}
    total = samples * steps + max(levels.values())
    counts = {
        name: np.zeros((total, len(cores)), int)
        for name in ("packets_out", "packets_in", "events", "active")
    }
    hops = np.zeros((total, len(cores), 3), int)
    links = np.zeros(mesh.links, int)
    matrices = [(p, structure(network, p)) for p in network.projections]
    for n in range(samples):
        alive = {
            name: np.zeros(math.prod(place.shape), bool) for name, place in network.places.items()
        }
        for t in range(steps):
            for name, place in network.places.items():
                now = n * steps + t + levels[name]
                core_of = mapping.core_of[name].ravel()
                carried = spikes[name][t, n].ravel() if name in spikes else alive[name] * 0
                fired = carried > 0
                for i in np.flatnonzero(fired):
                    to: dict[int, int] = {}
                    for p, matrix in matrices:
                        if p.source == name:
                            for j in np.flatnonzero(matrix[:, i]):
                                core = int(mapping.core_of[p.target].ravel()[j])
                                to[core] = to.get(core, 0) + 1
                    k = cores[int(core_of[i])]
                    for core, synapses in to.items():
                        counts["packets_out"][now, k] += 1
                        counts["packets_in"][now, cores[core]] += 1
                        counts["events"][now, cores[core]] += synapses * carried[i]
                        hops[now, k] += [int(h) for h in mesh.hops(core_of[i], core)]
                        links[mesh.route(int(core_of[i]), core)] += 1
                if isinstance(place, Source):
                    continue
                heard = alive[name] & False
                for p, matrix in matrices:
                    if p.target == name:
                        heard |= (matrix & (spikes[p.source][t, n].ravel() > 0)).any(1)
                neuron = getattr(place, "neuron", Neuron(decay=0.0))
                bias = np.full(len(fired), neuron.bias != 0)
                active = heard | alive[name] | bias
                alive[name] = active & ~(fired & (neuron.reset == "hard"))
                if neuron.decay == 0:
                    alive[name] &= heard | bias
                for i in np.flatnonzero(active):
                    counts["active"][now, cores[int(core_of[i])]] += 1
    return counts, hops, links


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_counts_are_those_of_every_synapse_written_down(data):
    network, mapping, rng = small.random_network(
        lambda low, high: data.draw(st.integers(low, high))
    )
    spikes = spikes_of(network, rng, 3, 2)
    wiring = wire(network, mapping, CHIP)
    expected, hops, links = by_hand(network, mapping, CHIP, spikes)
    for level in ("count", "packet"):
        found = replay(wiring, [spikes], level)
        for name, count in expected.items():
            np.testing.assert_array_equal(getattr(found, name), count, name)
        np.testing.assert_array_equal(found.hops, hops)
        np.testing.assert_array_equal(found.link_packets, links)
        assert found.layer_events.sum() == found.events.sum()
        assert (found.layer_active.sum(1) == found.active.sum(1)).all()
        assert (found.layer_packets.sum(1) == found.packets_out.sum(1)).all()
        assert (found.layer_hops.sum(1) == found.hops.sum(1)).all()


# -- by hand -----------------------------------------------------------------------------------


def timing(network, cores, spikes, chip=CHIP, level="packet", chips=1):
    return measure(wire(network, small.mapped(network, cores, chips), chip), [spikes], level)


def straight(sources, targets=1, **levels):
    """``sources`` input neurons, all joined to ``targets`` others."""
    projections, tensors = small.dense({"in>p": (targets, sources)})
    places = [Source("in", (sources,)), Population("p", (targets,), Neuron(threshold=100.0))]
    return Network.build(places, projections, tensors, levels={"in": 0, "p": 1} | levels)


def once(*spikes, targets=1):
    """One step, one sample."""
    return {"in": np.array(spikes, float)[None, None], "p": np.zeros((1, 1, targets))}


def test_one_packet():
    # From tile 0 to tile 5: two links east, one south. Tile port, axon-in and one synapse there.
    found = timing(straight(1), {"in": 0, "p": 10}, once(1))
    way = 3 + 2 * 20 + 30
    assert found.steps.finish[0].tolist() == [0, way + 2 + 7 + 1]
    assert found.steps.hops[0, 0].tolist() == [2, 1, 0]
    # The target is updated, at rest, in the first step; in the second something has arrived.
    assert found.step_ns.tolist() == [1000 + way + 10, 1000 + 10]
    assert found.core_j[0].tolist() == [1e3 + 2 * 1e5 + 1e6, 5 + 1e4 + 100 + 1]
    assert found.core_j[1].tolist() == [0, 10]
    assert found.critical_core.tolist() == [10, 10]
    assert found.energy_j == pytest.approx(sum(found.parts_j.values()))
    assert found.energy_j == pytest.approx(found.layer_j.sum())
    assert found.link_j.sum() == 2 * 1e5 + 1e6


def test_latency_and_utilisation_of_one_packet():
    # The steps of test_one_packet: 1083 ns, at the end of which the packet is there, and 1010 ns.
    found = timing(straight(1), {"in": 0, "p": 10}, once(1))
    assert found.time_ns == 1083 + 1010
    # A sample of one step and, one level further down, another: twice the mean step.
    assert found.steps_per_sample == 1
    assert found.latency_ns == pytest.approx(2 * (1083 + 1010) / 2)
    # Core 0 sends for 3 ns; core 10 receives for 2 + 7 + 1, then updates an active neuron for 10.
    assert found.utilisation.tolist() == pytest.approx([3 / 2093, (10 + 10) / 2093])


def test_latency_and_utilisation_of_a_sample_of_three_steps():
    # A packet in the first and the last of three steps: 1083, 1010, 1083 and, one level on, 1010.
    spikes = {
        "in": np.array([1.0, 0, 1]).reshape(3, 1, 1), "p": np.zeros((3, 1, 1)),
    }  # fmt: skip
    found = timing(straight(1), {"in": 0, "p": 10}, spikes)
    assert found.step_ns.tolist() == [1083, 1010, 1083, 1010]
    assert found.steps_per_sample == 3
    assert found.latency_ns == pytest.approx((1083 + 1010) / 2 * (3 + 1))
    assert found.utilisation.tolist() == pytest.approx([6 / 4186, 40 / 4186])


def test_a_packet_within_its_tile_takes_no_link():
    found = timing(straight(1), {"in": 0, "p": 1}, once(1))
    assert found.steps.finish[0].tolist() == [0, 3 + 2 + 7 + 1]
    assert not found.steps.link_packets.any()


def test_two_packets_of_two_cores_on_one_link():
    # Both ready at 3 ns, and the link from tile 0 east takes one each 4 ns.
    found = timing(straight(2), {"in": [0, 1], "p": 2}, once(1, 1))
    first = 3 + 20
    assert found.steps.waited[0].tolist() == [0, 4, 0]
    assert found.steps.finish[0, 2] == first + 10 + 10  # the second arrived 4 ns later, in time
    assert found.steps.ends[0].tolist() == [3, 7, 5]
    assert found.steps.link_packets.tolist().count(2) == 1
    assert found.steps.link_waited.sum() == 4


def test_a_core_sends_one_packet_after_the_other_with_its_updates_between():
    projections, tensors = small.dense({"in>p": (2, 1), "p>q": (1, 2)})
    places = [
        Source("in", (1,)), Population("p", (2,), Neuron()), Population("q", (1,), Neuron()),
    ]  # fmt: skip
    network = Network.build(places, projections, tensors, levels={"in": 0, "p": 1, "q": 2})
    spikes = {"in": np.ones((1, 1, 1)), "p": np.ones((1, 1, 2)), "q": np.ones((1, 1, 1))}
    found = timing(network, {"in": 0, "p": 0, "q": 1}, spikes)
    # Step 1: update, packet, update, packet; each is 2 + 7 + 1 in the inbox of core 1.
    assert found.steps.ends[1].tolist() == [10 + 3 + 10 + 3, 5]
    assert found.steps.finish[1].tolist() == [0, 26 + 10]


def test_a_full_buffer_holds_the_sender_up():
    # Six packets to a slow core in the same tile: one at work, ``buffer_spikes`` wait, and the
    # sixth cannot leave before the second has begun.
    slow = replace(CHIP, axon_in_s=97e-9)  # 2 + 97 + 1 each
    room = {k: replace(slow, buffer_spikes=k) for k in (2, 4, 5, 6)}
    found = {
        k: timing(straight(6), {"in": 0, "p": 1}, once(*[1] * 6), chip) for k, chip in room.items()
    }
    assert [found[k].steps.finish[0, 1] for k in (2, 4, 6)] == [603] * 3
    assert found[6].steps.ends[0, 0] == found[5].steps.ends[0, 0] == 18
    # Packet n is ready 3 ns after the one before has left; it begins at 3 + 100·n.
    assert found[4].steps.ends[0, 0] == 103
    assert found[4].steps.waited[0, 0] == 103 - 18
    assert found[2].steps.ends[0, 0] == 303


def test_a_full_buffer_behind_a_link_stops_the_link():
    slow = replace(CHIP, axon_in_s=97e-9, buffer_spikes=1, link_spikes_s=1e12)
    found = timing(straight(4), {"in": 0, "p": 2}, once(1, 1, 1, 1), slow)
    # One at work from 23, one in the inbox, one in the buffer of the link, one not yet sent: it
    # goes when the second begins and the third moves up.
    assert found.steps.finish[0, 1] == 23 + 400
    assert found.steps.ends[0, 0] == 123


def test_a_core_does_not_wait_for_a_packet_that_is_on_its_way():
    # That of core 4 is ready at 3 and two links away, those of core 0 at 3 and 6: there at once.
    found = timing(straight(3), {"in": [4, 0, 0], "p": 1}, once(1, 1, 1))
    assert found.steps.finish[0].tolist() == [0, 3 + 40 + 10, 0]
    # With work of 25 it finds the second of core 0 at work, until 53.
    found = timing(straight(3), {"in": [4, 0, 0], "p": 1}, once(1, 1, 1),
                   replace(CHIP, axon_in_s=22e-9))  # fmt: skip
    assert found.steps.finish[0].tolist() == [0, 3 + 25 + 25 + 25, 0]


@pytest.mark.parametrize(("tiles", "barrier"), [(1, 1000), (2, 1100), (6, 1500)])
def test_the_barrier_is_that_of_the_tiles_in_use(tiles, barrier):
    chip = replace(CHIP, barrier_chip_s=1500e-9)
    network = straight(tiles)
    found = timing(network, {"in": np.arange(tiles) * 2, "p": 0}, once(*[0] * tiles), chip)
    assert found.step_ns.tolist() == [pytest.approx(barrier + 5)] * 2
    assert timing(network, {"in": np.arange(tiles) * 2, "p": 0}, once(*[0] * tiles),
                  replace(chip, step_s=1e-5)).step_ns.tolist() == [1e4, 1e4]  # fmt: skip


def test_a_hop_between_chips():
    found = timing(straight(1), {"in": 4, "p": 12}, once(1), chips=2)
    assert found.steps.hops[0, 0].tolist() == [0, 0, 1]
    assert found.steps.finish[0, 1] == 3 + 50 + 10
    assert found.link_j.sum() == 1e7


def test_an_event_of_count_three_is_a_packet_and_three_operations_a_synapse():
    network = straight(1, 2)
    found = timing(network, {"in": 0, "p": 1}, once(3, targets=2))
    assert found.steps.packets_in[0].tolist() == [0, 1]
    assert found.steps.events[0].tolist() == [0, 6]
    assert found.steps.layer_events[0].tolist() == [0, 6]
    assert found.steps.layer_spikes[0].tolist() == [3, 0]
    assert found.steps.finish[0].tolist() == [0, 3 + 2 + 7 + 6]
    assert found.core_j[0].tolist() == [1e3, 2 * 5 + 1e4 + 100 + 6]
    with pytest.raises(SnnccError, match="SNN312.*count 128"):
        timing(network, {"in": 0, "p": 1}, once(128))


def test_a_neuron_nobody_hears_sends_nothing():
    projections, tensors = small.dense({"in>p": (1, 1)})
    places = [Source("in", (1,)), Population("p", (1,), Neuron())]
    network = Network.build(places, projections, tensors, levels={"in": 0, "p": 1})
    found = timing(network, {"in": 0, "p": 1}, {"in": np.ones((1, 1, 1)), "p": np.ones((1, 1, 1))})
    assert found.steps.packets_out.sum() == 1


def test_several_projections_of_one_spike_are_one_packet():
    projections, tensors = small.dense({"in>p": (2, 1), "in>q": (3, 1)})
    places = [Source("in", (1,)), Population("p", (2,), Neuron()), Population("q", (3,), Neuron())]
    network = Network.build(places, projections, tensors, levels={"in": 0, "p": 1, "q": 1})
    spikes = {"in": np.ones((1, 1, 1)), "p": np.zeros((1, 1, 2)), "q": np.zeros((1, 1, 3))}
    found = timing(network, {"in": 0, "p": 1, "q": 1}, spikes)
    assert found.steps.packets_in[0].tolist() == [0, 1]
    assert found.steps.events[0].tolist() == [0, 5]
    assert found.steps.layer_events[0].tolist() == [0, 2, 3]


# -- levels, chunks and workers ----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_step_is_shorter_than_the_counts_say(data):
    network, mapping, rng = small.random_network(
        lambda low, high: data.draw(st.integers(low, high))
    )
    depth = data.draw(st.sampled_from([1, 2, 16]))
    chip = replace(CHIP, buffer_spikes=depth)
    wiring = wire(network, mapping, chip)
    spikes = spikes_of(network, rng, 3, 2)
    packet, count = (measure(wiring, [spikes], level) for level in ("packet", "count"))
    assert (count.step_ns <= packet.step_ns + 1e-6).all()
    np.testing.assert_allclose(packet.count_ns, count.step_ns)
    np.testing.assert_allclose(packet.core_j, count.core_j)
    assert packet.energy_j == pytest.approx(sum(packet.parts_j.values()))
    assert packet.energy_j == pytest.approx(packet.layer_j.sum())
    # Never below what its own packets and neurons take, and never beyond all work in a row.
    every = packet.sending_ns.sum(1) + packet.receiving_ns.sum(1)
    longest = packet.steps.hops.sum((1, 2)) * 50
    assert (packet.step_ns <= every + longest + packet.wiring.barrier_s * 1e9 + 1e-6).all()


@pytest.mark.parametrize("level", ["count", "packet"])
def test_chunks_and_workers_change_nothing(level):
    rng = np.random.default_rng(5)
    network, mapping, rng = small.random_network(lambda a, b: int(rng.integers(a, b + 1)))
    wiring = wire(network, mapping, CHIP)
    spikes = spikes_of(network, rng, 3, 7)
    whole = measure(wiring, [spikes], level)
    chunks = [{name: s[:, a:b] for name, s in spikes.items()} for a, b in ((0, 1), (1, 5), (5, 7))]
    for found in (measure(wiring, chunks, level), measure(wiring, chunks, level, workers=3)):
        assert found.samples == whole.samples
        for name, array in vars(whole.steps).items():
            np.testing.assert_allclose(getattr(found.steps, name), array, err_msg=name)


# -- against a plain simulation, event by event ------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_packet_is_timed_as_event_by_event(data):
    """Every link, buffer, inbox and core to the nanosecond, whoever sends to whom."""
    network, mapping, rng = small.random_network(
        lambda low, high: data.draw(st.integers(low, high))
    )
    chip = replace(
        CHIP, buffer_spikes=data.draw(st.sampled_from([1, 2, 5, 4096])),
        link_spikes_s=1e9 / data.draw(st.sampled_from([1, 4, 60])),
    )  # fmt: skip
    spikes = spikes_of(network, rng, 3, 1)
    assert_timed_as_event_by_event(measure(wire(network, mapping, chip), [spikes]), spikes)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_jam_is_timed_as_event_by_event(data):
    """Many cores that all send to many, in events of several packets."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    chip = replace(CHIP, buffer_spikes=data.draw(st.integers(1, 5)))
    cores = {"in": rng.integers(0, 12, 40), "p": rng.integers(0, 12, 20)}
    spikes = once(*rng.integers(0, 3, 40), targets=20)
    assert_timed_as_event_by_event(timing(straight(40, 20), cores, spikes, chip), spikes)


def assert_timed_as_event_by_event(found, spikes):
    w = found.wiring
    by_place = [
        None if place.name not in spikes
        else spikes[place.name].reshape(*spikes[place.name].shape[:2], -1).swapaxes(0, 1)
        for place in w.places
    ]  # fmt: skip
    by_place = [s if s is None else np.ascontiguousarray(s, np.uint8) for s in by_place]
    rows = flags(w, by_place)
    for step in range(len(found.step_ns)):
        plain = first_come.Chip(w, rows, step)
        assert found.core_ns[step].max() == pytest.approx(plain.run(), rel=1e-9)
        for name in ("ends", "finish", "waited"):
            ours = getattr(found.steps, name)[step]
            np.testing.assert_allclose(ours, getattr(plain, name), rtol=1e-9, err_msg=name)
