"""Findings as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from snncc.diagnostics.finding import Finding, Location
from snncc.diagnostics.rules import RULES, Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_INDEX = {code: index for index, code in enumerate(RULES)}


def as_sarif(findings: Iterable[Finding], model: str = "") -> str:
    """One run of the tool: every rule with its documentation, and a result a finding.

    ``model`` keeps the runs of several models apart. A finding has a physical location where a file
    is known, and a logical one where a module or a node is. The run was no success where the input
    could not be read.
    """
    findings = tuple(findings)
    readable = not any(finding.makes_unreadable for finding in findings)
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "snncc",
                "version": version("snncc"),
                "rules": [_rule(rule) for rule in RULES.values()],
            }
        },
        "invocations": [{"executionSuccessful": readable}],
        "results": [_result(finding) for finding in findings],
    }
    if model:
        run["automationDetails"] = {"id": f"snncc/{_sayable(model)}/"}
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False)


def _rule(rule: Rule) -> dict[str, Any]:
    example = f"```python\n{rule.example}\n```"
    parts = [
        rule.what,
        f"## Why it matters\n\n{rule.why}",
        f"## Example\n\n{example}",
        f"## What to do\n\n{_sentence(rule.help)}",
    ]
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.name.replace("-", " ")},
        "fullDescription": {"text": _line(rule.what)},
        "help": {"text": _sentence(rule.help), "markdown": "\n\n".join(parts)},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _result(finding: Finding) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": _INDEX[finding.code],
        "level": finding.severity.value,
        "message": {"text": _sentence(_sayable(f"{finding.message}; {finding.help}"))},
    }
    location = _physical(finding.location) | _logical(finding)
    return result | ({"locations": [location]} if location else {})


def _physical(place: Location) -> dict[str, Any]:
    if not place.file:
        return {}
    found: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.file)}}
    if place.line:
        found["region"] = {"startLine": place.line}
    return {"physicalLocation": found}


def _logical(finding: Finding) -> dict[str, Any]:
    places = {"module": finding.location.module, "node": finding.node}
    if places["module"] == places["node"]:
        del places["node"]
    found = [
        {"fullyQualifiedName": _sayable(place), "kind": kind}
        for kind, place in places.items()
        if place
    ]
    return {"logicalLocations": found} if found else {}


def _uri(file: str) -> str:
    path = Path(_sayable(file))
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _sayable(text: str) -> str:
    """``text`` without halves of characters, which UTF-8 cannot say."""
    return text.encode(errors="replace").decode()


def _line(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _sentence(clause: str) -> str:
    return clause if clause.endswith(".") else f"{clause}."
