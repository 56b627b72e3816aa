"""Samples back to back are as each by itself, however late spikes come and whatever comes back."""

from __future__ import annotations

import pytest
from all_sorts import agree, all_sorts


@pytest.mark.parametrize("steps", [1, 14])
def test_delay_lines_in_the_place_of_relays(lava, tmp_path, steps):
    network, inputs = all_sorts(steps, steps, samples=5, delays=62)
    assert all(place.role != "relay" for place in network.populations)
    agree(network, inputs, tmp_path / "loihi")
    assert "DelayLine(" in (tmp_path / "loihi" / "network.py").read_text()


@pytest.mark.parametrize(("steps", "delays"), [(1, 0), (2, 1), (5, 62), (14, 1)])
def test_recurrence_does_not_leak_from_one_sample_to_the_next(lava, tmp_path, steps, delays):
    """Loops of one, two and three hops, and sources and readouts of other steps; the network is
    12 levels deep."""
    network, inputs = all_sorts(steps, steps, samples=5, delays=delays, loops=True)
    assert network.idle_steps == 3
    found = agree(network, inputs, tmp_path / "loihi")
    active = [name for name, spikes in found.spikes.items() if 0 < spikes.mean() < 1]
    assert len(active) >= (len(found.spikes) - 4 if steps > 2 else 8)
