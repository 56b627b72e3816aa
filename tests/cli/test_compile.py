"""snncc compile: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import snncc

FACTORY = """
import torch, snncc

def network():
    torch.manual_seed(0)
    return snncc.nn.DualStreamResNet(2, 4, widths=[4], blocks=[1], auxiliary=False)

def image():
    torch.manual_seed(0)
    return snncc.nn.DualStreamResNet(
        3, 4, widths=[4], blocks=[1], auxiliary=False, time_steps=3
    )

class Analog(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.sn1, self.sn2, self.norm = snncc.nn.IF(), snncc.nn.IF(), torch.nn.LayerNorm(8)

    def forward(self, x):
        y = self.sn1(x)
        y = self.sn2(self.norm(y))
        return (y * x).mean(0).flatten(1)
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """A module of the user's, importable from the current folder."""
    (tmp_path / "mynets.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "mynets"
    sys.modules.pop("mynets", None)


# -- what it does ------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_writes_a_program_and_says_what_it_did(run, model, tmp_path):
    result = run("compile", model, "--target", "loihi", "-o", "out")
    assert result.exit_code == 0, result.output
    program = snncc.load(tmp_path / "out")
    gone = program.about.stripped
    said = result.stdout
    assert f"{gone.parameters:,} parameters" in said
    proof = program.about.verification.said
    steps, samples = (
        sum(call[what] for call in proof["module"]["calls"]) for what in ("neuron-steps", "samples")
    )
    assert f"module → network: 0 of {steps:,} neuron-steps differ, {samples} samples in" in said
    steps = sum(row["neuron-steps"] for row in proof["passes"])
    assert f"network → program: 0 of {steps:,} neuron-steps differ" in said
    assert "gate population" in said
    assert "latency " in said
    assert f"one sample every {program.graph.time_steps} steps" in said
    assert ", 0 relay neurons" in said
    assert "of our own 2 DelayLine, 1 Recorder" in said
    assert "written      out" in said
    assert "note[SNN404]" in result.stderr
    assert program.about.source["name"] == str(model)
    assert len(program.about.source["sha256"]) == 64


@pytest.mark.slow
def test_stock_only(run, model):
    result = run("compile", model, "-o", "out", "--stock-only")
    assert result.exit_code == 0, result.output
    assert "relay population" in result.stdout
    assert "of the package: none" in result.stdout
    soft = run("compile", model, "-o", "soft", "--stock-only", "--reset", "soft")
    assert soft.exit_code == 1
    assert "error[SNN213]" in soft.stderr
    assert run("check", model, "--stock-only").exit_code == 0


def test_whole_numbers_are_checked_for(run, model):
    result = run("check", model, "--weight-bits", "8")
    assert result.exit_code == 0, result.output
    assert "SNN506" in result.stdout
    refused = run("check", model, "--target", "reference", "--weight-bits", "8")
    assert refused.exit_code == 2
    assert "computes in floating point" in refused.stderr


def test_the_folder_is_named_after_the_model_by_default(run, model, tmp_path):
    assert run("compile", model, "--target", "reference").exit_code == 0
    assert snncc.load(tmp_path / "small").target == "reference"


@pytest.mark.slow
def test_a_program_is_replaced(run, model, tmp_path):
    assert run("compile", model, "-o", "out", "--target", "reference").exit_code == 0
    assert run("compile", model, "-o", "out", "--keep-aap").exit_code == 0
    program = snncc.load(tmp_path / "out")
    assert (program.target, program.keep_aap) == ("loihi", True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_two_compilations_are_the_same_byte_for_byte(run, model, tmp_path):
    run("compile", model, "-o", "one")
    run("compile", model, "-o", "two")
    one, two = ((tmp_path / name / "manifest.json").read_bytes() for name in ("one", "two"))
    assert one == two


def test_print_after_and_time_passes_talk_on_stderr(run, model):
    result = run("compile", model, "-o", "out", "--print-after", "lower", "--time-passes")
    assert "# after lower\nnetwork DualStreamResNet" in result.stderr
    assert " s  fold-bn\n" in result.stderr
    assert "network DualStreamResNet" not in result.stdout


@pytest.mark.slow
def test_calibration_data_is_used(run, model, data, tmp_path):
    assert run("compile", model, "-o", "out", "--calibrate", data).exit_code == 0
    calls = [call["input"] for call in proof(tmp_path / "out")["module"]["calls"]]
    assert calls[:2] == ["example", "calibration"]
    assert run("compile", model, "-o", "out").exit_code == 0
    assert "calibration" not in [c["input"] for c in proof(tmp_path / "out")["module"]["calls"]]
    assert run("compile", model, "-o", "out", "--no-verify").exit_code == 0
    assert proof(tmp_path / "out") is None


def proof(folder):
    record = snncc.load(folder).about.verification
    return None if record is None else record.said


@pytest.mark.slow
def test_a_factory_with_a_shape(run, factory, tmp_path):
    shape = ("--input-shape", "2,8,8", "--time-steps", 3, "--input", "spike")
    result = run("compile", f"{factory}:network", *shape, "-o", "out")
    assert result.exit_code == 0, result.output
    assert snncc.load(tmp_path / "out").graph.time_steps == 3


def test_a_factory_with_weights(run, factory, tmp_path):
    import mynets

    torch.save(mynets.network().state_dict(), tmp_path / "w.pt")
    shape = ("--input-shape", "2,8,8", "--time-steps", 3)
    result = run("compile", f"{factory}:network", "--weights", "w.pt", *shape, "-o", "out")
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_an_image_is_encoded_on_the_host_and_that_is_an_error_when_strict(run, factory):
    shape = ("--input-shape", "3,8,8")
    result = run("compile", f"{factory}:image", *shape, "-o", "out")
    assert result.exit_code == 0, result.output
    assert "encoders" in result.stdout
    assert "MAC per sample on the host" in result.stdout
    strict = run("compile", f"{factory}:image", *shape, "-o", "strict", "--strict")
    assert strict.exit_code == 1
    assert "error[SNN" in strict.stderr


@pytest.mark.slow
def test_another_reset_is_said(run, model, tmp_path):
    result = run("compile", model, "-o", "out", "--reset", "soft")
    assert "soft in every neuron, whatever it was trained with" in result.stdout
    assert snncc.load(tmp_path / "out").about.options.reset == "soft"


# -- what it refuses ---------------------------------------------------------------------------


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code(refused, tmp_path):
    torch.save({"model": Bomb(tmp_path / "boom")}, tmp_path / "bomb.pt")
    refused("compile", "bomb.pt", "-o", "out", said="error[SNN304]")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    refused("compile", "old.pt", "-o", "out", said="error[SNN30")
    assert not (tmp_path / "boom").exists()


def test_a_truncated_file(refused, model, tmp_path):
    (tmp_path / "half.pt").write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    refused("compile", "half.pt", "-o", "out", said="error[SNN305]")


def test_a_file_that_is_not_there(refused):
    refused("compile", "nothing.pt", said="error[SNN305]")


def test_a_missing_shape(refused, factory):
    refused("compile", f"{factory}:network", said="error[SNN303]: nothing says what shape")


def test_a_missing_number_of_steps(refused, factory):
    shape = ("--input-shape", "2,8,8", "--layout", "TN")
    refused("compile", f"{factory}:network", *shape, said="nothing says how many steps")


def test_a_wrong_shape(refused, model, factory):
    refused("compile", model, "--input-shape", "3,8,8", "-o", "out", said="error[SNN314]")


@pytest.mark.parametrize("shape", ["2;8", "", "2,0,8", "a"])
def test_a_shape_that_is_none(refused, model, shape):
    refused("compile", model, "--input-shape", shape, said="Invalid value for '--input-shape'")


def test_weights_that_are_not_numbers(refused, factory, tmp_path):
    import mynets

    network = mynets.network()
    network.fc.weight.data[0, 0] = float("nan")
    torch.save(network.state_dict(), tmp_path / "nan.pt")
    shape = ("--input-shape", "2,8,8", "--time-steps", 3)
    refused("compile", f"{factory}:network", "--weights", "nan.pt", *shape, said="error[SNN307]")


def test_calibration_data_that_does_not_fit(refused, model, tmp_path):
    np.savez(tmp_path / "wrong.npz", inputs=np.zeros((5, 3, 2, 9, 9)))
    (tmp_path / "empty.npz").write_bytes(b"")
    refused("compile", model, "--calibrate", "wrong.npz", said="error[SNN306]")
    refused("compile", model, "--calibrate", "empty.npz", said="error[SNN305]")
    refused("compile", model, "--calibrate", "none.npz", said="error[SNN305]")


def test_an_output_folder_that_is_something_else(refused, model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("…")
    refused("compile", model, "-o", "thesis", said="exists and is not a compiled program")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "truenorth"], "there is no target 'truenorth'; there are loihi, reference"),
        (["--head", "5"], "no head '5'; the network has 0, 1"),
        (["--print-after", "fold"], "no pass 'fold' runs here"),
        (["--weights", "w.pt"], "brings its own weights"),
        (["--weight-bits", "9"], "9 is not in the range 2<=x<=8"),
        (["--reset", "none"], "Invalid value for '--reset'"),
        (["--time-steps", "0"], "Invalid value for '--time-steps'"),
        (["--layout", "N", "--input-shape", "2,8,8"], "error[SNN314]"),
    ],
)
def test_an_option_that_is_wrong(refused, model, options, said):
    refused("compile", model, *options, "-o", "out", said=said)


