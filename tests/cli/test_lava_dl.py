"""A Lava-DL file as MODEL: no --weight-bits, and the input is what --input says."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from click.testing import CliRunner

from snncc.cli import main

pytest.importorskip("h5py")

FILES = Path(__file__).parents[1] / "frontends" / "lava_dl" / "files"


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.net"
    path.write_bytes(lzma.decompress((FILES / "tiny.net.xz").read_bytes()))
    return path


def run(*arguments: object, code: int = 0):
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.slow
def test_compile_simulate_and_verify(tiny, tmp_path):
    given = ("--target", "loihi2", "--time-steps", "16")
    done = run("compile", tiny, *given, "--input", "spike", "-o", tmp_path / "net")
    assert "SNN515" in done.stderr
    assert "fixed{vth=25, dv=1024" in run("show", tmp_path / "net").output
    assert "is what its record says" in run("verify", tmp_path / "net", tiny).output


def test_pixels_are_the_input_unless_it_is_spikes(tiny):
    done = run("check", tiny, "--time-steps", "4")
    assert "pixels that the input layer turns into currents" in done.output
    done = run("check", tiny, "--time-steps", "4", "--weight-bits", "8", code=2)
    assert "whole numbers already" in done.output
