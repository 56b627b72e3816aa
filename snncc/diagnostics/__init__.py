"""The rule table, findings and their renderers."""

from snncc.diagnostics.finding import Exit, Finding, Location, SnnccError, refuse
from snncc.diagnostics.rules import RULES, Rule, Severity

__all__ = ["RULES", "Exit", "Finding", "Location", "Rule", "Severity", "SnnccError", "refuse"]
