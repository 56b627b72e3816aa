"""The findings of a program, each with its help."""

from __future__ import annotations

from snncc.program.parts import Parts
from snncc.report import Section, Table


def findings(program: Parts) -> Section:
    """Every finding with its code, place and help."""
    table = Table.of(
        "findings",
        {"code": "text", "severity": "text", "finding": "text", "where": "text", "help": "text"},
        [
            (f.code, f.severity.value, f.message, str(f.location) or f.node, f.help)
            for f in program.findings
        ],
    )
    if not table.rows:
        return Section("findings", "Findings", ("None.",))
    more = "snncc explain CODE says what a code means, why it matters and how to fix it."
    return Section("findings", "Findings", (more,), (table,))
