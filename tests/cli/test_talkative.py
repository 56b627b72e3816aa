"""--quiet and --verbose, and defaults from the environment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snncc.diagnostics import RULES


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


def test_every_pass_has_a_sentence_and_its_rules(run):
    from snncc.passes.base import find, names

    short, long = run("passes").stdout, run("passes", "--verbose").stdout
    for name in names():
        summary = find(name).summary
        assert summary.endswith(".")
        assert len(summary) <= 90
        assert f": {summary}\n" in short
        assert f": {summary}\n" in long
    assert "    1. " in long
    assert "    1. " not in short


def test_all_rules_are_listed_by_chapter(run):
    said = run("explain").stdout
    assert [line.split()[0] for line in said.splitlines() if line.startswith("  ")] == [*RULES]
    assert "\nWhat cannot be read\n" in said
