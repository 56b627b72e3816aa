"""A NIR file as MODEL, with what the command line says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from snncc.cli import main

pytest.importorskip("h5py")

FILES = Path(__file__).parents[1] / "frontends" / "nir" / "files"


def run(*arguments: object, code: int = 0):
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.slow
def test_compile_and_verify_take_the_same_words(tmp_path):
    said = ("--dt", "1e-4", "--reset", "soft", "--reset-when", "next")
    model = FILES / "snntorch_leaky_subtract_delay_true.nir"
    given = ("--time-steps", "8", "--input", "spike", "-o", tmp_path / "net")
    done = run("compile", model, *given, *said)
    assert "0.0001 s, euler equations, soft reset, in the step after the spike" in done.stderr
    assert "is what its record says" in run("verify", tmp_path / "net", model, *said).output
    run("verify", tmp_path / "net", model, "--reset", "hard", code=1)


def test_check_says_how_it_was_read(tmp_path):
    done = run("check", FILES / "export_lif_r_tau.nir", "--time-steps", "4", "--input", "spike")
    assert "SNN509" in done.output


def test_what_another_model_says_itself_is_refused(tmp_path):
    dst = Path(__file__).parents[2] / "examples" / "dst" / "nmnist.pt"
    done = run("check", dst, "--dt", "1e-3", code=2)
    assert "--dt is for files that give neurons as equations" in done.stderr
    done = run("check", dst, "--reset", "soft", code=2)
    assert "--reset is for files" in done.stderr
