"""Findings as text for people."""

from __future__ import annotations

import pytest
from sample_findings import ALL

from snncc.diagnostics import Finding, Location
from snncc.diagnostics.render import FORMATS, text

POOL = Finding("SNN104", "the max pool reads a current", Location("layer1.pool", "net.py", 12))
HEAD = Finding("SNN504", "output 0 was compiled", node="fc", help="take output 1 with --head 1")
BARE = Finding("SNN113", "nothing spikes")


def test_text_says_what_where_and_what_to_do() -> None:
    assert text([POOL, HEAD]) == (
        "SNN104 error: the max pool reads a current\n"
        "  --> layer1.pool (net.py:12)\n"
        "  = help: pool after the neuron, F.max_pool2d(self.sn(self.conv(x)), 2), where a max pool "
        "is an OR of spikes; or use an average pool\n"
        "\n"
        "SNN504 note: output 0 was compiled\n"
        "  --> fc\n"
        "  = help: take output 1 with --head 1\n"
        "\n"
        "1 error, 1 note"
    )


def test_text_without_a_place_has_no_arrow() -> None:
    assert "-->" not in text([BARE])


def test_text_counts_by_severity_whatever_the_order() -> None:
    relays = Finding("SNN505", "9 relays for 3 neurons")
    assert text(iter([HEAD, relays, POOL, BARE])).endswith("2 errors, 1 warning, 1 note")


def test_text_of_nothing() -> None:
    assert text([]) == "no findings"


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_says_the_same_whatever_holds_the_findings(form: str) -> None:
    assert FORMATS[form](list(ALL), "net") == FORMATS[form](iter(ALL), "net")
