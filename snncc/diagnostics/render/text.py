"""Findings as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from snncc.diagnostics.finding import Finding
from snncc.diagnostics.rules import Severity


def text(findings: Iterable[Finding]) -> str:
    """Each finding with its place and what to do, then how many there are::

    SNN104 error: the max pool reads a current
      --> layer1.pool (net.py:12)
      = help: pool after the neuron, where a max pool is an OR, or use an average pool

    1 error
    """
    findings = tuple(findings)
    return "\n\n".join([*map(block, findings), summary(findings)])


def block(finding: Finding) -> str:
    """One finding."""
    lines = [f"{finding.code} {finding.severity.value}: {finding.message}"]
    if place := str(finding.location) or finding.node:
        lines.append(f"  --> {place}")
    lines.append(f"  = help: {finding.help}")
    return "\n".join(lines)


def summary(findings: Iterable[Finding]) -> str:
    """How many there are, as in ``2 errors, 1 note``."""
    counts = Counter(finding.severity for finding in findings)
    return (
        ", ".join(
            f"{counts[severity]} {severity.value}{'s' if counts[severity] > 1 else ''}"
            for severity in Severity
            if counts[severity]
        )
        or "no findings"
    )
