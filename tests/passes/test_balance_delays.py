"""balance-delays: levels, relays and what is said about them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import Severity
from snncc.ir import Encoder, Network, Neuron, Population, Projection, Readout, Ref, Source
from snncc.ir.interpreter import run_network
from snncc.ir.ops import Dense, Scale
from snncc.ir.registers import FixedNeuron
from snncc.ir.text import parse_graph, parse_network, print_network
from snncc.mapping.levels import cheapest, earliest, held_back, long_loop
from snncc.passes.balance_delays import BalanceDelays

SKIP = """
network skip steps=2 {
  source %in [2] spike
  neuron %a [2] {} for %sn_a
    %in -> %a
  neuron %b [2] {}
    %a -> %b
  gate %c [2] {decay=0.0, threshold=2.0}
    %a -> %c
    %b -> %c > scale{factor=1.0}
  readout %late [2] {}
    %in -> %late
    %a -> %late
    %c -> %late
  readout %early [2] {}
    %a -> %early
}
"""

BALANCED = """
network skip steps=2 {
  source %in [2] @0 spike
  neuron %a [2] @1 {} for %sn_a
    %in -> %a
  relay %a@+1 [2] @2 {decay=0.0} for %sn_a
    %a -> %a@+1
  neuron %b [2] @2 {}
    %a -> %b
  gate %c [2] @3 {decay=0.0, threshold=2.0}
    %a@+1 -> %c
    %b -> %c > scale{factor=1.0}
  readout %late [2] @4 {}
    %in -> %late
    %a -> %late
    %c -> %late
  readout %early [2] @2 {}
    %a -> %early
}
"""


def balanced(text, **options):
    network = parse_network(text) if isinstance(text, str) else text
    outcome = BalanceDelays(**options)(network)
    assert outcome.ok, outcome.findings
    return outcome


def test_1_2_3_5_levels_relays_sources_and_readouts():
    assert print_network(balanced(SKIP).form).strip() == BALANCED.strip()


def test_2_4_a_target_with_delays_needs_no_relay():
    outcome = balanced(SKIP, delays=1)
    network = outcome.form
    assert network.projections == parse_network(SKIP).projections
    assert network.levels == {"in": 0, "a": 1, "b": 2, "c": 3, "late": 4, "early": 2}
    assert {network.span(p) for p in network.projections if p.target == "c"} == {1, 2}
    (note,) = outcome.findings
    assert (note.code, note.node) == ("SNN507", "a")
    assert "spikes of 1 population are delivered late, those of a by up to 1 step" in note.message


CHAIN = """
network chain {
  source %in [3] spike
  neuron %n0 [3] {}
    %in -> %n0
POPULATIONS
  gate %end [3] {decay=0.0, threshold=2.0}
    %n0 -> %end
    %nLAST -> %end
  readout %y [3] {}
    %end -> %y
}
"""


def chain(length):
    """A skip past ``length`` populations."""
    places = [f"  neuron %n{i} [3] {{}}\n    %n{i - 1} -> %n{i}" for i in range(1, length + 1)]
    return CHAIN.replace("POPULATIONS", "\n".join(places)).replace("LAST", str(length))


@pytest.mark.parametrize(
    ("delays", "relays"),
    [(0, [1, 2, 3, 4, 5, 6]), (1, [2, 4, 6]), (2, [3, 6]), (3, [4]), (5, [6]), (6, [])],
)
def test_3_relays_are_as_far_apart_as_delays_reach(delays, relays):
    network = balanced(chain(6), delays=delays).form
    found = [place.name for place in network.populations if place.role == "relay"]
    assert found == [f"n0@+{steps}" for steps in relays]
    assert [network.levels[name] for name in found] == [1 + steps for steps in relays]
    assert all(1 <= network.span(p) <= 1 + delays for p in network.projections)


def test_what_is_said_about_relays():
    outcome = balanced(chain(2))
    (note,) = outcome.findings
    assert (note.code, note.node) == ("SNN503", "n0")
    assert "2 relay populations with 6 neurons" in note.message
    assert "1 place, 6 of them those of n0" in note.message
    assert outcome.report.said == {
        "latency": 5, "idle steps": 0, "relay populations": 2, "relay neurons": 6,
        "other neurons": 12, "delayed populations": 0, "delayed neuron-steps": 0,
        "neuron-steps held back": 6, "neuron-steps held back by the longest path": 6,
    }  # fmt: skip


WIDE = """
network wide steps=4 {
  source %in [8] spike
  neuron %wide [8] {}
    %in -> %wide
  neuron %one [1] {}
    %wide -> %one > slice{axis=0, start=0, stop=1}
  neuron %two [1] {}
    %one -> %two
  neuron %end [1] {}
    %wide -> %end > slice{axis=0, start=7, stop=8}
    %two -> %end
  readout %y [1] {}
    %end -> %y
}
"""


FIXED = """
network skip {
  source %in [2] spike
  neuron %a [2] fixed{vth=5}
    %in -> %a > scale{factor=WEIGHT}
  neuron %b [2] fixed{vth=5}
    %a -> %b > scale{factor=8.0}
  gate %c [2] fixed{vth=15, dv=4095}
    %a -> %c > scale{factor=8.0}
    %b -> %c > scale{factor=8.0}
}
"""


@pytest.mark.parametrize(
    ("weight", "of_relays", "forgets"), [(12, 4, 4095), (6, 2, 4095), (-256, 8, 4095)]
)
def test_3_relays_of_whole_numbers_are_as_coarse_as_the_network(weight, of_relays, forgets):
    network = parse_network(FIXED.replace("WEIGHT", f"{weight}.0"))
    balanced = BalanceDelays()(network).form
    balanced.verify()
    relay = balanced.places["a@+1"]
    assert relay.neuron == FixedNeuron(vth=of_relays - 1, dv=forgets)
    (wire,) = balanced.incoming["a@+1"]
    assert wire.map == (Scale(float(of_relays)),)
    spikes = (torch.rand(9, 4, 2, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    run = run_network(balanced, {"in": spikes}).spikes
    assert torch.equal(run["a@+1"], run["a"])


def test_relays_that_outnumber_neurons_are_a_warning_with_the_way_out():
    outcome = balanced(WIDE)
    _, warning = outcome.findings
    assert (warning.code, warning.severity) == ("SNN505", Severity.WARNING)
    assert warning.message == (
        "16 relay neurons serve 11 others; with projection delays of 2 steps, 0 now, there would "
        "be none"
    )
    assert outcome.report.steps_a_sample == 4


def test_too_many_relays_are_refused_with_the_number():
    outcome = BalanceDelays(limit=15)(parse_network(WIDE))
    (error,) = outcome.findings
    assert (error.code, error.node, error.is_error) == ("SNN212", "wide", True)
    assert error.message == (
        "16 relay neurons would serve 11 others, 16 of them wide, whose spikes wait 2 steps; the "
        "limit is 15, and with projection delays of 2 steps, 0 now, there would be none"
    )
    assert BalanceDelays(limit=16)(parse_network(WIDE)).ok
    assert BalanceDelays(delays=2, limit=0)(parse_network(WIDE)).ok


def test_2_a_wide_population_moves_and_a_narrow_one_waits():
    """Two branches into one gate; the longest path would let the wide one wait."""
    network = parse_network("""
    network branches {
      source %in [9] spike
      neuron %narrow [1] {}
        %in -> %narrow > slice{axis=0, start=0, stop=1}
      neuron %wide [9] {}
        %narrow -> %wide > broadcast{shape=(9,)}
      neuron %a [1] {}
        %in -> %a > slice{axis=0, start=0, stop=1}
      neuron %b [1] {}
        %a -> %b
      neuron %c [1] {}
        %b -> %c
      gate %end [9] {decay=0.0, threshold=2.0}
        %wide -> %end
        %c -> %end > broadcast{shape=(9,)}
      readout %y [9] {}
        %end -> %y
    }""")
    outcome = balanced(network)
    assert outcome.form.levels["wide"] == 3
    assert outcome.form.levels["narrow"] == 2
    assert outcome.report.relay_neurons == 0
    assert outcome.report.neuron_steps_held_back_by_the_longest_path == 9


def test_a_chain_needs_no_relay_and_nothing_is_said():
    network = parse_network("""
    network chain {
      source %in [2] spike
      neuron %a [2] {}
        %in -> %a
      readout %y [2] {}
        %a -> %y
    }""")
    outcome = BalanceDelays()(network)
    assert outcome.findings == ()
    assert outcome.form.levels == {"in": 0, "a": 1, "y": 2}
    assert outcome.form.projections == network.projections


def test_a_balanced_network_is_left_as_it_is():
    once = BalanceDelays()(parse_network(SKIP)).form
    again = BalanceDelays()(once)
    assert again.form == once
    assert again.findings == ()


CURRENT = """
graph current {
  %image = input{kind='analog'} : static [2] real
  %current = scale{factor=1.5} %image : static [2] real
  head current = %current
}
"""


def test_1_an_encoder_feeds_any_level_without_relays():
    encoder = Encoder("stem", (2,), parse_graph(CURRENT))
    places = [encoder, Population("a", (2,), Neuron()), Population("b", (2,), Neuron()),
              Population("clock", (2,), Neuron(bias=0.5)), Readout("y", (2,))]  # fmt: skip
    wires = [Projection("stem", "a"), Projection("stem", "b"), Projection("a", "b"),
             Projection("b", "y"), Projection("clock", "y")]  # fmt: skip
    outcome = BalanceDelays()(Network.build(places, wires, {}, time_steps=3))
    levels = {"stem": 0, "a": 0, "clock": 0, "b": 1, "y": 2}
    assert outcome.form.levels == levels
    assert Projection("stem", "b") in outcome.form.projections


def test_1_counts_wait_on_the_host_as_spikes_do():
    network = balanced(SKIP.replace("[2] spike", "[2] count")).form
    (late,) = (p for p in network.outgoing["in"] if p.target == "late")
    assert network.span(late) == 4


# -- what comes back ---------------------------------------------------------------------------

LOOP = """
network loop steps=3 {
  source %in [2] spike
  neuron %a [2] {}
    %in -> %a
    %a -> %a after 1
    %b -> %a after DELAY
  neuron %b [2] {}
    %a -> %b
  readout %y [2] {}
    %b -> %y
}
"""


@pytest.mark.parametrize(("delay", "relays"), [(2, 0), (3, 1), (5, 3)])
def test_2_a_loop_fits_its_delay(delay, relays):
    outcome = balanced(LOOP.replace("DELAY", str(delay)))
    network = outcome.form
    assert network.levels["a"] == 1
    assert network.levels["b"] == 2
    assert network.idle_steps == outcome.report.idle_steps == delay
    assert outcome.report.steps_a_sample == 3 + delay
    assert [p.role for p in network.populations].count("relay") == relays
    assert {network.span(p) for p in network.projections if p.source != "in"} == {1}
    assert [p.delay for p in network.projections if p.target == "a"] == [0, 1, delay]


def test_2_a_loop_with_more_hops_than_delay_is_refused():
    outcome = BalanceDelays()(parse_network(LOOP.replace("DELAY", "1")))
    (error,) = outcome.findings
    assert error.code == "SNN211"
    assert "takes 2 hops, a step each, and what it brings back is 1 step old" in error.message
    assert error.message.startswith("the loop a -> b -> a takes")


def test_2_what_a_source_said_before_is_sent_late():
    network = parse_network("""
    network before steps=3 {
      source %in [2] spike
      neuron %a [2] {}
        %in -> %a
        %in -> %a after 2
      readout %y [2] {}
        %a -> %y
    }""")
    outcome = balanced(network)
    assert outcome.form.levels == {"in": 0, "a": 1, "y": 2}
    assert outcome.findings == ()
    assert outcome.report.idle_steps == 2


# -- the least cost ----------------------------------------------------------------------------


@st.composite
def networks(draw):
    """Populations that read any earlier ones, and two readouts."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 7))
    sizes = [int(n) for n in random.integers(1, 4, count + 1)]
    places = [Source("p0", (sizes[0],))]
    wires, tensors = [], {}

    def join(source, target, rows, columns):
        name = f"{source}-{target}"
        tensors[name] = random.standard_normal((rows, columns))
        wires.append(Projection(source, target, (Dense(Ref(name)),)))

    for i in range(1, count + 1):
        decay, soft = random.choice([0.0, 0.5, 1.0]), random.choice(["hard", "soft"])
        neuron = Neuron(float(decay), 0.6, float(random.normal(0, 0.3)), 0.0, str(soft))
        places.append(Population(f"p{i}", (sizes[i],), neuron))
        for j in random.choice(i, random.integers(1, i + 1), replace=False):
            join(f"p{j}", f"p{i}", sizes[i], sizes[j])
    for name in ("y", "z"):
        places.append(Readout(name, (2,)))
        for j in random.choice(count + 1, random.integers(1, count + 2), replace=False):
            join(f"p{j}", name, 2, sizes[j])
    return Network.build(places, wires, tensors)


