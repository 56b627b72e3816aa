"""Findings as JSON for programs; docs/ci.md has its schema."""

from __future__ import annotations

import json
from collections.abc import Iterable

from snncc.diagnostics.finding import Finding
from snncc.diagnostics.rules import RULES

VERSION = 1
"""Of the form: it grows when something that was there changes or goes."""


def as_json(findings: Iterable[Finding], model: str = "") -> str:
    """An object with the version of the form, the model and an object a finding.

    What is not known is an empty string or 0.
    """
    said = {
        "version": VERSION,
        "model": model,
        "findings": [_object(finding) for finding in findings],
    }
    return json.dumps(said, indent=2, ensure_ascii=False)


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
