"""The tables of hardware: every constant with its source, every pass and backend there."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from importlib.resources import files
from unittest import mock

import pytest

from snncc.diagnostics import SnnccError
from snncc.passes.base import names
from snncc.pipeline import frontend_passes, target_passes
from snncc.targets import find_chip, of_chip, target, targets


def test_every_constant_says_where_it_is_published():
    for each in targets():
        for constant in each.constants:
            assert re.search(r"\b(19|20)\d\d\b|^assumed: .", constant.source), constant
            assert each[constant.name] == constant.value >= 0
        with pytest.raises(KeyError):
            each["no such constant"]


def test_the_passes_of_every_target_follow_each_other():
    for each in targets():
        passes = [*frontend_passes(), *target_passes(each.name)]
        assert {p.name for p in passes} <= set(names())
        for first, second in itertools.pairwise(passes):
            assert first.writes is second.reads, (first, second)


@pytest.mark.parametrize("name", ["loihi", "loihi1", "loihi2"])
def test_whole_numbers_come_before_the_schedule(name):
    passes = target_passes(name, weight_bits=7)
    assert [each.name for each in passes[:3]] == [
        "realise-projections",
        "quantize",
        "balance-delays",
    ]
    assert str(passes[1]) == "quantize{weight-bits=7}"


def test_a_chip_with_one_threshold_a_layer_and_few_bits(tmp_path):
    text = (files("snncc.targets") / "loihi1.toml").read_text()
    text = text.replace('thresholds = { value = "neuron"', 'thresholds = { value = "layer"')
    text = text.replace("weight_bits = { value = 8", "weight_bits = { value = 5")
    (tmp_path / "chip.toml").write_text(text.replace('"loihi1"', '"mine"'))
    chip = str(tmp_path / "chip.toml")
    assert str(target_passes(chip, weight_bits=5)[1]) == "quantize{weight-bits=5,thresholds=layer}"
    with pytest.raises(SnnccError, match=r"weight_bits=6: a weight on \S+ has 2 to 5 bits"):
        target_passes(chip, weight_bits=6)


def test_a_chip_with_weights_of_one_bit_has_no_whole_numbers(tmp_path):
    text = (files("snncc.targets") / "loihi1.toml").read_text()
    (tmp_path / "chip.toml").write_text(
        text.replace("weight_bits = { value = 8", "weight_bits = { value = 1")
    )
    with pytest.raises(SnnccError, match="has 1 bit, and whole numbers take 2 or more"):
        target_passes(str(tmp_path / "chip.toml"), weight_bits=2)


def test_a_chip_of_ours_is_run_by_lava_only_where_it_is_a_loihi():
    chip = replace(find_chip("loihi1"), name="another")
    with mock.patch("snncc.targets.BUILT_IN", ("loihi1", "loihi2", "another")):
        other = of_chip(chip)
    assert (other.emits, other.backends) == ("", ("reference", "cycle"))


def test_a_target_that_is_not_there_lists_those_that_are():
    assert target("loihi").emits == "lava"
    with pytest.raises(
        SnnccError, match="no target 'x'; there are loihi, reference, loihi1, loihi2"
    ):
        target("x")
