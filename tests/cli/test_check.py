"""snncc check: exit codes and forms, on models that are fine, wrong and unreadable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from xml.etree import ElementTree as Xml

import pytest
from click.testing import CliRunner

from snncc.cli import main
from snncc.cli.check import FORMATS

NETS = """
from collections import OrderedDict
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


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def branching():
    return Net(Branching())


class Wide(nn.Module):
    # Too much for a core before and behind what is no spike op, and a reset Lava has not.
    def __init__(self, activation):
        super().__init__()
        self.wide, self.fc = nn.Linear(5000, 4), nn.Linear(4, 5000)
        self.back, self.activation = nn.Linear(5000, 4), activation
        self.sn1, self.sn2, self.sn3 = snncc.nn.IF(), snncc.nn.IF(), snncc.nn.IF(reset="soft")

    def forward(self, x):
        x = self.sn1(self.wide(x))
        x = self.sn2(self.fc(self.activation(x)))
        return self.sn3(self.back(x))


def wide():
    return Wide(nn.Softmax(-1))


def wide_branching():
    return Wide(Branching())


def unicode():
    return Net(nn.Sequential(OrderedDict(größe=Half())))
"""
SHAPE = ("--input-shape", "8", "--time-steps", "4", "--input", "spike")


@pytest.fixture
def nets(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "ci_nets.py").write_text(NETS)
    yield "ci_nets"
    sys.modules.pop("ci_nets", None)


def test_a_network_that_is_fine(run, nets):
    result = run("check", f"{nets}:fine", *SHAPE)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == "no findings"


def test_what_is_wrong_and_where(run, nets):
    result = run("check", f"{nets}:wrong", *SHAPE)
    assert result.exit_code == 1
    assert "SNN103 error" in result.stdout
    assert "ci_nets.py:21" in result.stdout


def test_what_does_not_fit_is_said_behind_what_is_no_spike(run, nets):
    given = ("--input-shape", 5000, *SHAPE[2:], "--format", "json", "--target", "loihi1")

    def found(*arguments, code=1):
        result = run("check", *arguments)
        assert result.exit_code == code, result.output
        return {(f["code"], f["node"]) for f in json.loads(result.stdout)["findings"]}

    limits = {("SNN205", "sn1"), ("SNN205", "sn3")}
    assert found(f"{nets}:wide", *given) == {("SNN107", "activation"), *limits}
    assert found(f"{nets}:wide", *given, "--stock-only") == {
        ("SNN107", "activation"), ("SNN213", "sn3"), *limits
    }  # fmt: skip
    branching = found(f"{nets}:wide_branching", *given, code=2)
    assert {code for code, _ in branching} == {"SNN302", "SNN205"}


def test_an_encoder_is_a_note_and_strictly_an_error(run, nets):
    given = ("check", f"{nets}:fine", *SHAPE[:-1], "analog")
    assert run(*given).exit_code == 0
    assert "SNN501 note" in run(*given).stdout
    result = run(*given, "--strict")
    assert result.exit_code == 1
    assert "SNN101 error" in result.stdout


def test_each_form_for_each_reader(run, nets):
    given = ("check", f"{nets}:wrong", *SHAPE, "--format")
    (found,) = json.loads(run(*given, "json").stdout)["findings"]
    assert (found["code"], found["location"]["line"]) == ("SNN103", 21)
    (result,) = json.loads(run(*given, "sarif").stdout)["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "ci_nets.py"
    (suite,) = Xml.fromstring(run(*given, "junit").stdout)
    assert suite.get("failures") == "1"
    assert suite[0].get("file") == "ci_nets.py"
    assert run(*given, "github").stdout.startswith("::error file=ci_nets.py,line=21,")


@pytest.mark.parametrize("form", FORMATS)
def test_exit_codes_are_those_of_every_form(run, nets, form):
    codes = {"fine": 0, "wrong": 1, "branching": 2}
    for name, code in codes.items():
        result = run("check", f"{nets}:{name}", *SHAPE, "--format", form)
        assert result.exit_code == code, result.output
        assert bool(result.stderr) == (code == 2 and form != "text")
    noted = run("check", f"{nets}:fine", *SHAPE[:-1], "analog", "--format", form)
    assert noted.exit_code == 0
    assert "SNN501" in noted.stdout


def test_a_model_that_cannot_be_opened_is_one_sentence(refused):
    refused("check", "absent.pt", said="absent.pt")


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "text"])
@pytest.mark.parametrize("model", ["absent.pt", "ci_nets:branching"])
def test_and_a_whole_document_for_a_program(run, nets, form, model):
    """A job that uploads a report has one to upload."""
    code = "SNN305" if model == "absent.pt" else "SNN302"
    result = run("check", model, *SHAPE, "--format", form)
    assert result.exit_code == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith(f"error[{code}]")
    match form:
        case "json":
            (found,) = json.loads(result.stdout)["findings"]
            assert found["code"] == code
        case "sarif":
            (log,) = json.loads(result.stdout)["runs"]
            assert log["invocations"] == [{"executionSuccessful": False}]
            (found,) = log["results"]
            uri = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            assert (found["ruleId"], uri) == (code, model.replace(":branching", ".py"))
        case "junit":
            (suite,) = Xml.fromstring(result.stdout)
            assert suite.find("testcase/failure").get("type") == code
        case "github":
            command, total = result.stdout.splitlines()
            assert command.startswith("::error file=")
            assert code in command
            assert total == "1 error"


def test_usage_is_exit_2_and_no_document(refused, nets):
    given = ("check", f"{nets}:fine", "--format", "sarif")
    refused(*given, "--layout", "XY", said="Invalid value for '--layout'")
    refused(*given[:1], *given[2:], said="Missing argument 'MODEL'")


def test_files_are_relative_to_the_repository_that_was_checked_out(
    run, nets, tmp_path, monkeypatch
):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path.parent))
    result = run("check", f"{nets}:wrong", *SHAPE, "--format", "github")
    assert result.stdout.startswith(f"::error file={tmp_path.name}/ci_nets.py,line=21,")


@pytest.mark.parametrize("form", FORMATS)
def test_a_terminal_without_unicode_is_no_hindrance(nets, run, form):
    """Programs are given UTF-8 whatever the terminal takes."""
    given = ["check", f"{nets}:unicode", *SHAPE, "--format", form]
    result = CliRunner(charset="ascii").invoke(main, given)
    assert result.exit_code == 1, result.output
    assert ("gr??e" if form == "text" else "größe") in result.stdout_bytes.decode()


# -- into a file -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_into_a_file(run, nets, tmp_path, form):
    """The same as on stdout; stderr says that there is something in it."""
    given = ("check", f"{nets}:wrong", *SHAPE, "--format", form)
    expected = run(*given)
    result = run(*given, "-o", "found")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "1 error, in found\n"
    assert (tmp_path / "found").read_bytes() == expected.stdout_bytes
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("form", FORMATS)
def test_what_cannot_be_read_replaces_an_older_report(run, tmp_path, form):
    (tmp_path / "found").write_text("all is well")
    result = run("check", "absent.pt", "--format", form, "--output", "found")
    assert result.exit_code == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error[SNN305]")
    assert "SNN305" in (tmp_path / "found").read_text()


def test_a_file_that_cannot_be_written(refused, nets, tmp_path):
    (tmp_path / "file").touch()
    for name in ("absent/found.txt", "file/found.txt"):
        refused("check", f"{nets}:fine", *SHAPE, "-o", name, said=f"{name} cannot be written")
    refused("check", f"{nets}:fine", *SHAPE, "-o", ".", said="is a directory")


def test_a_device_and_a_link_stay_what_they_are(run, nets, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        run("check", f"{nets}:fine", *SHAPE, "-o", "pipe")
        assert reader.communicate(timeout=20)[0] == b"no findings\n"
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to("real")
    run("check", f"{nets}:fine", *SHAPE, "-o", "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "no findings\n"