@st.composite
def small_networks(draw):
    """Populations that read earlier ones or, some steps late, any, their sizes far apart."""
    count = draw(st.integers(1, 4))
    sizes = [draw(st.sampled_from([1, 2, 5, 9])) for _ in range(count)]
    places = [Source("in", (1,))]
    places += [Population(f"p{i}", (n,), Neuron()) for i, n in enumerate(sizes)]
    places.append(Readout("y", (1,)))
    names = [place.name for place in places]
    shapes = {place.name: place.shape for place in places}
    pairs = [(a, b) for b in names[1:] for a in names[:-1]]
    wires, tensors = [], {}
    for a, b in draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=9)):
        forward = names.index(a) < names.index(b)
        delay = draw(st.sampled_from([0, 0, 0, 1, 2] if forward else [1, 2, 3]))
        tensors[f"{a}-{b}"] = np.ones((*shapes[b], *shapes[a]))
        wires.append(Projection(a, b, (Dense(Ref(f"{a}-{b}")),), delay))
    return Network.build(places, wires, tensors)


def exhaustive(network, highest):
    """Every choice of levels up to ``highest`` that lets each span at least one step, and what
    each costs."""
    free = [name for name, place in network.places.items() if not isinstance(place, Source)]
    grid = np.indices((highest + 1,) * len(free)).reshape(len(free), -1)
    levels = dict(zip(free, grid, strict=True)) | {"in": grid[0] * 0}
    fits, cost = grid[0] >= 0, grid[0] * 0
    for p in network.projections:
        fits &= levels[p.target] + p.delay > levels[p.source]
    for place in network.populations:
        wait = grid[0] * 0
        for p in network.outgoing[place.name]:
            if not isinstance(network.places[p.target], Readout):
                wait = np.maximum(wait, levels[p.target] + p.delay - levels[place.name] - 1)
        cost += math.prod(place.shape) * wait
    return {name: level[fits] for name, level in levels.items()}, cost[fits]


