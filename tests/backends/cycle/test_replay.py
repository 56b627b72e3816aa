"""Counts against every synapse written down, and times that can be added up by hand."""

from __future__ import annotations

import math
import weakref
from dataclasses import fields, replace
from itertools import pairwise
from unittest import mock

import first_come
import numpy as np
import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.backends.cycle import Replay, measure, wire
from snncc.backends.cycle.replay import flags
from snncc.backends.cycle.steps import COUNTS, TABLES
from snncc.diagnostics import SnnccError
from snncc.ir.interpreter import run_network
from snncc.ir.matrix import compose
from snncc.ir.network import Network, Neuron, Population, Source
from snncc.ir.stages import Scheduled

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
                alive[name] = active & ~(fired & (neuron.reset == "hard" and not neuron.keeps))
                if neuron.decay == 0:
                    alive[name] &= heard | bias
                for i in np.flatnonzero(active):
                    counts["active"][now, cores[int(core_of[i])]] += 1
    return counts, hops, links


@pytest.mark.slow
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
        whole = measure(wiring, [spikes], level)
        found = whole.steps
        for name, count in expected.items():
            np.testing.assert_array_equal(getattr(found, name), count, name)
        np.testing.assert_array_equal(found.hops, hops)
        np.testing.assert_array_equal(whole.totals.link_packets, links)
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
    return Scheduled.of(Network.build(places, projections, tensors), {"in": 0, "p": 1} | levels)


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
    assert found.steps.time_ns.tolist() == [1000 + way + 10, 1000 + 10]
    assert found.steps.core_j[0].tolist() == [1e3 + 2 * 1e5 + 1e6, 5 + 1e4 + 100 + 1]
    assert found.steps.core_j[1].tolist() == [0, 10]
    assert found.steps.critical_core.tolist() == [10, 10]
    assert found.energy_j == pytest.approx(sum(found.parts_j.values()))
    assert found.energy_j == pytest.approx(found.totals.layer_j.sum())
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
    assert found.steps.time_ns.tolist() == [1083, 1010, 1083, 1010]
    assert found.steps_per_sample == 3
    assert found.latency_ns == pytest.approx((1083 + 1010) / 2 * (3 + 1))
    assert found.utilisation.tolist() == pytest.approx([6 / 4186, 40 / 4186])


def test_a_packet_within_its_tile_takes_no_link():
    found = timing(straight(1), {"in": 0, "p": 1}, once(1))
    assert found.steps.finish[0].tolist() == [0, 3 + 2 + 7 + 1]
    assert not found.totals.link_packets.any()


def test_two_packets_of_two_cores_on_one_link():
    # Both ready at 3 ns, and the link from tile 0 east takes one each 4 ns.
    found = timing(straight(2), {"in": [0, 1], "p": 2}, once(1, 1))
    first = 3 + 20
    assert found.steps.waited[0].tolist() == [0, 4, 0]
    assert found.steps.finish[0, 2] == first + 10 + 10  # the second arrived 4 ns later, in time
    assert found.steps.ends[0].tolist() == [3, 7, 5]
    assert found.totals.link_packets.tolist().count(2) == 1
    assert found.totals.link_waited_ns.sum() == 4


def test_a_core_sends_one_packet_after_the_other_with_its_updates_between():
    projections, tensors = small.dense({"in>p": (2, 1), "p>q": (1, 2)})
    places = [
        Source("in", (1,)), Population("p", (2,), Neuron()), Population("q", (1,), Neuron()),
    ]  # fmt: skip
    network = Scheduled.of(Network.build(places, projections, tensors), {"in": 0, "p": 1, "q": 2})
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
    assert found.steps.time_ns.tolist() == [pytest.approx(barrier + 5)] * 2
    assert timing(network, {"in": np.arange(tiles) * 2, "p": 0}, once(*[0] * tiles),
                  replace(chip, step_s=1e-5)).steps.time_ns.tolist() == [1e4, 1e4]  # fmt: skip


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
    assert found.steps.core_j[0].tolist() == [1e3, 2 * 5 + 1e4 + 100 + 6]
    with pytest.raises(SnnccError, match="SNN312.*count 128"):
        timing(network, {"in": 0, "p": 1}, once(128))


def test_a_neuron_nobody_hears_sends_nothing():
    projections, tensors = small.dense({"in>p": (1, 1)})
    places = [Source("in", (1,)), Population("p", (1,), Neuron())]
    network = Scheduled.of(Network.build(places, projections, tensors), {"in": 0, "p": 1})
    found = timing(network, {"in": 0, "p": 1}, {"in": np.ones((1, 1, 1)), "p": np.ones((1, 1, 1))})
    assert found.steps.packets_out.sum() == 1


