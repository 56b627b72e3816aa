"""Neurons written as arithmetic, drawn: what is read is what the module does, spike for spike.

``benchmarks/neuron_updates.py`` draws many more, and its result is held here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from neuron_updates import PLACES, QUESTIONS, RESETS
from neuron_verdicts import OneThread, judge, judge_all

RECORD = Path(__file__).parents[2] / "benchmarks" / "results" / "neuron_updates.json"
SHARE = 0.95
"""Of the drawn neurons that have a normal form so many are read at least."""

REASONS = ("SNN112", "SNN113", "SNN115", "SNN318", "SNN322", "SNN402")


def is_right(tally):
    assert not tally.wrong, "\n".join(tally.wrong)
    assert all(why.startswith(REASONS) for why in tally.refusals), tally.refusals


def is_right_and_read(tally):
    is_right(tally)
    assert tally.read >= SHARE * tally.formed, tally.missed
    assert tally.formed > sum(tally.verdicts.values()) / 2


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("first", range(0, 20, 10))
def test_what_is_read_is_what_is_computed(place, first):
    with OneThread():
        is_right(judge_all(range(first, first + 10), place))


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_most_that_have_a_normal_form_are_read(place):
    with OneThread():
        is_right_and_read(judge_all(range(125), place))


@pytest.mark.slow
def test_the_proof_of_the_compiler_agrees():
    with OneThread():
        is_right_and_read(judge_all(range(2000, 2040), "loop in forward", verify=True))


def test_of_the_recorded_neurons_none_is_read_wrongly():
    places = json.loads(RECORD.read_text(encoding="utf-8"))["places"]
    assert "loop in forward" in places
    assert places.keys() <= PLACES.keys()
    for place, result in places.items():
        assert result["wrong"] == 0, place
        assert sum(result["verdicts"].values()) >= 1000
        assert result["read of these"] >= SHARE * result["have a normal form"], place


def test_every_reset_and_every_question_is_drawn():
    drawn = [level for seed in range(400) for level in PLACES["loop in forward"].make(seed).levels]
    assert {level.reset_name for level in drawn} == set(RESETS)
    assert {level.question for level in drawn} == set(QUESTIONS)
    assert 0.1 < sum(level.current != "none" for level in drawn) / len(drawn) < 0.5


def test_a_sum_that_starts_a_step_late_has_no_term_of_the_first_step():
    """Spikes that are 1 before the first step shift the loop by a step, whose sum is held."""
    with OneThread():
        assert judge(721, "on an image").what in ("equal", "refused")


def test_other_inputs_at_each_step_of_a_module_of_one_step_are_compared():
    """A membrane of this one is on its threshold but for rounding."""
    with OneThread():
        assert judge(1127, "one step").what == "tie"
