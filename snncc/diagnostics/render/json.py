"""Findings as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable

from snncc.diagnostics.finding import Finding
from snncc.diagnostics.rules import RULES


def as_json(findings: Iterable[Finding]) -> str:
    """A JSON list with one object a finding; what is not known is an empty string or 0."""
    return json.dumps([_object(finding) for finding in findings], indent=2, ensure_ascii=False)


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
