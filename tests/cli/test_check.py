"""snncc check: exit codes and forms, on models that are fine, wrong and unreadable."""

from __future__ import annotations

import json
from xml.etree import ElementTree as Xml

import pytest

NETS = """
import torch
from torch import nn
import snncc


class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 4)
        self.sn, self.activation = snncc.nn.IF(), activation

    def forward(self, x):
        s = self.sn(self.fc1(x))
        return self.fc2(self.activation(s))


class Half(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.mean(-1, keepdim=True))


def fine():
    return Net(nn.Identity())


def wrong():
    return Net(Half())
"""
SHAPE = ("--input-shape", "8", "--time-steps", "4", "--input", "spike")


@pytest.fixture
def nets(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ci_nets.py").write_text(NETS)
    yield "ci_nets"
    import sys

    sys.modules.pop("ci_nets", None)


def test_a_network_that_is_fine(run, nets):
    result = run("check", f"{nets}:fine", *SHAPE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == "no findings"


def test_what_is_wrong_and_where(run, nets):
    result = run("check", f"{nets}:wrong", *SHAPE)
    assert result.exit_code == 1
    assert "SNN103 error" in result.stdout
    assert "ci_nets.py:20" in result.stdout


def test_an_encoder_is_a_note_and_strictly_an_error(run, nets):
    given = ("check", f"{nets}:fine", *SHAPE[:-1], "analog")
    assert run(*given).exit_code == 0
    assert "SNN501 note" in run(*given).stdout
    result = run(*given, "--strict")
    assert result.exit_code == 1
    assert "SNN101 error" in result.stdout


def test_each_form_for_each_reader(run, nets):
    given = ("check", f"{nets}:wrong", *SHAPE, "--format")
    (found,) = json.loads(run(*given, "json").stdout)
    assert (found["code"], found["location"]["line"]) == ("SNN103", 20)
    (result,) = json.loads(run(*given, "sarif").stdout)["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "ci_nets.py"
    (suite,) = Xml.fromstring(run(*given, "junit").stdout)
    assert suite.get("failures") == "1"
    assert run(*given, "github").stdout.startswith("::error file=ci_nets.py,line=20,")
    assert {run(*given, form).exit_code for form in ("json", "sarif", "junit", "github")} == {1}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_model_that_cannot_be_read_is_one_sentence(refused, form):
    refused("check", "absent.pt", "--format", form, said="absent.pt")


@pytest.mark.parametrize("form", ["sarif", "junit", "github"])
def test_and_a_result_for_a_server(run, form):
    """A job that uploads a report has one to upload."""
    result = run("check", "absent.pt", "--format", form)
    assert (result.exit_code, result.stderr) == (2, "")
    assert "SNN305" in result.stdout


def test_into_a_file(run, nets, tmp_path):
    result = run("check", f"{nets}:wrong", *SHAPE, "--format", "sarif", "-o", "found.sarif")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads((tmp_path / "found.sarif").read_text())["version"] == "2.1.0"
    assert {path.name for path in tmp_path.iterdir()} >= {"found.sarif"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_into_a_folder_that_is_not_there(refused, nets):
    given = ("check", f"{nets}:fine", *SHAPE, "-o", "absent/found.txt")
    refused(*given, said="absent/found.txt cannot be written")
