"""Rules explained."""

from __future__ import annotations

import re

import pytest

from snncc.diagnostics import RULES, Exit, SnnccError
from snncc.diagnostics.render import explain


@pytest.mark.parametrize("code", RULES)
def test_every_rule_is_explained_under_the_same_headings(code: str) -> None:
    lines = explain(code).splitlines()
    rule = RULES[code]
    assert lines[0] == f"{code} {rule.name} ({rule.severity.value})"
    headings = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert headings == [
        *("What it does", "Why it matters", "Example"),
        *(["Instead"] if rule.after else []),
        "What to do",
    ]
    for heading in headings:
        assert lines[lines.index(heading) + 1].startswith("    ")
    prose = re.sub(r"\s+", " ", explain(code))
    for part in (rule.what, rule.why, rule.help, rule.example, rule.after):
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
