"""snncc simulate: accuracy, work before and after, agreement with Lava."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch

import snncc


def rows(text):
    return {line.strip().partition("  ")[0]: line.strip() for line in text.splitlines()}


def test_it_prints_accuracy_spikes_work_and_energy(run, program, data):
    result = run("simulate", program, "--input", data)
    assert result.exit_code == 0, result.output
    table = rows(result.stdout)
    assert table["accuracy"].split() == ["accuracy", "83.33%", "(5", "of", "6)"]
    before, after = (float(cell.replace(",", "")) for cell in table["MAC"].split()[1:])
    assert before > 0
    assert after == 0
    assert all(float(c.replace(",", "")) > 0 for c in table["AC"].split()[1:])
    assert "0.9 pJ/AC, 4.6 pJ/MAC" in result.stdout
    assert "Horowitz" in result.stdout
    assert result.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "after"), [((), 0.9e-12), (("--weight-bits", "8"), 0.1e-12)])
def test_energy_is_that_of_the_operations(run, model, data, bits, after):
    assert run("compile", model, "-o", "out", *bits).exit_code == 0
    table = rows(run("simulate", "out", "--input", data).stdout)
    cells = table["energy of AC, MAC"].split()[4:]
    scale = {"pJ": 1e-12, "nJ": 1e-9, "µJ": 1e-6}
    joules = [float(cells[i]) * scale[cells[i + 1]] for i in (0, 2)]
    ac = [float(cell.replace(",", "")) for cell in table["AC"].split()[1:]]
    mac = [float(cell.replace(",", "")) for cell in table["MAC"].split()[1:]]
    for energy, a, m, price in zip(joules, ac, mac, (0.9e-12, after), strict=True):
        assert energy == pytest.approx(a * price + m * 4.6e-12, rel=0.01)


@pytest.mark.slow
def test_a_model_is_compiled_on_the_way(run, model, program, data):
    on_the_way = run("simulate", model, "--input", data)
    assert on_the_way.exit_code == 0, on_the_way.output
    assert rows(on_the_way.stdout)["accuracy"].endswith("(5 of 6)")


@pytest.mark.slow
def test_whole_numbers_are_held_against_floating_point(run, model, data):
    compiled = run("compile", model, "-o", "fixed", "--weight-bits", "8", "--calibrate", data)
    assert compiled.exit_code == 0, compiled.output
    assert re.search(
        r"fixed point  8-bit weights, scales from 6 samples\n  flips +0\.\d+% of the neuron-steps "
        r"where they arise, \d+\.\d+% propagated; 0 overflows",
        compiled.stdout,
    )
    table = rows(run("simulate", "fixed", "--input", data).stdout)
    assert table["accuracy in float"].endswith("(5 of 6)")
    assert re.match(r"flipped spikes +\d+\.\d+%  of [\d,]+ differ", table["flipped spikes"])
    blind = run("compile", model, "-o", "blind", "--weight-bits", "8")
    assert "scales from the weights alone\n" in blind.stdout
    assert "not measured; give recordings with --calibrate" in blind.stdout
    assert "note[SNN506]" in blind.stderr


def test_limit_takes_the_first_samples(run, program, data):
    result = run("simulate", program, "--input", data, "--limit", 2)
    assert "on 2 samples" in result.stdout
    assert rows(result.stdout)["accuracy"].endswith("(1 of 2)")


def test_the_arithmetic_is_chosen_or_said(run, program, data):
    said = rows(run("simulate", program, "--input", data).stdout)["arithmetic"]
    assert said.endswith("float32; on the first 6 samples no spike differs from float64")
    asked = run("simulate", program, "--input", data, "--dtype", "float64")
    assert rows(asked.stdout)["arithmetic"].split() == ["arithmetic", "float64"]


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--memory", "1K"), ("--memory", "2G"), ("--threads", "1")])
def test_memory_and_threads_change_no_number(run, program, data, more):
    plain = run("simulate", program, "--input", data)
    assert run("simulate", program, "--input", data, *more).stdout == plain.stdout


@pytest.mark.parametrize("size", ["2", "G", "0G", "1.5G", "-1G", "²G"])
def test_a_size_is_a_number_and_a_unit(run, program, data, size):
    result = run("simulate", program, "--input", data, "--memory", size)
    assert result.exit_code == 2
    assert "is not like 512M or 2G" in result.stderr


def test_spikes_are_saved_where_asked(run, program, data, tmp_path):
    path = tmp_path / "spikes.npz"
    result = run("simulate", program, "--input", data, "--save-spikes", path)
    assert result.exit_code == 0, result.output
    expected = snncc.load(program).run(np.load(data)["inputs"]).spikes
    with np.load(path) as saved:
        assert set(saved.files) >= set(expected)
        for name, spikes in expected.items():
            assert np.array_equal(saved[name], spikes.numpy()), name
    refused = run("simulate", program, "--input", data, "--save-spikes", "no/where.npz")
    assert refused.exit_code == 2
    assert "SNN305" in refused.stderr


INTERRUPTED = """
    import sys, threading, signal, os, time
    import snncc.simulation as simulation

    class Slow(simulation.Counted):
        def of(self, chunk):
            if self.samples:
                print("ready", flush=True)
                time.sleep(60)
            return super().of(chunk)

    simulation.Counted = Slow
    from snncc.cli import main
    main(prog_name="snncc")
