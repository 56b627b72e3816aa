"""The commands that only tell: check, show, explain, targets, passes, lava setup."""

from __future__ import annotations

import subprocess
import sys

import pytest

import snncc
from snncc.diagnostics import RULES
from snncc.ir.text import parse_graph, parse_network


@pytest.fixture
def analog(tmp_path):
    """A network with a norm that cannot fold and a product of non-spikes."""

    (tmp_path / "analog.py").write_text(
        "import torch, snncc\n"
        "class Analog(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a, self.b, self.n = snncc.nn.IF(), snncc.nn.IF(), torch.nn.LayerNorm(8)\n"
        "    def forward(self, x):\n"
        "        return (self.b(self.n(self.a(x))) * x).mean(0).flatten(1)\n"
    )
    yield ("analog:Analog", "--input-shape", "2,8,8", "--time-steps", 3)
    sys.modules.pop("analog", None)


# -- check -------------------------------------------------------------------------------------


def test_check_prints_the_findings_and_is_fine(run, model):
    result = run("check", model)
    assert result.exit_code == 0
    assert "SNN404 note:" in result.stdout
    assert "error" not in result.stdout


def test_check_prints_every_error_and_exits_1(run, analog, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    result = run("check", *analog)
    assert result.exit_code == 1, result.output
    assert "SNN106 error:" in result.stdout
    assert result.stdout.count(" error: ") > 1
    assert "analog.py:7" in result.stdout


def test_check_of_what_cannot_be_read_is_exit_2(run, refused, tmp_path):
    refused("check", "nothing.pt", said="error[SNN305]")
    (tmp_path / "branching.py").write_text(
        "import torch, snncc\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.sn = snncc.nn.IF()\n"
        "    def forward(self, x):\n"
        "        y = self.sn(x)\n"
        "        return y.mean(0) if y.numpy().any() else y.sum(0)\n"
    )
    result = run("check", "branching:Net", "--input-shape", "2,8,8", "--time-steps", 3)
    sys.modules.pop("branching", None)
    assert result.exit_code == 2, result.output
    assert "SNN302 error:" in result.stdout


def test_check_strict_makes_the_encoder_an_error(run, model):
    relaxed = run("check", model, "--input", "analog")
    strict = run("check", model, "--input", "analog", "--strict")
    assert (relaxed.exit_code, strict.exit_code) == (0, 1)


@pytest.mark.parametrize("form", ["yaml", "html"])
def test_check_offers_no_format_it_does_not_have(refused, model, form):
    refused("check", model, "--format", form, said="Invalid value for '--format'")


# -- show --------------------------------------------------------------------------------------


def test_show_prints_text_that_parses_back(run, program):
    loaded = snncc.load(program)
    for form, parse, of in (
        ("network", parse_network, loaded.network),
        ("scheduled", parse_network, loaded.scheduled),
        ("graph", parse_graph, loaded.graph),
    ):
        result = run("show", program, "--form", form)
        assert result.exit_code == 0
        again = parse(result.stdout, of.tensors | _encoder_tensors(of))
        assert again.name == of.name


def _encoder_tensors(form):
    return {n: t for e in getattr(form, "encoders", ()) for n, t in e.graph.tensors.items()}


def test_show_of_a_model_compiles_it(run, model, program):
    of_model, of_program = run("show", model), run("show", program)
    assert of_model.exit_code == 0
    assert of_model.stdout == of_program.stdout


def test_show_of_what_is_not_there(refused, run, model):
    refused("show", "nothing", said="error[SNN305]")
    refused("show", model, "--target", "reference", "--form", "scheduled", said="no schedule")


@pytest.mark.slow
def test_show_into_a_closed_pipe_is_quiet(program):
    command = f"{sys.executable} -c 'from snncc.cli import main; main()' show {program} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("network DualStreamResNet")
    assert done.stderr == ""


# -- lists -------------------------------------------------------------------------------------


def test_explain_a_rule(run, refused):
    result = run("explain", "SNN103")
    assert result.exit_code == 0
    assert result.stdout.startswith("SNN103 product-of-non-spikes (error)")
    assert run("explain", "product-of-non-spikes").stdout == result.stdout
    refused("explain", "SNN999", said="error[SNN313]")


@pytest.mark.parametrize("code", RULES)
def test_explain_every_rule(run, code):
    result = run("explain", code)
    assert (result.exit_code, result.stderr) == (0, "")
    title, *lines = result.stdout.splitlines()
    assert title.startswith(f"{code} {RULES[code].name} (")
    headings = [line for line in lines if line and not line.startswith(" ")]
    instead = ["Instead"] if RULES[code].after else []
    assert headings == ["What it does", "Why it matters", "Example", *instead, "What to do"]
    assert all(lines[lines.index(heading) + 1].startswith("    ") for heading in headings)


def test_targets_have_sources(run):
    result = run("targets")
    assert result.exit_code == 0
    assert "loihi:" in result.stdout
    assert "reference:" in result.stdout
    constants = [line for line in result.stdout.splitlines() if " per " in line]
    assert constants
    assert all("20" in line and line.endswith(")") for line in constants)


def test_passes_in_order_of_a_target(run, refused):
    everything = run("passes")
    assert everything.exit_code == 0
    ordered = [line for line in run("passes", "--target", "loihi").stdout.splitlines()
               if not line.startswith(" ")]  # fmt: skip
    assert ordered[0].startswith("select-head")
    assert ordered[-1].startswith("balance-delays")
    assert all(name in everything.stdout for name in ordered)
    refused("passes", "--target", "x", said="error[SNN313]")


def test_lava_setup_says_where_it_is_or_why_not(run, refused, monkeypatch):
    from snncc.backends.loihi import interpreter
    from snncc.diagnostics import refuse

    def none():
        raise refuse("SNN317", "there is no Python 3.10")

    monkeypatch.setattr(interpreter, "set_up", lambda: "/somewhere/python")
    assert run("lava", "setup").stdout == "Lava's interpreter: /somewhere/python\n"
    monkeypatch.setattr(interpreter, "set_up", none)
    refused("lava", "setup", said="error[SNN317]: there is no Python 3.10")


def test_version_and_help(run):
    assert run("--version").stdout == f"snncc {snncc.__version__}\n"
    for command in ("compile", "check", "simulate", "show", "explain", "targets", "passes", "lava"):
        result = run(command, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage:")
