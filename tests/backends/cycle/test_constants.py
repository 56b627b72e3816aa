"""Every number of a chip file that says what something costs: changed, time or energy changes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import small

from snncc.backends.cycle import measure, wire
from snncc.ir.network import Network, Neuron, Population, Source
from snncc.ir.stages import Scheduled
from snncc.targets.chip import BUILT_IN, CONSTANTS, built_in

UNITS = {name: f.metadata["unit"] for name, f in CONSTANTS.items()}
CHIPS = pytest.mark.parametrize("chip", [built_in(name) for name in BUILT_IN], ids=BUILT_IN)
TIMES = [name for name, unit in UNITS.items() if unit == "s"]

EVENTS = {
    "synapse_j": lambda s: s.events.sum(),
    "neuron_active_j": lambda s: s.active.sum(),
    "neuron_inactive_j": lambda s: UPDATES * len(s.active) - s.active.sum(),
    "axon_in_j": lambda s: s.packets_in.sum(),
    "axon_out_j": lambda s: s.packets_out.sum(),
    "tile_j": lambda s: s.packets_in.sum(),
    "hop_ew_j": lambda s: s.hops[..., 0].sum(),
    "hop_ns_j": lambda s: s.hops[..., 1].sum(),
    "hop_chip_j": lambda s: s.hops[..., 2].sum(),
}
"""What each energy is of."""

SENDERS, UPDATES = 12, 4 + 400


@cache
def timed(chip, chips=2, level="packet"):
    """Input neurons on the first core, which updates others after them, and their targets one tile
    further down, two to the right, and on the next chip where there are two."""
    projections, tensors = small.dense({"in>p": (4, SENDERS)})
    places = [
        Source("in", (SENDERS,)), Population("p", (4,), Neuron(threshold=1e9)),
        Population("busy", (UPDATES - 4,), Neuron()),
    ]  # fmt: skip
    levels = {"in": 0, "p": 1, "busy": 0}
    network = Scheduled.of(Network.build(places, projections, tensors), levels)
    below = (chip.tile_columns + 2) * chip.cores_per_tile
    cores = {"in": 0, "p": [below, below, *(2 * [(chips - 1) * chip.cores or below])], "busy": 0}
    spikes = {
        "in": np.ones((2, 1, SENDERS)), "p": np.zeros((2, 1, 4)),
        "busy": np.zeros((2, 1, UPDATES - 4)),
    }  # fmt: skip
    return measure(wire(network, small.mapped(network, cores, chips), chip), [spikes], level)


@pytest.mark.parametrize("name", [name for name, unit in UNITS.items() if unit == "J"])
@CHIPS
def test_an_energy_is_that_of_its_events(chip, name):
    before = timed(chip)
    for level in ("count", "packet"):
        after = timed(replace(chip, **{name: getattr(chip, name) + 1.0}), level=level)
        events = EVENTS[name](before.steps)
        assert events > 0
        assert after.energy_j - before.energy_j == pytest.approx(events)
        assert after.totals.layer_j.sum() == pytest.approx(after.energy_j)
        if level == "packet":
            assert after.time_ns == before.time_ns


@pytest.mark.parametrize("name", TIMES)
@CHIPS
def test_a_time_makes_steps_longer(chip, name):
    """By a millisecond, more than all else takes, so that the step waits for it."""
    longer = replace(chip, **{name: 1e-3})
    chips = 1 if name == "barrier_tile_s" else 2
    assert timed(longer, chips).time_ns > timed(chip, chips).time_ns + 0.5e6
    assert timed(longer, chips).energy_j == timed(chip, chips).energy_j
    if not name.startswith("hop"):  # the way of a packet is the packet level's
        count = [timed(each, chips, "count").time_ns for each in (longer, chip)]
        assert count[0] > count[1] + 0.5e6


@pytest.mark.parametrize(("name", "value"), [("link_spikes_s", 1e6), ("buffer_spikes", 1)])
@CHIPS
def test_links_and_buffers_hold_packets_up(chip, name, value):
    less = replace(chip, **{name: value})
    assert timed(less).time_ns > timed(chip).time_ns
    assert timed(less).steps.waited.sum() > timed(chip).steps.waited.sum()
    assert timed(less, level="count").time_ns == timed(chip, level="count").time_ns


@CHIPS
def test_the_power_of_a_chip_is_drawn_all_the_time(chip):
    found = timed(replace(chip, static_w=2.0))
    assert found.static_j == pytest.approx(2 * 2.0 * found.time_ns * 1e-9)
    assert found.energy_j == timed(chip).energy_j


def test_no_cost_is_left_out():
    """What a network may be is limited by the others; `tests/mapping/test_limits.py` has those."""
    costs = {name for name, unit in UNITS.items() if unit in ("J", "s", "W", "spikes/s")}
    assert costs == {*EVENTS, *TIMES, "static_w", "link_spikes_s"}