def test_a_late_spike_is_heard_as_many_steps_later():
    projections, tensors = small.dense({"in>p": (2, 1)}, delay=2)
    places = [Source("in", (1,)), Population("p", (2,), Neuron(threshold=9.0, decay=0.0))]
    network = Scheduled.of(Network.build(places, projections, tensors), {"in": 0, "p": 1})
    spikes = {"in": np.eye(5)[:1].reshape(5, 1, 1), "p": np.zeros((5, 1, 2))}
    found = timing(network, {"in": 0, "p": 1}, spikes)
    # Heard two steps after the one in which it would have been, and at rest again a step later.
    assert found.steps.active[:, 1].tolist() == [0, 0, 0, 2, 2, 0]


def test_several_projections_of_one_spike_are_one_packet():
    projections, tensors = small.dense({"in>p": (2, 1), "in>q": (3, 1)})
    places = [Source("in", (1,)), Population("p", (2,), Neuron()), Population("q", (3,), Neuron())]
    network = Scheduled.of(Network.build(places, projections, tensors), {"in": 0, "p": 1, "q": 1})
    spikes = {"in": np.ones((1, 1, 1)), "p": np.zeros((1, 1, 2)), "q": np.zeros((1, 1, 3))}
    found = timing(network, {"in": 0, "p": 1, "q": 1}, spikes)
    assert found.steps.packets_in[0].tolist() == [0, 1]
    assert found.steps.events[0].tolist() == [0, 5]
    assert found.steps.layer_events[0].tolist() == [0, 2, 3]


# -- levels, chunks and workers ----------------------------------------------------------------


@pytest.mark.slow
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
    assert (count.steps.time_ns <= packet.steps.time_ns).all()
    assert packet.steps.count_ns.tolist() == count.steps.time_ns.tolist()
    assert packet.steps.core_j.tolist() == count.steps.core_j.tolist()
    assert packet.count_ns == count.time_ns <= packet.time_ns
    assert packet.energy_j == pytest.approx(sum(packet.parts_j.values()))
    assert packet.energy_j == pytest.approx(packet.totals.layer_j.sum())
    # Never below what its own packets and neurons take, and never beyond all work in a row.
    every = packet.steps.sending_ns.sum(1) + packet.steps.receiving_ns.sum(1)
    longest = packet.steps.hops.sum((1, 2)) * 50
    assert (packet.steps.time_ns <= every + longest + packet.wiring.barrier_s * 1e9 + 1e-6).all()


def part(spikes, begin, end):
    """Some of the samples."""
    return {name: s[:, begin:end] for name, s in spikes.items()}


def kept(**constants):
    """Other constants of the replay: how many steps are kept, how many bytes taken at a time."""
    return mock.patch.multiple("snncc.backends.cycle.replay", **constants)


def assert_equal(found, expected):
    """Every number, to the last bit."""
    assert (found.level, found.samples) == (expected.level, expected.samples)
    for ours, theirs in ((found.totals, expected.totals), (found.steps, expected.steps)):
        for name in {f.name for f in fields(ours)} - {"wiring"}:
            a, b = np.asarray(getattr(ours, name)), np.asarray(getattr(theirs, name))
            assert (a.shape, a.dtype, a.tolist()) == (b.shape, b.dtype, b.tolist()), name
    assert found.as_dict() == expected.as_dict()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_chunks_and_workers_change_no_bit(data):
    network, mapping, rng = small.random_network(
        lambda low, high: data.draw(st.integers(low, high))
    )
    # Constants that are no round number in binary, so that a sum in floating point would tell.
    chip = replace(CHIP, neuron_active_s=8.4e-9, axon_out_s=5.1e-9, synapse_j=23.6e-12, step_s=3e-7)
    wiring = wire(network, mapping, chip)
    samples = data.draw(st.integers(1, 12))
    spikes = spikes_of(network, rng, 3, samples)
    level = data.draw(st.sampled_from(["count", "packet"]))
    cuts = data.draw(st.sets(st.integers(1, 11)))
    ends = [0, *sorted(cut for cut in cuts if cut < samples), samples]
    chunks = (part(spikes, a, b) for a, b in pairwise(ends))
    with kept(SERIES=data.draw(st.sampled_from([0, 4, 1000]))):
        whole = measure(wiring, [spikes], level)
        with kept(BLOCK=data.draw(st.sampled_from([1, 10_000, 2**24]))):
            found = measure(wiring, chunks, level, data.draw(st.integers(1, 3)))
    assert_equal(found, whole)


@pytest.fixture(scope="module")
def example():
    """A wiring and seven samples of three steps."""
    rng = np.random.default_rng(5)
    network, mapping, rng = small.random_network(lambda a, b: int(rng.integers(a, b + 1)))
    return wire(network, mapping, CHIP), spikes_of(network, rng, 3, 7)


