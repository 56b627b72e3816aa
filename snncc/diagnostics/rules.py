"""The one table of rules (design, section 7): a chapter for each hundred."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from snncc.diagnostics.rule import Rule, Severity
from snncc.diagnostics.rules_auxiliary import AUXILIARY
from snncc.diagnostics.rules_notes import NOTES
from snncc.diagnostics.rules_reading import READING
from snncc.diagnostics.rules_spike_only import SPIKE_ONLY
from snncc.diagnostics.rules_target import TARGET

__all__ = ["CHAPTERS", "RULES", "Rule", "Severity"]

CHAPTERS: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "What is not spike-only": SPIKE_ONLY,
        "What the target cannot hold": TARGET,
        "What cannot be read": READING,
        "Auxiliary paths": AUXILIARY,
        "Notes and warnings": NOTES,
    }
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.code: rule for chapter in CHAPTERS.values() for rule in chapter}
)
