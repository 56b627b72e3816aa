"""pytest --snncc-check, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree as Xml

import pytest

pytestmark = pytest.mark.slow  # processes of their own
NETS = """
from torch import nn
from snncc.nn import IF


def fine():
    return nn.Sequential(nn.Linear(8, 8), IF(), nn.Linear(8, 8), IF())


def wrong():
    return nn.Sequential(nn.Linear(8, 8), IF(), nn.Linear(8, 8), nn.ReLU(), IF())
"""
OPTIONS = "--input-shape 8 --time-steps 4 --layout TN --input spike"


@pytest.fixture
def tests(tmp_path):
    """Run pytest in a folder with a test and two networks; returns what it did."""
    (tmp_path / "plugin_nets.py").write_text(NETS)
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")

    def call(*arguments, ini=""):
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}")
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )

    return call


def test_a_model_is_one_more_test(tests):
    done = tests("--snncc-check", f"plugin_nets:fine {OPTIONS}")
    assert done.returncode == 0, done.stdout
    assert "snncc::plugin_nets:fine PASSED" in done.stdout
    assert "2 passed" in done.stdout


def test_a_wrong_one_fails_with_its_findings(tests):
    done = tests("--snncc-check", f"plugin_nets:wrong {OPTIONS}")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "SNN105 error" in done.stdout
    assert "= help:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_models_of_the_ini_file(tests):
    ini = f"snncc_check =\n    plugin_nets:fine {OPTIONS}\n    plugin_nets:wrong {OPTIONS}\n"
    done = tests("--snncc-check", f"plugin_nets:fine {OPTIONS}", ini=ini)
    assert "1 failed, 2 passed" in done.stdout


def collected(tests, *arguments, ini=""):
    done = tests("--collect-only", "-qq", *arguments, ini=ini)
    return {line for line in done.stdout.splitlines() if "::" in line}


def test_each_check_has_a_name_of_its_own(tests):
    given = ("a:b --target reference", "a:b --target loihi", "c.pt")
    options = [word for line in given for word in ("--snncc-check", line)]
    names = {"snncc::a:b[--target reference]", "snncc::a:b[--target loihi]", "snncc::c.pt"}
    one = "test_one.py::test_one"
    assert collected(tests, *options) == names | {one}
    assert collected(tests, *options, "-k", "c.pt") == {"snncc::c.pt"}
    without = collected(tests, *options, "--deselect", "snncc::c.pt")
    assert without == {one, *names} - {"snncc::c.pt"}


def test_a_single_test_is_run_without_the_models_of_the_ini_file(tests, tmp_path):
    ini = "snncc_check = a:b\n"
    one, model = "test_one.py::test_one", "snncc::a:b"
    assert collected(tests, ini=ini) == {one, model}
    assert collected(tests, ".", ini=ini) == {one, model}
    assert collected(tests, "test_one.py", ini=ini) == {one}
    assert collected(tests, one, ini=ini) == {one}
    assert collected(tests, one, "--snncc-check", "a:b", ini=ini) == {one, model}


def test_its_place_in_junit_xml(tests, tmp_path):
    assert tests("--snncc-check", "absent.pt", "--junitxml", "report.xml").returncode == 1
    (case,) = Xml.parse(tmp_path / "report.xml").findall(".//testcase[failure]")
    assert (case.get("classname"), case.get("name")) == ("snncc", "absent.pt")
    assert "SNN305 error" in case.findtext("failure")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("absent.pt", "SNN305 error"),
        ("plugin_nets:fine", "SNN303 error"),
        ("plugin_nets:fine --layout XY", "Invalid value for '--layout'"),
        ("plugin_nets:fine 'x", "plugin_nets:fine 'x: No closing quotation"),
    ],
)
def test_what_cannot_be_read_fails_with_a_sentence(tests, said, answer):
    done = tests("--snncc-check", said)
    assert done.returncode == 1
    assert answer in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_nothing_is_imported_unless_a_model_is_checked(tests, tmp_path):
    """The plugin is there, and asked for a model, and neither brings torch before it runs."""
    seen = "assert not {'torch', 'numpy', 'numba', 'click'} & set(sys.modules)"
    there = "assert 'snncc.pytest_plugin' in sys.modules"
    (tmp_path / "test_one.py").write_text(
        f"import sys\n\n\ndef test_one():\n    {there}\n    {seen}\n"
    )
    assert tests().returncode == 0
    assert "1 failed, 1 passed" in tests("--snncc-check", "absent.pt").stdout