def test_a_network_that_is_not_spike_only_is_exit_1_with_every_error(run, factory, tmp_path):
    shape = ("--input-shape", "2,8,8", "--time-steps", 3)
    result = run("compile", f"{factory}:Analog", *shape, "-o", "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error[SNN106]" in result.stderr
    assert result.stderr.count("error[") > 1
    assert not (tmp_path / "out").exists()


# -- what is our fault -------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """fold-bn with a bug in it."""
    from snncc.passes.fold_bn import FoldBn

    def fails(self, form):
        raise KeyError("conv9")

    monkeypatch.setattr(FoldBn, "__call__", fails)


@pytest.mark.slow
def test_a_bug_is_exit_70_and_names_the_pass(run, model, broken, tmp_path):
    result = run("compile", model, "-o", "out")
    assert result.exit_code == 70
    assert "internal error: PassError: pass fold-bn, after select-head" in result.stderr
    assert "KeyError: 'conv9'; this is a bug of snncc" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before", "behind"])
def test_debug_shows_the_traceback(run, model, broken, place):
    arguments = ["compile", model, "-o", "out"]
    result = run(*(["--debug", *arguments] if place == "before" else [*arguments, "--debug"]))
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr
    assert "KeyError: 'conv9'" in result.stderr


def test_a_translation_that_changes_spikes_is_exit_70(run, model, monkeypatch, tmp_path):
    from snncc.passes.fold_bn import FoldBn

    honest = FoldBn.__call__

    def careless(self, form):
        outcome = honest(self, form)
        tensors = {n: t * 1.1 if "threshold" in n else t for n, t in outcome.form.tensors.items()}
        return replace(outcome, form=outcome.form.with_changes(tensors=tensors))

    monkeypatch.setattr(FoldBn, "__call__", careless)
    result = run("compile", model, "-o", "out")
    assert result.exit_code == 70
    assert "changed the network: population stem_sn, step" in result.stderr
    assert not list(tmp_path.iterdir())


# -- as a process ------------------------------------------------------------------------------


def snncc_process(*arguments, **more):
    command = [sys.executable, "-c", "from snncc.cli import main; main(prog_name='snncc')"]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=100, **more
    )


