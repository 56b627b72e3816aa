"""Workflow commands, read as the runner of GitHub Actions reads them."""

from __future__ import annotations

import re

from hypothesis import given
from sample_findings import ALL, POOL, findings

from snncc.diagnostics import Finding, Location
from snncc.diagnostics.render import as_github

_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))


def read(line):
    """Command, properties and message of a line."""
    match = re.fullmatch(r"::(error|warning|notice) ([^\r\n]*?)::([^\r\n]*)", line)
    assert match is not None
    properties = dict(part.split("=", 1) for part in match[2].split(","))
    return match[1], {k: decoded(v) for k, v in properties.items()}, decoded(match[3])


def decoded(value):
    for code, character in _ESCAPES:
        value = value.replace(code, character)
    return value


def test_a_command_a_finding():
    pool, note, bare, outside, unreadable, total = as_github(ALL).splitlines()
    assert pool == (
        "::error file=net.py,line=12,title=SNN104 max-pool-on-currents::the max pool reads a "
        f"current (layer1.pool); {POOL.help}"
    )
    assert note.startswith("::notice title=SNN504 head-chosen::output 0, of 2")
    assert "100 %25" in note
    assert bare.startswith("::error title=SNN113")
    assert outside.startswith("::warning file=/elsewhere/a b.py,title=")
    assert unreadable.startswith("::error file=größe.py,line=3,")
    assert "branches%0Aon data: θ ≥ 1" in unreadable
    assert total == "3 errors, 1 warning, 1 note"


def test_what_has_a_meaning_in_a_command_is_escaped():
    place = Location(file="a,b:c%0A\r\n::d.py", line=7)
    command, _ = as_github([Finding("SNN113", "50 %\r\n::error::x, y: z", place)]).splitlines()
    assert "file=a%2Cb%3Ac%250A%0D%0A%3A%3Ad.py,line=7," in command
    assert "::50 %25%0D%0A::error::x, y: z" in command


def test_paths_have_slashes():
    command, _ = as_github(
        [Finding("SNN113", "x", Location(file="src\\net.py", line=1))]
    ).splitlines()
    assert "file=src/net.py," in command


def test_nothing_found():
    assert as_github([]) == "no findings"


@given(found=findings)
def test_nothing_in_a_finding_ends_or_begins_a_command(found):
    *commands, _ = as_github(found).split("\n")
    assert len(commands) == len(found)
    for line, finding in zip(commands, found, strict=True):
        _, properties, message = read(line)
        assert properties.keys() <= {"file", "line", "title"}
        assert properties.get("file", "") == finding.location.file.replace("\\", "/")
        assert message.startswith(finding.message)
        assert message.endswith(finding.help)
