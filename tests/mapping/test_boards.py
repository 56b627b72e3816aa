"""Boards of many chips, up to the 1,152 of Hala Point."""

from __future__ import annotations

import numpy as np
import pytest
from chips import chip, chip_file, convolutions, scheduled

from snncc.ir import Network, Neuron, Population, Projection, Source
from snncc.mapping.demands import Structure
from snncc.passes.partition import Partition
from snncc.passes.place import Place
from snncc.passes.route import Route
from snncc.targets.chip import built_in

HALA = built_in("loihi2")


def pairs(count, more=0):
    """``count`` inputs, a neuron that hears each, and inputs nobody hears."""
    return scheduled(Network.build(
        [
            Source("in", (count,)),
            Population("a", (count,), Neuron()),
            *(Source(f"x{k}", (1,)) for k in range(more)),
        ],
        [Projection("in", "a")], {}, time_steps=1,
    ))  # fmt: skip


def mapped(network, file, *passes):
    """The network behind partition and ``passes``."""
    form = network
    for each in (Partition(file, balance=99.0), *(make(file) for make in passes)):
        outcome = each(form)
        assert outcome.ok, outcome.findings
        form = outcome.form
    return form


@pytest.mark.slow
def test_all_cores_of_hala_point_and_one_more(tmp_path):
    assert HALA.chips * HALA.cores == 147_456
    file = chip_file(tmp_path, neurons=1, chips=HALA.chips)
    form = mapped(pairs(73_728), file, Place, Route)
    assert form.mapping.chips == 1152
    assert len(form.mapping.cores) == 147_456
    (finding,) = Partition(file, balance=99.0)(pairs(73_728, 1)).findings
    assert finding.code == "SNN208"
    assert "147,457 cores, 1 more than the 147,456 of the largest board" in finding.message
    assert "99% of the network would fit; the tightest limit is that on neurons" in finding.help


def test_a_small_network_has_the_same_mapping_on_the_largest_board(tmp_path):
    network, found = convolutions(), {}
    for chips in (1, HALA.chips):
        form = mapped(network, chip_file(tmp_path, neurons=24, chips=chips), Place)
        assert form.mapping.chips == 1
        found[chips] = form.mapping.core_of
    for name, core in found[1].items():
        assert np.array_equal(core, found[HALA.chips][name])


@pytest.mark.parametrize(("most", "chips"), [(99, 15), (14, 13), (13, 13)])
def test_a_board_of_thirteen_chips_gets_two_idle_ones(tmp_path, most, chips):
    file = chip_file(tmp_path, neurons=8, tile_columns=2, tile_rows=1, cores_per_tile=1, chips=most)
    mapping = mapped(pairs(104), file, Place, Route).mapping
    assert (mapping.chips, len(mapping.cores)) == (chips, 26)


def test_core_numbers_of_32_bits_are_enough_for_what_is_multiplied_with_them():
    count = 50_000  # its square is beyond 32 bits
    parts = {"in": np.zeros(count, np.int32), "a": np.arange(count, dtype=np.int32)}
    demands = Structure.of(pairs(count), chip()).demands(parts)
    for what in (demands.neurons[1:], demands.words[1:], demands.lists[1:]):
        assert (what == 1).all()
    assert demands.axons[0] == demands.entries[0] == count
