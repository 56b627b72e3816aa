"""balance-delays: levels, relays and what is said about them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import Severity
from snncc.ir import Encoder, Network, Neuron, Population, Projection, Readout, Ref, Source
from snncc.ir.interpreter import run_network
from snncc.ir.ops import Dense
from snncc.ir.text import parse_graph, parse_network, print_network
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
  relay %in@+1 [2] @1 {decay=0.0} for %in
    %in -> %in@+1
  relay %in@+2 [2] @2 {decay=0.0} for %in
    %in@+1 -> %in@+2
  relay %in@+3 [2] @3 {decay=0.0} for %in
    %in@+2 -> %in@+3
  neuron %a [2] @1 {} for %sn_a
    %in -> %a
  relay %a@+1 [2] @2 {decay=0.0} for %sn_a
    %a -> %a@+1
  relay %a@+2 [2] @3 {decay=0.0} for %sn_a
    %a@+1 -> %a@+2
  neuron %b [2] @2 {}
    %a -> %b
  gate %c [2] @3 {decay=0.0, threshold=2.0}
    %a@+1 -> %c
    %b -> %c > scale{factor=1.0}
  readout %late [2] @4 {}
    %in@+3 -> %late
    %a@+2 -> %late
    %c -> %late
  readout %early [2] @2 {}
    %a -> %early
}
"""


def test_1_2_3_levels_relays_and_readouts():
    outcome = BalanceDelays()(parse_network(SKIP))
    assert outcome.ok
    assert print_network(outcome.form).strip() == BALANCED.strip()


def test_what_is_said_about_relays():
    outcome = BalanceDelays()(parse_network(SKIP))
    note, warning = outcome.findings
    assert note.code == "SNN503"
    assert "5 relay populations with 10 neurons" in note.message
    assert "2 places, 6 of them those of in" in note.message
    assert note.node == "in"
    assert (warning.code, warning.severity) == ("SNN505", Severity.WARNING)
    assert "10 relay neurons serve 6 others" in warning.message
    assert outcome.report == {
        "latency": 4, "relay populations": 5, "relay neurons": 10, "other neurons": 6,
    }  # fmt: skip


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
    levels = {"stem": 0, "a": 0, "clock": 0, "clock@+1": 1, "b": 1, "y": 2}
    assert outcome.form.levels == levels
    assert Projection("stem", "b") in outcome.form.projections


def test_a_delay_is_refused():
    network = parse_network(SKIP.replace("%a -> %b", "%a -> %b after 2"))
    outcome = BalanceDelays()(network)
    assert [(f.code, f.node) for f in outcome.findings] == [("SNN202", "b")]
    assert "a -> b has a delay of 2" in outcome.findings[0].message


def test_2_counts_cannot_wait():
    outcome = BalanceDelays()(parse_network(SKIP.replace("[2] spike", "[2] count")))
    assert [(f.code, f.node) for f in outcome.findings] == [("SNN202", "late")]
    assert "the counts of in would have to wait 3 steps for late" in outcome.findings[0].message
    direct = SKIP.replace("[2] spike", "[2] count").replace("    %in -> %late\n", "")
    assert BalanceDelays()(parse_network(direct)).ok


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


@settings(max_examples=60)
@given(networks(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_spikes_are_preserved_and_every_span_is_one(network, steps, seed):
    balanced = BalanceDelays()(network).form
    levels = balanced.levels
    for p in balanced.projections:
        assert levels[p.target] == levels[p.source] + 1
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


def test_relays_are_as_few_as_their_farthest_reader_needs():
    text = print_network(BalanceDelays()(parse_network(SKIP)).form)
    assert text.count("relay %in@+") == 3
    assert text.count("relay %a@+") == 2
