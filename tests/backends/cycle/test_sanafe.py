"""The same network on the same cores in SANA-FE: equal counts, energy, and times within reach.

SANA-FE (PyPI, GPL) is a program of its own here, never a part of snncc: ./run-tests installs it in
an interpreter of its own. Its ``detailed`` model is a heuristic of the network, see
`test_where_the_times_part`.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace

import job as sanafe
import numpy as np
import pytest
import small
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snncc.backends.cycle import measure, wire
from snncc.backends.sanafe import export, group_names
from snncc.ir.interpreter import run_network
from snncc.ir.mapping import Mapping
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import Conv, Dense, Ref, Reshape
from snncc.passes.partition import Partition
from snncc.passes.place import Place
from snncc.passes.route import Route
from snncc.targets.chip import built_in, load_chip

pytestmark = pytest.mark.slow
LOIHI = built_in("loihi1")


@pytest.fixture(scope="module", autouse=True)
def installed():
    if not sanafe.interpreter().exists():
        reason = f"SANA-FE is not installed in {sanafe.interpreter()}; ./run-tests installs it"
        if os.environ.get("SNNCC_NO_SKIP"):
            pytest.fail(reason)
        pytest.skip(reason)


def compared(network, mapping, chip, inputs, timeout=300):
    """(our Timing, SANA-FE's result, spikes), after as many steps as ``inputs`` has.

    The functional run goes on as long as the chip, so that no place falls silent before the end.
    """
    (source,) = network.sources
    timing, spikes = ours(network, mapping, chip, inputs)
    barrier = timing.wiring.barrier_s
    task = sanafe.job(network, mapping, chip, barrier, len(inputs), {source.name: inputs})
    return timing, sanafe.run(task, timeout), spikes


def ours(network, mapping, chip, inputs):
    """Timing and spikes."""
    (source,) = network.sources
    run = run_network(network, {source.name: torch.tensor(inputs[:, None], dtype=torch.float64)})
    spikes = {name: s.numpy() for name, s in run.spikes.items()}
    return measure(wire(network, mapping, chip), [spikes]), spikes


def assert_counts_equal(timing, found, spikes):
    steps = len(found["perf"]["spikes"])
    ours = timing.steps
    np.testing.assert_array_equal(ours.events.sum(1)[:steps], found["perf"]["spikes"])
    np.testing.assert_array_equal(ours.hops.sum((1, 2))[:steps], found["perf"]["hops"])
    packets = [sum(not m["placeholder"] for m in step) for step in found["messages"]]
    np.testing.assert_array_equal(ours.packets_out.sum(1)[:steps], packets)
    np.testing.assert_array_equal(ours.layer_spikes.sum(1)[:steps], found["perf"]["fired"])
    levels = timing.wiring.places
    for t, said in enumerate(found["spikes"]):
        expected = {
            (place.name, i)
            for place in levels
            if place.name in spikes and t >= place.lag
            for i in np.flatnonzero(spikes[place.name][t - place.lag, 0]).tolist()
        }
        assert {(group, neuron) for group, neuron in said} == expected
    return steps


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_counts_of_random_networks_are_equal(data):
    """Neuron spikes, synaptic events, packets and hops, step by step."""
    network, mapping, rng = small.random_network(
        lambda low, high: data.draw(st.integers(low, high)), whole=True
    )
    inputs = (rng.random((6, *network.sources[0].shape)) < 0.4).astype(float)
    timing, found, spikes = compared(network, mapping, small.CHIP, inputs)
    steps = assert_counts_equal(timing, found, spikes)
    mine = timing.core_j.sum(1)[:steps]
    # A membrane that comes back to exactly zero counts as at rest there and not here.
    assert (mine >= np.array(found["perf"]["total_energy"]) * (1 - 1e-9)).all()


def conv_network(rng, threshold):
    tensors = {
        Ref("a"): rng.integers(-20, 41, (16, 4, 3, 3)).astype(float),
        Ref("b"): rng.integers(-20, 35, (24, 16, 3, 3)).astype(float),
        Ref("c"): rng.integers(-20, 25, (60, 24 * 6 * 6)).astype(float),
        Ref("d"): rng.integers(-20, 25, (10, 60)).astype(float),
    }
    neuron = Neuron(threshold=threshold)
    places = [
        Source("in", (4, 16, 16)), Population("p", (16, 14, 14), neuron),
        Population("q", (24, 6, 6), neuron), Population("r", (60,), neuron), Readout("out", (10,)),
    ]  # fmt: skip
    projections = [
        Projection("in", "p", (Conv(Ref("a")),)),
        Projection("p", "q", (Conv(Ref("b"), stride=(2, 2)),)),
        Projection("q", "r", (Reshape((24 * 6 * 6,)), Dense(Ref("c")))),
        Projection("r", "out", (Dense(Ref("d")),)),
    ]
    levels = {"in": 0, "p": 1, "q": 2, "r": 3, "out": 4}
    return Network.build(places, projections, tensors, levels=levels)


def blocks(network, size):
    """Every place in blocks of ``size`` neurons, a core each, one after the other."""
    cores, core = {}, 0
    for name, place in network.places.items():
        count = math.prod(place.shape)
        cores[name] = (core + np.arange(count) // size).reshape(place.shape)
        core += -(-count // size)
    return Mapping(1, cores)


@pytest.mark.parametrize("size", [1024, 196])
def test_energy_and_the_times_of_busy_steps_agree(size):
    rng = np.random.default_rng(2)
    network = conv_network(rng, 400.0)
    inputs = (rng.random((12, 4, 16, 16)) < 0.2).astype(float)
    timing, found, spikes = compared(network, blocks(network, size), LOIHI, inputs)
    steps = assert_counts_equal(timing, found, spikes)
    assert timing.steps.layer_spikes.sum(0)[:4].min() > 50
    energy = np.array(found["perf"]["total_energy"])
    np.testing.assert_allclose(timing.core_j.sum(1)[:steps], energy, rtol=0.01)
    # All layers work from step 5 on; before, see the next test.
    times = np.array(found["perf"]["sim_time"]) * 1e9
    np.testing.assert_allclose(timing.step_ns[5:steps], times[5:], rtol=0.05)


def stages(found, step, mesh, cores):
    """SANA-FE's own sums of the stages of each core in a step, in nanoseconds."""
    sending, receiving = np.zeros(len(cores)), np.zeros(len(cores))
    index = {int(core): k for k, core in enumerate(cores)}

    def core(message, end):
        column, row = divmod(message[f"{end}_tile_id"], mesh.rows)
        offset = message["src_core_offset" if end == "src" else "dest_core_offset"]
        return index[int(mesh.core(np.array(column), np.array(row), np.array(offset)))]

    for message in found["messages"][step]:
        sending[core(message, "src")] += message["generation_delay"] * 1e9
        if not message["placeholder"]:
            receiving[core(message, "dest")] += message["processing_delay"] * 1e9
    return sending, receiving


def without_its_waiting(found, step, w):
    """SANA-FE's own messages with nothing between two cores but the latency of the hops."""
    hop_ns = np.array([w.chip.hop_ew_s, w.chip.hop_ns_s, w.chip.hop_chip_s]) * 1e9
    free, clock, arrivals = {}, {}, []
    for message in found["messages"][step]:
        source = (message["src_tile_id"], message["src_core_offset"])
        target = (message["dest_tile_id"], message["dest_core_offset"])
        clock[source] = clock.get(source, 0.0) + message["generation_delay"] * 1e9
        if not message["placeholder"]:
            ends = [
                w.mesh.core(*map(np.array, (*divmod(tile, w.mesh.rows), index)))
                for tile, index in (source, target)
            ]
            way = float(np.array(w.mesh.hops(*ends)) @ hop_ns)
            arrivals.append((clock[source] + way, target, message["processing_delay"] * 1e9))
    for arrival, target, work in sorted(arrivals):
        free[target] = max(free.get(target, 0.0), arrival) + work
    return max([*free.values(), *clock.values()]) + w.barrier_s * 1e9


@pytest.mark.parametrize(("threshold", "size"), [(60.0, 100), (400.0, 100), (400.0, 1024)])
def test_where_the_times_part(threshold, size):
    """Stage by stage: what each core does is equal, and only the network between them is not.

    Neuron and axon-out (``generation_delay``) and axon-in and synapses (``processing_delay``) of
    every core and step agree to rounding. What is left is the way of a packet: we time it through
    each link and buffer. SANA-FE takes the larger of the hops' latency and a mean receiving time
    times the packets it believes on the way, and holds a sender up by the same mean, also where
    the receivers it averages over are not on the way. Its messages without these two terms take
    what ours take with links and buffers that never fill.
    """
    rng = np.random.default_rng(3)
    network = conv_network(rng, threshold)
    inputs = (rng.random((10, 4, 16, 16)) < 0.3).astype(float)
    timing, found, spikes = compared(network, blocks(network, size), LOIHI, inputs)
    steps = assert_counts_equal(timing, found, spikes)
    w, apart = timing.wiring, 0
    endless = replace(LOIHI, buffer_spikes=4096, link_spikes_s=1e15)
    free = measure(wire(network, blocks(network, size), endless), [spikes])
    for t in range(steps):
        sending, receiving = stages(found, t, w.mesh, w.cores)
        np.testing.assert_allclose(timing.sending_ns[t], sending, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(timing.receiving_ns[t], receiving, rtol=1e-6, atol=1e-6)
        ours, theirs = timing.step_ns[t], found["perf"]["sim_time"][t] * 1e9
        assert free.step_ns[t] == pytest.approx(without_its_waiting(found, t, w), rel=0.01)
        assert free.step_ns[t] - 1e-3 <= ours <= 1.2 * free.step_ns[t]
        if theirs != pytest.approx(ours, rel=0.05):
            apart += 1
            waits = (m["blocking_delay"] for m in found["messages"][t] if not m["placeholder"])
            if theirs > ours:
                assert sum(waits) * 1e9 > theirs - ours
            else:  # what ours takes more is its full buffers
                assert theirs > free.step_ns[t] * 0.99
    assert apart, "the test is to show what happens where they part"


def assert_files_say_the_same(network, mapping, chip, inputs, folder):
    """The files of `export`, read by SANA-FE itself, against our run."""
    timing, spikes = ours(network, mapping, chip, inputs)
    (source,) = network.sources
    export(network, mapping, chip, folder, {source.name: inputs})
    files = [str(folder / name) for name in ("architecture.yaml", "network.yaml")]
    read = sanafe.run({"files": files, "steps": len(inputs), "traces": True}, 300)
    place = {group: name for name, group in group_names(network).items()}
    read["spikes"] = [[(place[group], n) for group, n in step] for step in read["spikes"]]
    steps = assert_counts_equal(timing, read, spikes)
    mine = timing.core_j.sum(1)[:steps]
    # A membrane that comes back to exactly zero counts as at rest there and not here.
    assert (mine >= np.array(read["perf"]["total_energy"]) * (1 - 1e-9)).all()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_exported_files_of_random_networks(tmp_path_factory, data):
    network, mapping, rng = small.random_network(
        lambda low, high: data.draw(st.integers(low, high)), whole=True
    )
    inputs = (rng.random((6, *network.sources[0].shape)) < 0.4).astype(float)
    folder = tmp_path_factory.mktemp("sanafe")
    assert_files_say_the_same(network, mapping, small.CHIP, inputs, folder)


def test_exported_files_of_a_network_with_relays_on_its_mapped_cores(tmp_path):
    """Padded and plain convs, copies, relays, thresholds by channel, dense; a mapping of ours."""
    rng = np.random.default_rng(3)
    tensors = {
        "a": rng.integers(-4, 9, (4, 2, 3, 3)).astype(float),
        "b": rng.integers(-4, 9, (6, 4, 3, 3)).astype(float),
        "c": rng.integers(-4, 9, (5, 6 * 4 * 4)).astype(float),
        "t": rng.integers(5, 12, (4, 1, 1)).astype(float),
    }
    whole = Neuron(threshold=9.0)
    network = Network.build(
        [
            Source("in", (2, 6, 6)),
            Population("stage.1/sn", (4, 6, 6), Neuron(threshold=Ref("t"))),
            Population("stage.1/sn@+1", (4, 6, 6), Neuron(decay=0.0), "relay"),
            Population("gate", (4, 6, 6), Neuron(decay=0.0, threshold=2.0), "gate"),
            Population("stage_1_sn", (4, 6, 6), Neuron(threshold=1.0, reset="soft")),
            Population("late", (6, 4, 4), whole),
            Readout("y", (5,)),
        ],
        [
            Projection("in", "stage.1/sn", (Conv(Ref("a"), padding=(1, 1)),)),
            Projection("stage.1/sn", "stage.1/sn@+1"),
            Projection("stage.1/sn", "stage_1_sn"),
            Projection("stage.1/sn@+1", "gate"),
            Projection("stage_1_sn", "gate"),
            Projection("gate", "late", (Conv(Ref("b")),)),
            Projection("late", "y", (Reshape((6 * 4 * 4,)), Dense(Ref("c")))),
        ],
        tensors, time_steps=8,
        levels={"in": 0, "stage.1/sn": 1, "stage.1/sn@+1": 2, "stage_1_sn": 2, "gate": 3,
                "late": 4, "y": 5},
    )  # fmt: skip
    chip = replace(small.CHIP, name="small", neurons=40)
    text = chip_text(chip)
    path = tmp_path / "small.toml"
    path.write_text(text)
    assert load_chip(path).neurons == chip.neurons
    form = Route(str(path))(Place(str(path))(Partition(str(path))(network).form).form).form
    assert len(form.mapping.cores) > 8
    inputs = (rng.random((8, 2, 6, 6)) < 0.4).astype(float)
    assert_files_say_the_same(network, form.mapping, load_chip(path), inputs, tmp_path / "out")


def chip_text(chip):
    """A chip as the file it would be read from."""
    rows = [
        f'{c.name} = {{ value = {c.value!r}, unit = "{c.unit}", source = "assumed" }}'
        for c in chip.constants
    ]
    rows.append('thresholds = { value = "neuron", unit = "per", source = "assumed" }')
    return "\n".join([f'name = "{chip.name}"', 'title = "small"', "[constants]", *rows])