"""


@pytest.mark.slow
def test_ctrl_c_ends_with_the_numbers_so_far(interrupted, program, data, tmp_path):
    small = "from snncc.backends.reference import fused; fused.TILE = 1\n"
    code = small + textwrap.dedent(INTERRUPTED)
    arguments = ["simulate", str(program), "--input", str(data), "--memory", "1K",
                 "--save-spikes", "spikes.npz"]  # fmt: skip
    code, out, err = interrupted(code, tmp_path, *arguments)
    assert code == 130, err
    assert "on 1 of 6 samples, reference" in out
    assert "interrupted: all numbers are of the samples before that" in out
    assert err == "interrupted after 1 of 6 samples\n"
    with np.load(tmp_path / "spikes.npz") as saved:
        assert {saved[name].shape[1] for name in saved.files} == {1}


def test_the_aap_kept_has_its_own_accuracy_and_work(run, program, data):
    result = run("simulate", program, "--input", data, "--keep-aap")
    table = rows(result.stdout)
    assert "accuracy, aap" in table
    assert "accuracy, average" in table
    assert "AAP on host" in table["per sample"]
    assert float(table["MAC"].split()[3].replace(",", "")) > 0


def test_counts_beyond_the_bound_of_the_proof_are_refused(run, refused, tmp_path):
    layers = torch.nn.Sequential(torch.nn.Linear(3, 3), snncc.nn.IF(), torch.nn.Linear(3, 2))
    counts = torch.full((2, 1, 3), 255.0)
    program = snncc.compile(layers, counts, "reference", input="count", layout="TN")
    program.save(tmp_path / "counting")
    np.savez(tmp_path / "least.npz", inputs=counts.numpy())
    assert run("simulate", "counting", "--input", "least.npz").exit_code == 0
    np.savez(tmp_path / "more.npz", inputs=counts.numpy() + np.array([1, 9]).reshape(2, 1, 1))
    said = "are above 255, up to which counts are proved; the largest is 264"
    result = refused("simulate", "counting", "--input", "more.npz", said=said)
    assert "SNN312" in result.stderr


def test_without_labels_there_is_no_accuracy(run, program, tmp_path):
    np.savez(tmp_path / "bare.npz", inputs=np.zeros((5, 2, 2, 8, 8)))
    result = run("simulate", program, "--input", "bare.npz")
    assert result.exit_code == 0, result.output
    assert "accuracy" not in result.stdout


def test_lava_gives_every_spike_of_the_reference(run, program, data, lava):
    result = run("simulate", program, "--input", data, "--backend", "lava", "--limit", 2)
    assert result.exit_code == 0, result.output
    assert ", lava" in result.stdout
    assert re.search(
        r"Lava against the reference: [\d,]+ spikes and silences, 0 differ", result.stdout
    )


def test_outputs_that_differ_are_exit_1(run, program, data, monkeypatch):
    """The reference's own answers with one spike more stand for Lava's."""
    from snncc.backends.loihi import Lava, simulation
    from snncc.ir.interpreter import run_network

    def nearly(folder, network, inputs, **options):
        answers = run_network(network, inputs)
        spikes = answers.spikes["stem_sn"]
        spikes[3, 1, 0, 2, 2] = 1 - spikes[3, 1, 0, 2, 2]
        return answers

    monkeypatch.setattr(Lava, "missing", lambda self: "")
    monkeypatch.setattr(simulation, "simulate", nearly)
    result = run("simulate", program, "--input", data, "--backend", "lava")
    assert result.exit_code == 1
    assert "1 differ" in result.stdout
    assert "first: population stem_sn, step 3, sample 1, neuron (0, 2, 2)" in result.stdout


@pytest.mark.parametrize("part", ["none of a population", "one step", "one sample"])
def test_a_backend_that_returns_a_part_is_refused(refused, program, data, monkeypatch, part):
    """An array of another shape could be compared with the reference, and be equal."""
    from snncc.backends.loihi import Lava, simulation
    from snncc.ir.interpreter import run_network

    def partly(folder, network, inputs, **options):
        answers = run_network(network, inputs)
        spikes = dict(answers.spikes)
        whole = spikes.pop("stem_sn")
        if part != "none of a population":
            spikes["stem_sn"] = whole[:1] if part == "one step" else whole[:, :1]
        return replace(answers, spikes=spikes)

    monkeypatch.setattr(Lava, "missing", lambda self: "")
    monkeypatch.setattr(simulation, "simulate", partly)
    said = "error[SNN314]: the backend lava returned"
    refused("simulate", program, "--input", data, "--backend", "lava", said=said)


# -- what it refuses ---------------------------------------------------------------------------


def test_data_that_cannot_be_used(refused, program, tmp_path):
    np.savez(tmp_path / "shape.npz", inputs=np.zeros((5, 3, 2, 9, 9)))
    np.savez(tmp_path / "steps.npz", inputs=np.zeros((4, 3, 2, 8, 8)))
    np.savez(tmp_path / "none.npz", inputs=np.zeros((5, 0, 2, 8, 8)))
    np.savez(tmp_path / "labels.npz", inputs=np.zeros((5, 3, 2, 8, 8)), labels=np.zeros(2, int))
    np.savez(tmp_path / "class.npz", inputs=np.zeros((5, 1, 2, 8, 8)), labels=np.array([4]))
    np.savez(tmp_path / "twos.npz", inputs=np.full((5, 1, 2, 8, 8), 2))
    np.savez(tmp_path / "other.npz", frames=np.zeros((5, 1, 2, 8, 8)))
    (tmp_path / "empty.npz").write_bytes(b"")
    for name, said in {
        "shape": "error[SNN306]",
        "steps": "error[SNN306]",
        "none": "holds no samples",
        "labels": "labels in labels.npz have shape (2,) for 3 samples",
        "class": "labels[0] in class.npz is 4; they go from 0 to 3",
        "twos": "neither 0 nor 1",
        "other": "has no `inputs`; it holds `frames`",
        "empty": "error[SNN305]",
        "missing": "does not exist",
    }.items():
        refused("simulate", program, "--input", f"{name}.npz", said=said)


def test_a_damaged_program(refused, program, data, tmp_path):
    import shutil

    shutil.copytree(program, tmp_path / "p")
    weights = tmp_path / "p" / "network" / "tensors.npz"
    weights.write_bytes(weights.read_bytes()[:-10])
    refused("simulate", "p", "--input", data, said="network/tensors.npz was changed or cut short")


def test_a_folder_that_is_no_program(refused, data, tmp_path):
    (tmp_path / "p").mkdir()
    refused("simulate", "p", "--input", data, said="p is no compiled program")


def test_no_data_at_all(refused, program):
    refused("simulate", program, said="Missing option '--input'")


def test_a_program_for_another_target_does_not_run_in_lava(run, refused, model, data):
    assert run("compile", model, "--target", "reference", "-o", "ref").exit_code == 0
    refused("simulate", "ref", "--input", data, "--backend", "lava", said="error[SNN316]")
