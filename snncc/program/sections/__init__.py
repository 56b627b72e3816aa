"""What the report says of a program: one module per section, each a function of the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snncc.program.overview import facts as facts_of
from snncc.program.parts import Parts
from snncc.program.sections.cores import cores
from snncc.program.sections.findings import findings
from snncc.program.sections.layers import layers
from snncc.program.sections.passes import passes
from snncc.program.sections.proof import proof
from snncc.program.sections.whole_numbers import whole_numbers
from snncc.report import Section, facts


def title(program: Parts) -> str:
    """The title of the program's report."""
    return f"{program.about.source.get('name', program.network.name)} for {program.target}"


def sections(program: Parts, processes: Mapping[str, Any] | None = None) -> list[Section]:
    """The report of a program; ``processes``: how many of each kind the emitted package has."""
    summary = Section("summary", "Summary", tables=(facts("facts", facts_of(program, processes)),))
    several = (
        summary, findings(program), layers(program), passes(program), whole_numbers(program),
        cores(program), proof(program),
    )  # fmt: skip
    return [each for each in several if each is not None]
