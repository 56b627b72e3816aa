"""JUnit XML, parsed as CI servers parse it."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from hypothesis import given
from sample_findings import ALL, BARE, POOL, UNREADABLE, findings, texts

from snncc.diagnostics import Finding
from snncc.diagnostics.render import as_junit


def parsed(found, model="net:make"):
    root = Xml.fromstring(as_junit(found, model).encode())
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    cases = suite.findall("testcase")
    assert list(suite) == cases
    counted = {
        "tests": len(cases),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    for element in (root, suite):
        assert {name: int(element.get(name)) for name in counted} == counted
    return suite, cases


def test_a_test_a_finding_which_fails_for_errors():
    suite, cases = parsed(ALL)
    assert suite.get("name") == "net:make"
    assert [case.find("failure") is not None for case in cases] == [f.is_error for f in ALL]
    assert [case.get("classname") for case in cases[:3]] == ["layer1.pool", "fc", "network"]
    assert cases[0].get("name") == "SNN104 max-pool-on-currents"
    assert (cases[0].get("file"), cases[0].get("line")) == ("net.py", "12")
    assert (cases[3].get("file"), cases[3].get("line")) == ("/elsewhere/a b.py", None)
    failure = cases[0].find("failure")
    assert (failure.get("type"), failure.get("message")) == ("SNN104", POOL.message)
    assert POOL.help in failure.text


def test_what_is_no_failure_is_still_said():
    _, cases = parsed(ALL)
    assert "SNN504 note: output 0, of 2" in cases[1].findtext("system-out")


def test_nothing_found_is_a_test_that_passed():
    _, (case,) = parsed([])
    assert list(case) == []


def test_markup_and_control_characters_are_text():
    wrong = Finding("SNN113", "a < b & \"c\" > 'd' ]]> \x00\x1b[31m θ", node="<n>&")
    _, (case,) = parsed([wrong], '<model>"&')
    said = case.find("failure").get("message")
    assert said == "a < b & \"c\" > 'd' ]]> ��[31m θ"
    assert case.get("classname") == "<n>&"


def test_lines_of_a_message_are_kept():
    _, (case,) = parsed([UNREADABLE])
    assert "forward branches\non data" in case.findtext("failure")


def test_the_same_rule_at_the_same_place_twice_is_two_tests():
    _, cases = parsed([BARE, BARE])
    assert [case.get("name") for case in cases] == [
        "SNN113 no-spikes",
        "SNN113 no-spikes (2)",
    ]


@given(found=findings, model=texts)
def test_any_finding_is_well_formed(found, model):
    _, cases = parsed(found, model)
    assert len(cases) == max(len(found), 1)
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)
