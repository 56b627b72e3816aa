"""Findings in every form `snncc check --format` prints, and rules explained: one file per form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from snncc.diagnostics.finding import Finding
from snncc.diagnostics.render.explanation import explain, listed
from snncc.diagnostics.render.github import as_github
from snncc.diagnostics.render.json import as_json
from snncc.diagnostics.render.junit import as_junit
from snncc.diagnostics.render.sarif import as_sarif
from snncc.diagnostics.render.text import text

__all__ = [
    "FORMATS",
    "as_github",
    "as_json",
    "as_junit",
    "as_sarif",
    "explain",
    "listed",
    "text",
]

FORMATS: Mapping[str, Callable[[Iterable[Finding], str], str]] = MappingProxyType(
    {
        "text": lambda findings, model: text(findings),
        "json": as_json,
        "sarif": as_sarif,
        "junit": as_junit,
        "github": lambda findings, model: as_github(findings),
    }
)
"""Each form by its name; called with the findings and the name of what was checked."""
