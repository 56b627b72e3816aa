"""Findings and rules as text for people and as JSON for programs."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections import Counter
from collections.abc import Iterable

from snncc.diagnostics.finding import Finding, refuse
from snncc.diagnostics.rules import RULES, Rule, Severity

_WIDTH = 80


def text(findings: Iterable[Finding]) -> str:
    """Each finding with its place and what to do, then how many there are::

    SNN104 error: the max pool reads a current
      --> layer1.pool (net.py:12)
      = help: pool after the neuron, where a max pool is an OR, or use an average pool

    1 error
    """
    findings = tuple(findings)
    if not findings:
        return "no findings"
    counts = Counter(finding.severity for finding in findings)
    summary = ", ".join(
        f"{counts[severity]} {severity.value}{'s' if counts[severity] > 1 else ''}"
        for severity in Severity
        if counts[severity]
    )
    return "\n\n".join([*map(_block, findings), summary])


def as_json(findings: Iterable[Finding]) -> str:
    """A JSON list with one object a finding; what is not known is an empty string or 0."""
    return json.dumps([_object(finding) for finding in findings], indent=2, ensure_ascii=False)


def explain(code: str) -> str:
    """The documentation of a rule, by its code or its name.

    Raises SNN313 with the nearest codes and names where there is no such rule.
    """
    rule = _rule(code)
    sections = {
        "What it does": _wrapped(rule.what),
        "Why it matters": _wrapped(rule.why),
        "Example": rule.example,
        "What to do": _wrapped(rule.help),
    }
    title = f"{rule.code} {rule.name} ({rule.severity.value})"
    body = (f"{heading}\n{textwrap.indent(text, '    ')}" for heading, text in sections.items())
    return "\n\n".join([title, *body])


def _block(finding: Finding) -> str:
    lines = [f"{finding.code} {finding.severity.value}: {finding.message}"]
    if place := str(finding.location) or finding.node:
        lines.append(f"  --> {place}")
    lines.append(f"  = help: {finding.help}")
    return "\n".join(lines)


def _object(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.code,
        "name": RULES[finding.code].name,
        "severity": finding.severity.value,
        "message": finding.message,
        "help": finding.help,
        "location": {
            "module": finding.location.module,
            "file": finding.location.file,
            "line": finding.location.line,
        },
        "node": finding.node,
    }


def _rule(code: str) -> Rule:
    by_name = {rule.name: rule for rule in RULES.values()}
    wanted = code.strip()
    if rule := RULES.get(wanted.upper()) or by_name.get(wanted.lower()):
        return rule
    near = difflib.get_close_matches(wanted.upper(), RULES, n=5)
    near += difflib.get_close_matches(wanted.lower(), by_name, n=5)
    near += [name for name in by_name if wanted.lower() in name and name not in near]
    known = ", ".join(near or RULES)
    raise refuse("SNN313", f"there is no rule {code!r}; there are {known}")


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(" ".join(paragraph.split()), _WIDTH - 4, break_on_hyphens=False)
