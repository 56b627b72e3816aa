"""pytest --snncc-check, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys

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
    assert "snncc check plugin_nets:fine" in done.stdout
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


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("absent.pt", "SNN305 error"),
        ("plugin_nets:fine", "SNN303 error"),
        ("plugin_nets:fine --layout XY", "Invalid value for '--layout'"),
    ],
)
def test_what_cannot_be_read_fails_with_a_sentence(tests, said, answer):
    done = tests("--snncc-check", said)
    assert done.returncode == 1
    assert answer in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_nothing_is_imported_unless_a_model_is_checked(tests, tmp_path):
    seen = "assert not {'torch', 'numpy', 'numba'} & set(sys.modules)"
    (tmp_path / "test_one.py").write_text(f"import sys\n\n\ndef test_one():\n    {seen}\n")
    assert tests().returncode == 0