@pytest.mark.slow
def test_in_a_pipe_there_is_no_bar_and_results_and_talk_are_apart(model, tmp_path):
    done = snncc_process("compile", model, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{model} for loihi\n")
    assert all(line.startswith("note[SNN") for line in done.stderr.splitlines())
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_behind(model, tmp_path):
    code = (
        "import snncc.compiler as c\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "c.run = stop\n"
        "from snncc.cli import main; main(prog_name='snncc')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "compile", str(model), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted\n"
    assert not list(tmp_path.iterdir())


def test_help_imports_no_torch():
    code = (
        "import sys\nfrom snncc.cli import main\n"
        "for arguments in (['--help'], ['compile', '--help'], ['--version'], ['targets']):\n"
        "    main(arguments, standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout


def test_what_is_not_there_is_said_before_torch_is_imported(tmp_path):
    code = (
        "import sys\nfrom snncc.cli import main\n"
        "for options in (['show'], ['check'], ['check', '--format', 'json'], ['compile'],\n"
        "                ['simulate', '--input', 'x.npz'], ['export', '--format=onnx', '-ox']):\n"
        "    for name in ('nothing', 'nothing.pt', 'nothing.nir'):\n"
        "        assert main([*options, name], standalone_mode=False) == 2\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == 18
    assert all(line.startswith("error[SNN305]: nothing") for line in said)
    assert all(" does not exist; give .pt, " in line for line in said)
