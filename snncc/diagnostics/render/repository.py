"""Findings as the servers of repositories find files: by their path from the root."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from snncc.diagnostics.finding import Finding


def in_repository(findings: Iterable[Finding], root: Path, origin: str) -> tuple[Finding, ...]:
    """The findings with files inside ``root`` relative to it; the others keep theirs.

    What has no line of code is anchored to ``origin``, the file of the model: servers drop results
    without a file.
    """
    root = root.resolve()
    return tuple(
        replace(
            finding,
            location=replace(finding.location, file=_shown(finding.location.file or origin, root)),
        )
        for finding in findings
    )


def _shown(file: str, root: Path) -> str:
    whole = Path(file).resolve()
    return str(whole.relative_to(root)) if file and whole.is_relative_to(root) else file