@pytest.mark.parametrize("level", ["count", "packet"])
def test_totals_are_the_sums_of_all_steps_and_series_the_first(example, level):
    wiring, spikes = example
    whole = measure(wiring, [spikes], level)
    totals, steps = whole.totals, whole.steps
    assert totals.steps == len(steps) == 3 * 7 + wiring.lag
    for name in COUNTS:
        np.testing.assert_array_equal(getattr(totals, name), getattr(steps, name).sum(0), name)
    for name in ("sending_ns", "receiving_ns", "layer_ns", "core_j", "layer_j", "busy_ns"):
        found, expected = getattr(totals, name), getattr(steps, name).sum(0)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=name)
    assert whole.time_ns == pytest.approx(steps.time_ns.sum(), rel=1e-12)
    assert whole.count_ns == pytest.approx(steps.count_ns.sum(), rel=1e-12)
    assert totals.waited_ns.tolist() == pytest.approx(steps.waited.sum(0).tolist())
    times = np.bincount(steps.critical, minlength=len(wiring.cores))
    assert totals.critical.tolist() == times.tolist()
    with kept(SERIES=8):
        cut = measure(wiring, [part(spikes, 0, 2), part(spikes, 2, 7)], level)
    for name in TABLES:
        np.testing.assert_array_equal(getattr(cut.steps, name), getattr(steps, name)[:8], name)
    assert len(cut.steps) == len(cut.as_dict()["step"]["time_ns"]) == 8
    assert {**cut.as_dict(), "step": 0, "steps_shown": 0} == {
        **whole.as_dict(), "step": 0, "steps_shown": 0,
    }  # fmt: skip


@pytest.mark.parametrize("level", ["count", "packet"])
def test_a_run_may_end_after_any_chunk_and_go_on(example, level):
    wiring, spikes = example
    replay = Replay(wiring, level, workers=2)
    assert replay.finish().as_dict()["total"]["energy_j"] == 0
    for begin, end in ((0, 1), (1, 5), (5, 7)):
        replay.add(part(spikes, begin, end))
        assert_equal(replay.finish(), measure(wiring, [part(spikes, 0, end)], level))


def test_a_chunk_that_is_refused_is_not_added(example):
    wiring, spikes = example
    replay = Replay(wiring)
    replay.add(spikes)
    worse = {name: s.copy() for name, s in spikes.items()}
    worse["in"][0, -1] = 128
    with kept(BLOCK=1), pytest.raises(SnnccError, match="SNN312.*count 128"):
        replay.add(worse)
    assert_equal(replay.finish(), measure(wiring, [spikes]))


def test_bytes_and_numbers_of_any_layout_are_the_same(example):
    wiring, spikes = example
    as_bytes = {name: s.astype(np.uint8) for name, s in spikes.items()}
    turned = {name: np.asfortranarray(s.astype(np.float32)) for name, s in spikes.items()}
    for same in (as_bytes, turned):
        assert_equal(measure(wiring, [same]), measure(wiring, [spikes]))


def test_chunks_are_taken_one_at_a_time_and_let_go(example):
    wiring, spikes = example
    taken = []

    def chunks():
        for n in range(7):
            assert sum(ref() is not None for ref in taken) <= 1
            chunk = {name: s[:, n : n + 1].copy() for name, s in spikes.items()}
            taken.append(weakref.ref(chunk["in"]))
            yield chunk
            del chunk

    assert_equal(measure(wiring, chunks(), "count"), measure(wiring, [spikes], "count"))
    assert len(taken) == 7


def test_times_longer_than_seconds_are_added_up_exactly():
    # A core updates 3000 neurons at rest of 1 s each, in both steps: no 64 bits hold that in parts.
    slow = replace(CHIP, neuron_inactive_s=1.0, neuron_active_s=1.0)
    for level in ("count", "packet"):
        found = timing(straight(1, 3000), {"in": 0, "p": 1}, once(0, targets=3000), slow, level)
        assert found.totals.time == 2 * (3_000_000_000_000 + 1000) * 2**30


# -- against a plain simulation, event by event ------------------------------------------------


@pytest.mark.slow
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
    steps, samples = next(iter(spikes.values())).shape[:2]
    silent = np.zeros((steps, samples, 1))
    by_place = [
        np.broadcast_to(
            spikes[place.name].reshape(steps, samples, -1) if place.name in spikes else silent,
            (steps, samples, math.prod(place.shape)),
        ).astype(np.uint8, "C")
        for place in w.places
    ]
    rows = np.empty((samples * steps, w.neurons), np.uint8)
    flags(w, by_place, 0, rows)
    for step in range(len(found.steps)):
        plain = first_come.Chip(w, rows, step)
        assert found.steps.core_ns[step].max() == pytest.approx(plain.run(), rel=1e-9)
        for name in ("ends", "finish", "waited"):
            ours = getattr(found.steps, name)[step]
            np.testing.assert_allclose(ours, getattr(plain, name), rtol=1e-9, err_msg=name)
