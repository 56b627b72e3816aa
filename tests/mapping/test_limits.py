"""Every limit of a chip: what just fits, and one more, which is refused with the place, the limit,
by how much, and what would fit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from chips import chip, chip_file, scheduled

from snncc.ir.mapping import Mapping
from snncc.ir.registers import RANGES
from snncc.ir.text import parse_network
from snncc.mapping.fitting import overfull
from snncc.passes.balance_delays import BalanceDelays
from snncc.passes.check_stock import CheckStock
from snncc.passes.partition import Partition
from snncc.passes.realise_projections import RealiseProjections
from snncc.pipeline import collected
from snncc.targets.chip import CONSTANTS

COSTS = {"J", "s", "W", "spikes/s"}
"""Units of what an event costs, which limits nothing that a network may be."""

NO_LIMIT = {"buffer_spikes"}
"""Spikes that find a buffer full wait."""

# Forty inputs and three neurons, 43 in all, each with 40 lists and 40 weights of 8 bits.
DENSE = """
network dense {
  source %in [40] spike
  neuron %a [3] {}
    %in -> %a > dense{weight=@w}
  tensor @w float64 [3,40] = WEIGHTS
}"""
WEIGHTS = [[float(40 * row + column + 1) for column in range(40)] for row in range(3)]
DENSE = DENSE.replace("WEIGHTS", str(WEIGHTS))

# Three synapses per neuron, each with the number of its target.
SPARSE = """
network sparse {
  source %in [3] spike
  neuron %a [2] {}
    %in -> %a > sparse{data=@data, indices=@at, indptr=@rows, shape=(2,)}
  tensor @data float64 [6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
  tensor @at int64 [6] = [0, 1, 2, 0, 1, 2]
  tensor @rows int64 [3] = [0, 3, 6]
}"""

# Two channels of three by three places, all of which every neuron hears.
CONV = """
network conv {
  source %in [2,3,3] spike
  neuron %a [1,1,1] {}
    %in -> %a > conv{weight=@k}
  tensor @k float64 [1,2,3,3] = [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], \
[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]]
}"""

LATE = """
network late {
  source %in [2] spike
  neuron %a [2] {}
    %in -> %a
    %a -> %a after 4
}"""

OWN_THRESHOLDS = """
network own {
  source %in [2] spike
  neuron %a [2] {threshold=@t}
    %in -> %a
  tensor @t float64 [2] = [1.0, 2.0]
}"""

COUNTS = DENSE.replace("[40] spike", "[40] count")
LARGEST = {"in": torch.full((2, 1, 40), 9.0)}

ONE_CORE = {"tile_columns": 1, "tile_rows": 1, "cores_per_tile": 1, "chips": 1}


def board(**cores: int) -> dict[str, int]:
    """A board of cores of one neuron, but for what is looked at."""
    return {**ONE_CORE, "neurons": 1, **cores}


@dataclass(frozen=True)
class Limit:
    """``network`` fits a chip with the constant at ``fits``, not at ``beyond``, the value next to
    it; ``excess`` and ``help`` are what the finding says of how much, and of what would fit."""

    network: str
    fits: Any
    beyond: Any
    code: str
    excess: str
    help: str
    node: str = "a"
    more: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, torch.Tensor] | None = None


CORES = "of the network would fit; the tightest limit is that on neurons, which needs 43 cores"
WORDS = "of its 40 inputs {} would fit; reduce its input channels or kernel"

LIMITS = {
    "tile_columns": Limit(
        DENSE, 43, 42, "SNN208", "43 cores, 1 more than the 42 of", CORES, "in", board()),
    "tile_rows": Limit(
        DENSE, 43, 42, "SNN208", "43 cores, 1 more than the 42 of", CORES, "in", board()),
    "cores_per_tile": Limit(
        DENSE, 43, 42, "SNN208", "43 cores, 1 more than the 42 of", CORES, "in", board()),
    "chips": Limit(
        DENSE, 43, 42, "SNN208", "43 cores, 1 more than the 42 of", CORES, "in", board()),
    "neurons": Limit(
        DENSE, 43, 42, "SNN208", "2 cores, 1 more than the 1 of",
        "50% of the network would fit; the tightest limit is that on neurons", "in", ONE_CORE),
    "synapse_words": Limit(
        DENSE, 40, 39, "SNN204", "40 words of synapse memory, 1 more than the 39 of a core",
        WORDS.format(39)),
    "word_bits": Limit(
        DENSE, 8, 7, "SNN204", "80 words of synapse memory, 40 more than the 40 of a core",
        WORDS.format(20), more={"synapse_words": 40}),
    "weight_bits": Limit(
        DENSE, 8, 9, "SNN204", "80 words of synapse memory, 40 more than the 40 of a core",
        WORDS.format(20), more={"synapse_words": 40, "word_bits": 8}),
    "index_bits": Limit(
        SPARSE, 8, 9, "SNN204", "6 words of synapse memory, 3 more than the 3 of a core",
        "of its 3 inputs 1 would fit", more={"synapse_words": 3, "word_bits": 16}),
    "fan_in_lists": Limit(
        DENSE, 40, 39, "SNN205", "40 fan-in lists, 1 more than the 39 of a core",
        WORDS.format(39)),
    "population_axons": Limit(
        CONV, 1, 0, "SNN205", "18 fan-in lists, 9 more than the 9 of a core",
        "of its 18 inputs 9 would fit", more={"fan_in_lists": 9}),
    "fan_out_axons": Limit(
        DENSE, 3, 2, "SNN206", "3 fan-out axons, 1 more than the 2 of a core",
        "a would have to lie on 2 cores, not 3", "in", {"neurons": 1, "chips": 9}),
    "routing_entries": Limit(
        DENSE, 3, 2, "SNN207", "3 routing entries, 1 more than the 2 of a core",
        "a would have to lie on 2 cores, not 3", "in", {"neurons": 1, "chips": 9}),
    "largest_delay": Limit(
        LATE, 3, 2, "SNN209", "a delay of 3 steps, 1 more than the 2 of", "a delay of 2 would fit"),
    "spike_bits": Limit(
        COUNTS, 4, 3, "SNN202", "counts up to 9 in 4 bits, 1 more than the 3 that a spike of",
        "counts up to 7 would fit", "in", inputs=LARGEST),
    "thresholds": Limit(
        OWN_THRESHOLDS, "neuron", "layer", "SNN201", "the neurons of a differ in threshold",
        "choose a target with thresholds by neuron, or whole numbers (--weight-bits)"),
}  # fmt: skip


def test_every_constant_of_a_chip_is_a_limit_with_a_test_or_a_cost():
    costs = {name for name, f in CONSTANTS.items() if f.metadata["unit"] in COSTS}
    assert LIMITS.keys() | NO_LIMIT == CONSTANTS.keys() - costs


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_holds_at_it_and_is_named_beyond(name, tmp_path):
    row = LIMITS[name]
    network = scheduled(parse_network(row.network))
    given = {"balance": 99.0, "calibration": row.inputs}
    fits = Partition(chip_file(tmp_path, **{**row.more, name: row.fits}), **given)(network)
    assert fits.ok, fits.findings
    assert fits.form.mapping is not None
    outcome = Partition(chip_file(tmp_path, **{**row.more, name: row.beyond}), **given)(network)
    (finding,) = outcome.findings
    assert (finding.code, finding.node) == (row.code, row.node)
    assert row.excess in finding.message
    assert row.node in finding.message
    assert "small" in finding.message
    assert row.help in finding.help


def test_what_fits_exactly_beside_a_limit_that_does_not_is_not_named(tmp_path):
    """A neuron of DENSE takes 40 words and 40 fan-in lists; only the words are one too many."""
    network = scheduled(parse_network(DENSE))
    full = chip_file(tmp_path, synapse_words=40, fan_in_lists=40)
    assert Partition(full, balance=99.0)(network).ok
    less = chip_file(tmp_path, synapse_words=39, fan_in_lists=40)
    (finding,) = Partition(less, balance=99.0)(network).findings
    assert (finding.code, finding.node) == ("SNN204", "a")
    assert "needs 40 words of synapse memory, 1 more than the 39 of a core" in finding.message


def test_each_step_of_a_limit_is_one():
    for name, row in LIMITS.items():
        if name != "thresholds":
            assert abs(row.fits - row.beyond) == 1, name


def test_counts_that_no_data_shows_need_two_bits(tmp_path):
    network = scheduled(parse_network(COUNTS))
    (finding,) = Partition(chip_file(tmp_path, spike_bits=1))(network).findings
    assert (finding.code, finding.node) == ("SNN202", "in")
    assert "counts up to 2 or more in 2 bits, 1 more than the 1" in finding.message
    assert Partition(chip_file(tmp_path, spike_bits=2), balance=99.0)(network).ok


def test_thresholds_that_are_a_tensor_of_equal_numbers_are_one_a_layer(tmp_path):
    network = scheduled(parse_network(OWN_THRESHOLDS.replace("[1.0, 2.0]", "[2.0, 2.0]")))
    assert Partition(chip_file(tmp_path, thresholds="layer"), balance=99.0)(network).ok


# -- mappings from elsewhere -------------------------------------------------------------------

HELD = {
    "neurons": (43, "neurons", 0), "synapse_words": (40, "words of synapse memory", 0),
    "fan_in_lists": (40, "fan-in lists", 0), "fan_out_axons": (80, "fan-out axons", 1),
    "routing_entries": (2, "routing entries", 1),
}  # fmt: skip
"""What core 0 needs with the inputs of DENSE and, if 0, its neurons, which else are on 1 and 2."""


@pytest.mark.parametrize("name", HELD)
def test_a_core_of_a_mapping_from_elsewhere(name):
    need, words, elsewhere = HELD[name]
    network = scheduled(parse_network(DENSE))
    cores = [1, 2, 2] if elsewhere else [0, 0, 0]
    mapping = Mapping(1, {"in": [0] * 40, "a": cores})
    assert not list(overfull(network, mapping, chip(**{name: need})))
    (finding,) = overfull(network, mapping, chip(**{name: need - 1}))
    assert (finding.code, finding.node) == ("SNN215", "in")
    assert finding.message == (
        f"core 0 holds {need} {words}, most of its neurons are of in: 1 more than the {need - 1} "
        f"of a core of small; 1 of {len({0, *cores})} cores hold too many"
    )


def test_a_board_of_a_mapping_from_elsewhere():
    network = scheduled(parse_network(DENSE))
    mapping = Mapping(3, {"in": [0] * 40, "a": [300] * 3})
    assert not list(overfull(network, mapping, chip(chips=3)))
    (finding,) = overfull(network, mapping, chip(chips=2))
    assert finding.code == "SNN215"
    assert "for 3 chips, 1 more than the 2 of the largest board of small" in finding.message


# -- limits of the passes ----------------------------------------------------------------------

RELAYED = """
network relayed {
  source %in [4] spike
  neuron %a [4] {}
    %in -> %a
  neuron %b [4] {}
    %a -> %b
  neuron %c [4] {}
    %a -> %c
    %b -> %c
}"""


@pytest.mark.parametrize(("limit", "codes"), [(4, set()), (3, {"SNN212"})])
def test_relays(limit, codes):
    outcome = BalanceDelays(limit=limit)(parse_network(RELAYED))
    assert {f.code for f in outcome.findings if f.is_error} == codes
    if codes:
        (finding,) = outcome.findings
        assert "4 relay neurons" in finding.message
        assert "the limit is 3, and with projection delays of 1 step" in finding.message


CHAIN = CONV.replace("neuron %a [1,1,1] {}", "neuron %a [1,3,3] {}").replace(
    "conv{weight=@k}", "conv{weight=@k, padding=(1, 1)} > conv{weight=@l, padding=(1, 1)}"
).replace("  tensor @k", "  tensor @l float64 [1,1,3,3] = [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], \
[7.0, 8.0, 9.0]]]]\n  tensor @k")  # fmt: skip


@pytest.mark.parametrize(("limit", "codes"), [(162, set()), (161, {"SNN203"})])
def test_synapses_written_out(limit, codes):
    outcome = RealiseProjections(limit=limit)(parse_network(CHAIN))
    assert {f.code for f in outcome.findings} == codes
    if codes:
        (finding,) = outcome.findings
        assert finding.node == "a"
        assert "162" in finding.message
        assert "161" in finding.message


def test_a_check_says_what_is_beyond_the_limits_of_several_passes(tmp_path):
    more = "".join(DENSE.replace("%in", "%in2").replace("%a", "%b").splitlines(True)[2:])
    network = parse_network(CHAIN.rstrip().removesuffix("}") + more)
    own = network.places["b"]
    network = network.with_changes([
        *(place for place in network.places.values() if place is not own),
        replace(own, neuron=replace(own.neuron, reset="soft")),
    ])  # fmt: skip
    passes = [
        RealiseProjections(limit=161), BalanceDelays(limit=0),
        Partition(chip_file(tmp_path, synapse_words=39)), CheckStock(),
    ]  # fmt: skip
    found = [(f.code, f.node) for f in collected(network, passes)]
    assert found == [("SNN203", "a"), ("SNN204", "b"), ("SNN213", "b")]


@pytest.mark.parametrize(("balance", "codes"), [(2.01, set()), (1.99, {"SNN210"})])
def test_balance(tmp_path, balance, codes):
    text = DENSE.replace("[3]", "[1]").replace("[3,40]", "[1,40]")
    network = scheduled(parse_network(text.replace(str(WEIGHTS), str(WEIGHTS[:1]))))
    outcome = Partition(chip_file(tmp_path, neurons=40), balance=balance)(network)
    assert {f.code for f in outcome.findings} == codes


REGISTERS = """
network registers {
  source %in [1] spike
  neuron %a [1] fixed{vth=1, KEY}
    %in -> %a > scale{factor=2.0}
}"""


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [(name, bound, step) for name, (low, high) in RANGES.items()
     for bound, step in ((low, -1), (high, 1))],
)  # fmt: skip
def test_a_register(name, value, step):
    def read(number: int) -> None:
        key = f"{name}={number}"
        text = REGISTERS.replace("vth=1, KEY", key if name == "vth" else f"vth=1, {key}")
        parse_network(text)

    read(value)
    with pytest.raises(ValueError, match=f"population a: {name} goes from {value + step}"):
        read(value + step)


@pytest.mark.parametrize(("value", "step"), [(-256, -2), (254, 2)])
def test_a_synapse(value, step):
    def read(weight: int) -> None:
        parse_network(REGISTERS.replace(", KEY", "").replace("2.0", f"{weight}.0"))

    read(value)
    with pytest.raises(ValueError, match="projection in -> a has weights from"):
        read(value + step)
