"""Every finding of the wrong networks has its code and its line, and none is missing."""

from __future__ import annotations

import pytest
from wrong_models import WRONG, Wrong

import snncc
from snncc.diagnostics import RULES, Severity


def found(wrong: Wrong, report: snncc.Report) -> tuple[set[tuple[str, int]], dict[str, str]]:
    """(code, line) of what is reported at a line of the table, and code → place of the rest."""
    at_lines, elsewhere = set(), {}
    for finding in report.findings:
        place = finding.location
        if place.file.endswith("wrong_models.py"):
            at_lines.add((finding.code, place.line))
        else:
            elsewhere[finding.code] = place.module
    return at_lines, elsewhere


@pytest.mark.parametrize("name", WRONG)
def test_the_findings_are_those_that_are_marked(name, request):
    wrong = WRONG[name]
    if wrong.needs:
        request.getfixturevalue(wrong.needs)
    report = wrong.check()
    assert found(wrong, report) == (wrong.marks, dict(wrong.where))
    errors = {finding.code for finding in report.findings if finding.is_error}
    assert report.ok == (not errors)


@pytest.mark.slow
def test_the_table_is_worth_its_name():
    with_errors = [
        wrong
        for wrong in WRONG.values()
        if any(RULES[code].severity is Severity.ERROR for code in wrong.codes)
    ]
    assert len(with_errors) >= 25
    assert sum(len(wrong.marks) > 1 for wrong in WRONG.values()) >= 5
