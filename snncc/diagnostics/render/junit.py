"""Findings as the JUnit XML that CI servers show as tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from xml.etree import ElementTree as Xml

from snncc.diagnostics.finding import Finding
from snncc.diagnostics.render.text import block
from snncc.diagnostics.rules import RULES

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(findings: Iterable[Finding], model: str = "") -> str:
    """One suite, named after the model, with a test a finding.

    The class of a test is the module or node, its name the rule. An error is a failure; a warning
    or a note is a test that passed and says something. Without any finding there is one test that
    passed, so that a server does not take an empty report for a run that never was.
    """
    findings = tuple(findings)
    suite = Xml.Element("testsuite", name=_legal(model or "network"))
    seen: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        place, name = _place(finding), f"{finding.code} {RULES[finding.code].name}"
        seen[place, name] += 1
        if (count := seen[place, name]) > 1:
            name = f"{name} ({count})"
        suite.append(_case(finding, place, name))
    if not findings:
        Xml.SubElement(suite, "testcase", classname="network", name="no findings")
    failures = sum(finding.is_error for finding in findings)
    counts = {"tests": str(len(suite)), "failures": str(failures), "errors": "0", "skipped": "0"}
    for key, value in counts.items():
        suite.set(key, value)
    root = Xml.Element("testsuites", {"name": "snncc check", **counts})
    root.append(suite)
    Xml.indent(root)
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{declaration}\n{Xml.tostring(root, encoding='unicode')}"


def _case(finding: Finding, place: str, name: str) -> Xml.Element:
    case = Xml.Element("testcase", classname=_legal(place), name=name)
    if finding.location.file:
        case.set("file", _legal(finding.location.file))
        if finding.location.line:
            case.set("line", str(finding.location.line))
    if finding.is_error:
        said = Xml.SubElement(case, "failure", type=finding.code, message=_legal(finding.message))
    else:
        said = Xml.SubElement(case, "system-out")
    said.text = _legal(block(finding))
    return case


def _place(finding: Finding) -> str:
    return finding.node or finding.location.module or "network"


def _legal(text: str) -> str:
    """``text`` without the characters that XML 1.0 cannot say (section 2.2)."""
    return _NO_XML.sub("\ufffd", text)
