"""Findings as workflow commands of GitHub Actions, which become annotations of lines of code."""

from __future__ import annotations

from collections.abc import Iterable

from snncc.diagnostics.finding import Finding
from snncc.diagnostics.render.text import summary
from snncc.diagnostics.rules import RULES, Severity

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def as_github(findings: Iterable[Finding]) -> str:
    """A command a finding, then how many there are::

    ::error file=net.py,line=12,title=SNN104 max-pool-on-currents::the max pool reads …

    Files must be relative to the repository's root. GitHub, "Workflow commands for GitHub Actions".
    """
    findings = tuple(findings)
    return "\n".join([*map(_command, findings), summary(findings)])


def _command(finding: Finding) -> str:
    place = finding.location
    properties = {"title": f"{finding.code} {RULES[finding.code].name}"}
    if place.file:
        line = {"line": str(place.line)} if place.line else {}
        properties = {"file": place.file.replace("\\", "/"), **line, **properties}
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    where = f" ({place.module or finding.node})" if place.module or finding.node else ""
    message = _data(f"{finding.message}{where}; {finding.help}")
    return f"::{_COMMANDS[finding.severity]} {listed}::{message}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
