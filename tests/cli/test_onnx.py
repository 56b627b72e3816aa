"""ONNX files on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

FILES = Path(__file__).parents[1] / "frontends" / "onnx" / "files"


@pytest.mark.slow
def test_a_file_is_a_model_and_a_program_becomes_a_file(run, tmp_path):
    result = run("compile", FILES / "hand_ge_leg.onnx", "-o", "net")
    assert result.exit_code == 0, result.output
    assert "2 populations" in result.stdout
    result = run("export", "--format", "onnx", "net", "-o", "net.onnx")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("net.onnx: network in float32")
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)
    result = run("show", "--form", "network", "net.onnx")
    assert result.exit_code == 0, result.output
    assert "readout" in result.stdout
    result = run("export", "--format", "onnx", "net.onnx", "--form", "graph", "-o", "again.onnx")
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_a_proof_that_begins_at_a_file(run):
    pytest.importorskip("onnxruntime")
    file = FILES / "scan_dyn.onnx"
    assert run("compile", file, "-o", "net").exit_code == 0
    result = run("verify", "net", file)
    assert result.exit_code == 0, result.output
    assert "module → onnxruntime" in result.stdout


def test_a_model_of_one_step_needs_its_steps(run):
    result = run("check", FILES / "step_dyn.onnx", "--layout", "N", "--time-steps", "8")
    assert result.exit_code == 0, result.output


def test_a_damaged_file_is_one_sentence(refused, tmp_path):
    (tmp_path / "cut.onnx").write_bytes((FILES / "scan_dyn.onnx").read_bytes()[:3000])
    refused("compile", "cut.onnx", said="cut.onnx is no ONNX file")
    refused("check", "none.onnx", said="none.onnx does not exist")


def test_help_imports_no_onnx():
    code = "import sys, snncc.cli.export, snncc; print({'onnx', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
