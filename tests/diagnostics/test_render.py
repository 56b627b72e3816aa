"""Findings as text and JSON, and rules explained."""

from __future__ import annotations

import json
import re

import pytest

from snncc.diagnostics import RULES, Exit, Finding, Location, SnnccError
from snncc.diagnostics.render import as_json, explain, text

POOL = Finding("SNN104", "the max pool reads a current", Location("layer1.pool", "net.py", 12))
HEAD = Finding("SNN504", "output 0 was compiled", node="fc", help="take output 1 with --head 1")
BARE = Finding("SNN113", "nothing spikes")


def test_text_says_what_where_and_what_to_do() -> None:
    assert text([POOL, HEAD]) == (
        "SNN104 error: the max pool reads a current\n"
        "  --> layer1.pool (net.py:12)\n"
        "  = help: pool after the neuron, where a max pool is an OR, or use an average pool\n"
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


def test_json_holds_everything() -> None:
    assert json.loads(as_json(iter([POOL, HEAD]))) == [
        {
            "code": "SNN104",
            "name": "max-pool-on-currents",
            "severity": "error",
            "message": "the max pool reads a current",
            "help": RULES["SNN104"].help,
            "location": {"module": "layer1.pool", "file": "net.py", "line": 12},
            "node": "",
        },
        {
            "code": "SNN504",
            "name": "head-chosen",
            "severity": "note",
            "message": "output 0 was compiled",
            "help": "take output 1 with --head 1",
            "location": {"module": "", "file": "", "line": 0},
            "node": "fc",
        },
    ]
    assert json.loads(as_json([])) == []


@pytest.mark.parametrize("code", RULES)
def test_every_rule_is_explained_under_the_same_headings(code: str) -> None:
    lines = explain(code).splitlines()
    rule = RULES[code]
    assert lines[0] == f"{code} {rule.name} ({rule.severity.value})"
    headings = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert headings == ["What it does", "Why it matters", "Example", "What to do"]
    for heading in headings:
        assert lines[lines.index(heading) + 1].startswith("    ")
    prose = re.sub(r"\s+", " ", explain(code))
    for part in (rule.what, rule.why, rule.help, rule.example):
        assert re.sub(r"\s+", " ", part) in prose
    assert max(map(len, lines)) <= 100


def test_examples_keep_their_lines() -> None:
    rule = RULES["SNN302"]
    indented = "\n".join(f"    {line}" for line in rule.example.splitlines())
    assert indented in explain("SNN302")


def test_a_rule_is_found_by_name_and_in_small_letters() -> None:
    assert explain("snn104") == explain("max-pool-on-currents") == explain(" SNN104 ")


@pytest.mark.parametrize(
    ("code", "near"),
    [
        ("SNN14", "SNN104"),
        ("SNN1O4", "SNN104"),
        ("max-pool", "max-pool-on-currents"),
        ("?", "SNN101"),
    ],
)
def test_an_unknown_rule_lists_near_ones(code: str, near: str) -> None:
    with pytest.raises(SnnccError, match="there is no rule") as caught:
        explain(code)
    (finding,) = caught.value.findings
    assert finding.code == "SNN313"
    assert near in finding.message.split("there are ")[1].split(", ")
    assert caught.value.exit_code == Exit.BAD_INPUT
