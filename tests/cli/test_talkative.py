"""--quiet and --verbose, and defaults from the environment."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_quiet_keeps_notes_and_verbose_explains_them(run, model):
    usual = run("compile", model, "-o", "usual")
    assert "note[SNN404]" in usual.stderr
    quiet = run("compile", model, "-o", "quiet", "-q")
    assert quiet.stderr == ""
    assert quiet.stdout.replace("quiet", "usual") == usual.stdout
    verbose = run("compile", model, "-o", "verbose", "--verbose")
    assert len(verbose.stderr.splitlines()) > len(usual.stderr.splitlines())
    assert "    " in verbose.stderr


def test_errors_are_said_quietly_too(refused):
    refused("compile", "nothing.pt", "-q", said="error[SNN305]")


def test_a_default_from_the_environment(run, program, data, monkeypatch):
    monkeypatch.setenv("SNNCC_SIMULATE_SAMPLES", "2")
    assert "on 2 samples" in run("simulate", program, "--input", data).stdout
    assert "on 3 samples" in run("simulate", program, "--input", data, "--samples", 3).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_complete(shell):
    done = subprocess.run(
        [sys.executable, "-c", "from snncc.cli import main; main(prog_name='snncc')"],
        env={"_SNNCC_COMPLETE": f"{shell}_source", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "snncc" in done.stdout, done.stderr
