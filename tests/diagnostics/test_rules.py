"""The rule table: complete, and documented under the same headings throughout."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import snncc
from snncc.diagnostics import RULES, Rule, Severity

EVERY_RULE = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def test_codes_and_names_are_given_once() -> None:
    assert all(code == rule.code for code, rule in RULES.items())
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
    assert list(RULES) == sorted(RULES)


@EVERY_RULE
def test_every_rule_is_documented(rule: Rule) -> None:
    assert re.fullmatch(r"SNN[1-5]\d\d", rule.code)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.name)
    assert rule.what.endswith(".")
    assert rule.why.endswith(".")
    assert len(rule.why) > 40
    assert rule.example
    assert rule.help
    assert not rule.help.endswith(".")


@EVERY_RULE
def test_what_begins_as_the_severity_says(rule: Rule) -> None:
    verb = {Severity.ERROR: "Reports ", Severity.WARNING: "Warns ", Severity.NOTE: "Says "}
    assert rule.what.startswith(verb[rule.severity])


@EVERY_RULE
def test_examples_are_short_python(rule: Rule) -> None:
    lines = rule.example.splitlines()
    assert 1 <= len(lines) <= 6
    assert max(map(len, lines)) <= 92
    ast.parse(rule.example)
    assert rule.code in rule.example


@EVERY_RULE
def test_each_wrong_example_is_shown_as_it_should_be(rule: Rule) -> None:
    assert bool(rule.after) == (rule.severity is not Severity.NOTE)
    lines = rule.after.splitlines()
    assert len(lines) <= 6
    assert max(map(len, lines), default=0) <= 92
    ast.parse(rule.after)
    assert rule.code not in rule.after


@EVERY_RULE
def test_texts_are_not_indented(rule: Rule) -> None:
    for text in (rule.what, rule.why, rule.example, rule.after):
        assert text == text.strip()
        assert text[:1] != " "


def test_every_code_in_the_sources_is_a_rule_and_every_rule_is_given() -> None:
    root = Path(snncc.__file__).parent
    sources = [path for path in root.rglob("*.py") if not path.name.startswith("rules_")]
    nodes = (n for path in sources for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    strings = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    assert {text for text in strings if re.fullmatch(r"SNN\d\d\d", text)} == RULES.keys()
