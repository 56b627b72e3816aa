"""JSON against the schema that docs/ci.md gives its readers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from sample_findings import ALL, BARE, NOTE, POOL, findings, texts

from snncc.diagnostics import RULES
from snncc.diagnostics.render import as_json
from snncc.diagnostics.render.json import VERSION

PAGE = Path(__file__).parents[3] / "docs" / "ci.md"


@pytest.fixture(scope="module")
def schema():
    (text,) = re.findall(r"^```json\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_it_holds_everything():
    assert json.loads(as_json(iter([POOL, NOTE]), "net:make")) == {
        "version": VERSION,
        "model": "net:make",
        "findings": [
            {
                "code": "SNN104",
                "name": "max-pool-on-currents",
                "severity": "error",
                "message": "the max pool reads a current",
                "help": RULES["SNN104"].help,
                "location": {"module": "layer1.pool", "file": "net.py", "line": 12},
                "node": "",
            },
            {
                "code": "SNN504",
                "name": "head-chosen",
                "severity": "note",
                "message": "output 0, of 2, was compiled: 100 %",
                "help": "take 1 with --head",
                "location": {"module": "", "file": "", "line": 0},
                "node": "fc",
            },
        ],
    }


def test_the_page_describes_this_version(schema):
    assert schema.schema["properties"]["version"]["const"] == VERSION


@pytest.mark.parametrize("found", [(), ALL])
def test_it_is_as_the_page_says(schema, found):
    schema.validate(json.loads(as_json(found, "net:make")))


@given(found=findings, model=texts)
def test_any_finding_is(schema, found, model):
    said = json.loads(as_json(found, model).encode(errors="replace"))
    schema.validate(said)
    assert len(said["findings"]) == len(found)


@pytest.mark.parametrize("part", ["version", "model", "findings", "code", "location", "line"])
def test_the_page_names_every_part(schema, part):
    """What the page did not name would be seen."""
    said = as_json([BARE], "net")
    assert schema.is_valid(json.loads(said))
    assert not schema.is_valid(json.loads(said.replace(f'"{part}":', '"other":')))
