"""What a Network refuses to be, what it means by hand, its text and its files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snncc.diagnostics import SnnccError
from snncc.ir.files import load, save
from snncc.ir.interpreter import run_network
from snncc.ir.text import TextError, parse_network, print_network

TEXT = """network tiny steps=4 {
  source %x [2] spike
  neuron %a [2] {decay=0.5, threshold=2.0, bias=0.25, initial=1.0, reset='soft'} for %a  # m|f.py|3
    %x -> %a > dense{weight=@w}
  gate %g [2] {decay=0.0}
    %x -> %g
    %a -> %g > scale{factor=-1.0}
  readout %0 [2] {bias=0.5, over_time='sum'} > softmax{axis=0}
    %g -> %0
    %a -> %0 after 1
  tensor @w float64 [2,2] = [[1.0, 2.0], [0.0, -1.0]]
}"""

X = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]]).double()[:, None]


def by_hand():
    """The same in plain Python: spikes of a, spikes of g, sums at the readout."""
    w = np.array([[1.0, 2.0], [0.0, -1.0]])
    v, spikes, gates, sums = np.ones(2), [], [], []
    before = np.zeros(2)
    for x in X[:, 0].numpy():
        v = 0.5 * v + w @ x + 0.25
        s = (v >= 2.0).astype(float)
        v = v - 2.0 * s
        g = (x - s >= 1).astype(float)
        sums.append(g + before + 0.5)
        spikes.append(s)
        gates.append(g)
        before = s
    return np.array(spikes), np.array(gates), np.array(sums)


def test_a_network_means_what_it_says():
    run = run_network(parse_network(TEXT), {"x": X})
    spikes, gates, sums = by_hand()
    np.testing.assert_array_equal(run.spikes["a"][:, 0].numpy(), spikes)
    np.testing.assert_array_equal(run.spikes["g"][:, 0].numpy(), gates)
    np.testing.assert_allclose(run.outputs["0"][:, 0].numpy(), sums)
    torch.testing.assert_close(run.logits["0"][0], torch.from_numpy(sums.sum(0)).softmax(0))
    assert 0 < spikes.sum() < spikes.size


def test_the_text_parses_back():
    once = print_network(parse_network(TEXT))
    assert once.startswith("network tiny steps=4 {")
    assert print_network(parse_network(once)) == once


def test_forced_spikes_are_compared_reset_and_passed_on():
    network = parse_network(TEXT)
    taught = run_network(network, {"x": X}).spikes["a"].clone()
    taught[1, 0, 0] = 1 - taught[1, 0, 0]
    run = run_network(network, {"x": X}, forced={"a": taught})
    assert run.compared == 8
    assert (run.mismatches, run.ties) == (1, 0)
    (found,) = run.disagreements
    assert (found.population, found.index) == ("a", (1, 0, 0))
    assert torch.equal(run.spikes["a"], taught)


def test_a_population_that_hears_nothing_has_the_dtype_of_the_run():
    text = "network t steps=2 {\n source %x [1] spike\n neuron %a [1] {threshold=0.5, bias=0.5}\n"
    text += " neuron %b [1] {threshold=0.25}\n  %a -> %b > scale{factor=0.25}\n}"
    x = torch.zeros(2, 1, 1)
    run = run_network(parse_network(text), {"x": x}, dtype=torch.float32)
    assert {s.dtype for s in run.spikes.values()} == {torch.float32}
    assert run.spikes["b"].sum() == 2


def test_a_membrane_on_its_threshold_is_a_tie():
    text = "network t steps=1 {\n source %x [1] spike\n neuron %a [1] {threshold=0.3}\n"
    text += "  %x -> %a > scale{factor=0.1}\n  %x -> %a > scale{factor=0.2}\n}"
    x = torch.ones(1, 1, 1).double()
    run = run_network(parse_network(text), {"x": x}, forced={"a": torch.zeros(1, 1, 1)})
    assert (run.ties, run.mismatches) == (1, 0)


WRONG = {
    "no place y": ("%x -> %a > dense{weight=@w}", "%y -> %a > dense{weight=@w}"),
    "needs": ("%x -> %g", "%x -> %g > slice{axis=0, start=0, stop=1}"),
    "Identity is no linear map": ("%x -> %g", "%x -> %g > identity"),
    "Elementwise is no linear map": ("%x -> %g", "%x -> %g > elementwise{function='relu'}"),
    "is no linear map": ("%x -> %g", "%x -> %g > norm{mean=@w, variance=@w, scale=None, "
                         "shift=None, epsilon=0.1}"),
    "the bias belongs": ("dense{weight=@w}", "dense{weight=@w, bias=@w}"),
    "a loop of projections has no delay": ("%x -> %a > dense{weight=@w}", "%g -> %a"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "change"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_written_down(said, change):
    with pytest.raises(ValueError, match=said):
        parse_network(TEXT.replace(*change))


@pytest.mark.parametrize("line", ["neuron a [2] {}", "%x -> ", "gate %h [2]", "nonsense"])
def test_text_that_is_none_says_the_line(line):
    lines = TEXT.splitlines()
    with pytest.raises((TextError, ValueError)):
        parse_network("\n".join([*lines[:2], line, *lines[2:]]))


def test_files_come_back_and_damage_is_one_sentence(tmp_path):
    network = parse_network(TEXT)
    save(network, tmp_path)
    assert print_network(load(tmp_path)) == print_network(network)
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SnnccError) as caught:
            load(tmp_path)
        assert caught.value.findings[0].code == "SNN305"
        path.write_bytes(whole)
