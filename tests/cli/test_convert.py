"""snncc convert and snncc export --format nir."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import snncc
from snncc.backends import nir as writer

nir = pytest.importorskip("nir")
pytest.importorskip("onnx")

ONNX = Path(__file__).parents[1] / "frontends" / "onnx" / "files"
NIR = Path(__file__).parents[1] / "frontends" / "nir" / "files"


def test_onnx_becomes_nir_and_nir_becomes_onnx(run, tmp_path):
    result = run("convert", ONNX / "hand_ge_leg.onnx", "net.nir", "--input", "spike")
    assert result.exit_code == 0, result.output
    assert "of the file compared in 2 populations, 0 differ" in result.stdout
    read = nir.read(tmp_path / "net.nir")
    assert {type(node).__name__ for node in read.nodes.values()} >= {"LIF", "Affine"}
    result = run("convert", "net.nir", "again.onnx", "--time-steps", "8")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "again.onnx").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.onnx", "net.nir"]


def test_a_program_becomes_nir(run, tmp_path, program):
    result = run("export", program, "--format", "nir", "-o", "net.nir")
    assert result.exit_code == 0, result.output
    assert "spikes compared, 0 differ" in result.stdout
    assert "mean over time is in the metadata" in result.stderr
    nir.read(tmp_path / "net.nir")
    result = run("check", "net.nir", "--time-steps", "5")
    assert result.exit_code == 0, result.output


def test_the_step_is_that_of_the_file_to_write(run, tmp_path):
    file = NIR / "export_lif_r_tau.nir"
    result = run("convert", file, "net.nir", "--dt", "1e-4", "--time-steps", "6")
    assert result.exit_code == 0, result.output
    example = torch.zeros(4, 1, 3)
    snncc.save_model(nn.Sequential(nn.Linear(3, 2), snncc.nn.LIF()), tmp_path / "a.pt", example)
    result = run("convert", "a.pt", "a.nir", "--dt", "0.5")
    assert result.exit_code == 0, result.output
    (lif,) = [n for n in nir.read(tmp_path / "a.nir").nodes.values() if isinstance(n, nir.LIF)]
    assert np.allclose(lif.tau, 1.0)


def test_what_was_written_by_snncc_says_all_itself(run, refused, tmp_path):
    example = torch.zeros(4, 1, 3)
    snncc.save_model(nn.Sequential(nn.Linear(3, 2), snncc.nn.LIF()), tmp_path / "a.pt", example)
    assert run("convert", "a.pt", "a.nir").exit_code == 0
    refused("check", "a.nir", "--time-steps", "4", "--reset", "soft", said="says itself")


def test_a_format_that_is_not_there_and_options_of_others(refused):
    file = ONNX / "hand_ge_leg.onnx"
    refused("convert", file, "net.pt", said="end it in .onnx or .nir")
    refused("convert", file, "net.nir", "--head", "7", said="there is no output 7")
    refused("convert", file, "net.nir", "--cut-merge", said="--cut-merge is for compile")
    refused("convert", file, "net.onnx", "--dt", "1", said="--dt is for files")


def test_a_file_with_other_spikes_is_not_written(run, tmp_path, monkeypatch):
    """A writer that drops the sign of all weights."""
    as_nir = writer.writer.FileParts.as_nir

    def wrong(self):
        for part in self.parts.values():
            for name in ("weight", "snncc_weight"):
                for values in (part.values, part.metadata):
                    if name in values:
                        values[name] = np.abs(values[name])
        return as_nir(self)

    monkeypatch.setattr(writer.writer.FileParts, "as_nir", wrong)
    result = run("convert", ONNX / "hand_ge_leg.onnx", "net.nir", "--input", "spike")
    assert result.exit_code != 0
    assert "error[SNN321]" in result.stderr
    assert list(tmp_path.iterdir()) == []
