"""The tables of hardware: every constant with its source, every pass and backend there."""

from __future__ import annotations

import itertools
import re

import pytest

from snncc.diagnostics import SnnccError
from snncc.passes.base import names
from snncc.pipeline import frontend_passes, target_passes
from snncc.targets import target, targets


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


def test_a_target_that_is_not_there_lists_those_that_are():
    assert target("loihi").emits == "loihi"
    with pytest.raises(
        SnnccError, match="no target 'x'; there are loihi, reference, loihi1, loihi2"
    ):
        target("x")