@settings(max_examples=150)
@given(small_networks())
def test_levels_are_the_least_of_the_cheapest(network):
    every, cost = exhaustive(network, 7)
    if loop := long_loop(network):
        assert not len(cost)
        assert sum(p.delay for p in loop) < len(loop)
        assert all(a.target == b.source for a, b in itertools.pairwise([*loop, loop[0]]))
        return
    levels = cheapest(network)
    assert held_back(network, levels) == cost.min()
    best = cost == cost.min()
    assert levels == {name: level[best].min() for name, level in every.items()}
    assert earliest(network) == {name: level.min() for name, level in every.items()}
    outcome = balanced(network)
    relays = sum(math.prod(p.shape) for p in outcome.form.populations if p.role == "relay")
    assert relays == cost.min() == outcome.report.relay_neurons


@settings(max_examples=60)
@given(networks(), st.integers(0, 3), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_spikes_are_preserved_and_every_span_fits(network, delays, steps, seed):
    balanced = BalanceDelays(delays=delays)(network).form
    for p in balanced.projections:
        source, target = balanced.places[p.source], balanced.places[p.target]
        free = isinstance(source, Source) or isinstance(target, Readout)
        assert 1 <= balanced.span(p) <= (99 if free else 1 + delays)
    shape = (steps, 3, *network.places["p0"].shape)
    inputs = {"p0": torch.from_numpy(np.random.default_rng(seed).random(shape) < 0.5)}
    before, after = run_network(network, inputs), run_network(balanced, inputs)
    for name, spikes in before.spikes.items():
        assert torch.equal(spikes, after.spikes[name])
    for population in balanced.populations:
        if population.role == "relay":
            copied = after.spikes[population.name.partition("@+")[0]]
            assert torch.equal(copied, after.spikes[population.name])
    for name, sums in before.outputs.items():
        torch.testing.assert_close(after.outputs[name], sums, rtol=0, atol=1e-12)


def test_a_relay_of_whole_numbers_weighs_what_synapses_can():
    """The currents of a host go through none: its scale may be any number."""
    text = """network t steps=1 {
      source %in [2] spike
      encoder %e [2] static
        graph g {
          %image = input{kind='analog'} : static [2] real
          head current = %image
        }
      neuron %a [2] fixed{vth=3}
        %in -> %a > scale{factor=6.0}
        %e -> %a > scale{factor=1.5}
      neuron %b [2] fixed{vth=3}
        %a -> %b > scale{factor=12.0}
      neuron %c [2] fixed{vth=3}
        %a -> %c > scale{factor=6.0}
        %b -> %c > scale{factor=6.0}
    }"""
    after = BalanceDelays()(parse_network(text)).form
    assert isinstance(after, Network)
    (wire,) = after.incoming["a@+1"]
    assert [op.factor for op in wire.map] == [2.0]
