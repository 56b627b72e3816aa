"""What `snncc explain` prints."""

from __future__ import annotations

import difflib
import textwrap

from snncc.diagnostics.finding import refuse
from snncc.diagnostics.rules import CHAPTERS, RULES, Rule

_WIDTH = 80


def explain(code: str) -> str:
    """The documentation of a rule, by its code or its name.

    Raises SNN313 with the nearest codes and names where there is no such rule.
    """
    rule = _rule(code)
    sections = {
        "What it does": _wrapped(rule.what),
        "Why it matters": _wrapped(rule.why),
        "Example": rule.example,
        "Instead": rule.after,
        "What to do": _wrapped(rule.help),
    }
    title = f"{rule.code} {rule.name} ({rule.severity.value})"
    said = {heading: textwrap.indent(text, "    ") for heading, text in sections.items() if text}
    body = (f"{heading}\n{text}" for heading, text in said.items())
    return "\n\n".join([title, *body])


def listed() -> str:
    """All rules by chapter, one per line: code, severity, name."""
    lines = [
        f"{title}\n" + "\n".join(f"  {r.code}  {r.severity.value:<8} {r.name}" for r in rules)
        for title, rules in CHAPTERS.items()
    ]
    return "\n\n".join([*lines, "snncc explain CODE says what a rule does and what to do."])


def _rule(code: str) -> Rule:
    by_name = {rule.name: rule for rule in RULES.values()}
    wanted = code.strip()
    if rule := RULES.get(wanted.upper()) or by_name.get(wanted.lower()):
        return rule
    near = difflib.get_close_matches(wanted.upper(), RULES, n=5)
    near += difflib.get_close_matches(wanted.lower(), by_name, n=5)
    near += [name for name in by_name if wanted.lower() in name and name not in near]
    known = ", ".join(near or RULES)
    raise refuse("SNN313", f"there is no rule {code!r}; there are {known}")


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(" ".join(paragraph.split()), _WIDTH - 4, break_on_hyphens=False)
