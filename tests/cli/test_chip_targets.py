"""compile, check, simulate and export for loihi1, loihi2 and a chip file of one's own."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc.frontends.data.encoders import Poisson
from snncc.ir.mapping import Mapping
from snncc.mapping.reports import Cut
from snncc.targets.chip import board, find_chip

LOIHI1 = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")


def chip(path, **values):
    text = LOIHI1.replace('name = "loihi1"', 'name = "mine"')
    for key, value in values.items():
        text = re.sub(rf"(?m)^({key} = {{ value = )[^,]+", rf"\g<1>{value}", text)
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
def test_a_program_for_a_chip_keeps_its_mapping(run, model, data, target):
    result = run("compile", model, "--target", target, "-o", "out", "--calibrate", data)
    assert result.exit_code == 0, result.output
    for title in ("cores", "core in use", "work", "hops"):
        assert re.search(rf"^  {title} +\S", result.stdout, re.MULTILINE), title
    program = snncc.load("out")
    mapping = Mapping.load("out/mapping.npz")
    assert program.scheduled.mapping.core_of.keys() == mapping.core_of.keys()
    source = program.scheduled.sources[0].name
    rate = np.load(data)["inputs"].mean((0, 1))
    assert np.allclose(program.scheduled.mapping.activity[source], rate)
    for name, core in program.scheduled.mapping.core_of.items():
        assert np.array_equal(core, mapping.core_of[name])
    with open("out/mapping.txt") as file:
        assert f"chips of {target}; at least" in file.read()
    with open("out/report.html") as file:
        assert file.read().count("<title>core ") == len(mapping.cores)
    result = run("simulate", "out", "--input", data, "--backend", "cycle")
    assert result.exit_code == 0, result.output
    assert "energy per sample" in result.stdout


@pytest.mark.slow
def test_without_calibration_every_neuron_counts_alike(run, model):
    assert run("compile", model, "--target", "loihi1", "-o", "out").exit_code == 0
    assert not snncc.load("out").scheduled.mapping.activity


def test_the_report_of_a_chip_has_limits_bounds_and_the_mesh(run, model, tmp_path, read_page):
    path = chip(tmp_path / "mine.toml", neurons=100, tile_columns=2, tile_rows=1)
    result = run("compile", model, "--target", path, "-o", "out")
    with open("out/report.html", encoding="utf-8") as file:
        text = file.read()
    said, program = read_page(text), snncc.load("out")
    cut = program.about.reports[Cut]
    cores, least = cut.cores, max(cut.cores_at_least.values())
    chips = -(-cores // 8)
    assert chips > 1
    assert f"{cores} cores on {chips} chips of mine. No mapping needs fewer than {least}:" in said
    mean = cut.utilisation["neurons"]["mean"]
    assert f"neurons 100 {100 * mean:.1f} %" in said
    for words in ("words of synapse memory 16,384", "if placed at random", "on the mean link"):
        assert words in said
    assert text.count("<title>core ") == cores
    for place in program.scheduled.places.values():
        assert place.name in said
    for line in result.stdout.splitlines()[1:-1]:
        assert line.split(maxsplit=1)[1].strip()[-30:] in said


def test_the_report_of_what_lies_on_no_cores(run, model, read_page):
    assert run("compile", model, "--target", "loihi", "-o", "out").exit_code == 0
    with open("out/report.html", encoding="utf-8") as file:
        said = read_page(file.read())
    for words in ("SNN404 note", "pass --keep-aap", "The network", "stem_sn neuron"):
        assert words in said
    assert "mesh" not in said


@pytest.mark.slow
def test_a_chip_of_ones_own_goes_into_the_program(run, model, data, tmp_path):
    path = chip(tmp_path / "mine.toml", neurons=100, synapse_j=1000)
    result = run("compile", model, "--target", "mine.toml", "-o", "out")
    assert result.exit_code == 0, result.output
    path.unlink()
    shutil.move("out", "moved")
    cores = snncc.load("moved").scheduled.mapping
    neurons = sum(core.size for core in cores.core_of.values())
    assert len(cores.cores) >= neurons / 100
    result = run("simulate", "moved", "--input", data, "--backend", "cycle")
    assert result.exit_code == 0, result.output
    assert run("targets").stdout.count("synapse_j") == 2


@pytest.mark.parametrize("given", [("compile", "-o", "out"), ("check",), ("show",)])
def test_a_chip_file_with_a_mistake_is_one_sentence(refused, model, tmp_path, given):
    path = tmp_path / "mine.toml"
    path.write_text(LOIHI1.replace("neurons = { value = 1024", "neurons = { value = nan"))
    name, *more = given
    said = "mine.toml has neurons = nan, and that is no finite number"
    refused(name, model, "--target", path, *more, said=said)
    refused("targets", path, said=said)
    path.unlink()
    refused(name, model, "--target", path, *more, said="cannot be read: No such file")


@pytest.mark.slow
def test_hops_between_chips_have_their_own_time_and_energy(run, model, data, tmp_path):
    path = chip(tmp_path / "mine.toml", neurons=100, tile_columns=1, tile_rows=1, chips=16)
    assert run("compile", model, "--target", path, "-o", "out").exit_code == 0
    program, inputs = snncc.load("out"), np.load(data)["inputs"]
    mine = find_chip(str(path))
    assert program.scheduled.mapping.chips > 2

    def simulated(**changes):
        found = snncc.simulate(program, inputs, level="cycle", chip=replace(mine, **changes))
        return found.timing

    plain = simulated()
    crossings = int(plain.totals.link_packets.sum())  # a chip is one tile here
    assert crossings > 1000
    dearer = simulated(hop_chip_j=mine.hop_chip_j + 1e-9)
    assert dearer.energy_j - plain.energy_j == pytest.approx(crossings * 1e-9)
    assert dearer.time_ns == plain.time_ns
    assert simulated(hop_chip_s=1e-6).time_ns > plain.time_ns + 900 * plain.totals.steps / 2
    other = simulated(hop_ew_s=1e-6, hop_ns_s=1e-6, hop_ew_j=1.0, hop_ns_j=1.0)
    assert (other.time_ns, other.energy_j) == (plain.time_ns, plain.energy_j)
    columns, rows = board(program.scheduled.mapping.chips)
    later = simulated(barrier_next_s=mine.barrier_next_s + 1e-6)
    assert later.time_ns - plain.time_ns == pytest.approx(
        1000 * (columns + rows - 2) * plain.totals.steps
    )


@pytest.mark.slow
def test_what_is_assumed_of_a_chip_is_said(run, model, tmp_path):
    path = chip(tmp_path / "mine.toml", synapse_j=1)
    text = path.read_text()
    there = 'synapse_j = { value = 1, unit = "pJ", source = "davies" }'
    assert there in text
    path.write_text(text.replace(there, there.replace("davies", "assumed")))
    result = run("targets", path)
    assert "synapse_j         1e-12 J (assumed)" in result.stdout
    assert "11 of 41 constants are assumed, the others have a source" in result.stdout
    result = run("compile", model, "--target", path, "-o", "out")
    assert "constants    11 of the chip's 41 are assumed (snncc targets" in result.stdout


def test_check_says_what_does_not_fit(run, model, tmp_path):
    chip(tmp_path / "mine.toml", fan_in_lists=8, synapse_words=4)
    result = run("check", model, "--target", "mine.toml")
    assert result.exit_code == 1, result.output
    assert {"SNN204", "SNN205"} <= set(re.findall(r"SNN\d+", result.stdout))
    assert run("check", model, "--target", "loihi1").exit_code == 0


def test_a_chip_file_that_is_wrong(refused, run, model, tmp_path):
    refused("compile", model, "--target", "none.toml", said="none.toml cannot be read")
    chip(tmp_path / "mine.toml", neurons=0)
    refused("compile", model, "--target", "mine.toml", said="that is at least 1")


@pytest.mark.slow
def test_export_writes_the_files_of_sanafe(run, model, data, tmp_path):
    chip(tmp_path / "mine.toml", largest_delay=0)
    assert run("compile", model, "--target", "mine.toml", "-o", "out").exit_code == 0
    result = run("export", "--format", "sanafe", "out", "-o", "files", "--input", data)
    assert result.exit_code == 0, result.output
    with open("files/network.yaml") as file:
        text = file.read()
    spikes = int(np.load(data)["inputs"][:, 0].sum())
    assert text.count("true") - text.count("log_spikes: true") == spikes
    mapping = snncc.load("out").scheduled.mapping
    assert text.count("# ") == len(mapping.core_of)
    with open("files/architecture.yaml") as file:
        assert "energy_process_spike: 2.36e-11" in file.read()


@pytest.mark.slow
def test_export_encodes_images(run, refused, model, tmp_path):
    """The file has the spikes that --encode makes of the first image, of a DIR and a MODEL."""
    chip(tmp_path / "mine.toml", largest_delay=0)
    assert run("compile", model, "--target", "mine.toml", "-o", "out").exit_code == 0
    images = np.random.default_rng(1).random((3, 2, 8, 8)).astype(np.float32)
    np.save("images.npy", images)
    spikes = [Poisson(3)(image, number, 5) for number, image in enumerate(images)]
    np.save("spikes.npy", np.stack(spikes, 1))

    def written(what, *arguments):
        arguments = (*arguments, "--target", "mine.toml") if what == model else arguments
        result = run("export", "--format", "sanafe", what, "-o", "files", *arguments)
        assert result.exit_code == 0, result.output
        return Path("files/network.yaml").read_text()

    encode = ("--data", "images.npy", "--encode", "poisson")
    known = written("out", "--data", "spikes.npy")
    assert known.count("true") - known.count("log_spikes: true") == spikes[0].sum()
    assert written("out", *encode, "--seed", 3) == known
    assert written(model, *encode, "--seed", 3) == known
    assert written("out", *encode, "--seed", 4) != known
    shutil.rmtree("files")
    export = ("export", "--format", "sanafe", "out", "-o", "files")
    refused(*export, "--encode", "poisson", said="--encode goes with --data")
    refused(*export, "--data", "images.npy", said="the model takes (5, N, 2, 8, 8)")


@pytest.mark.slow
def test_export_refuses_delays(run, model):
    assert run("compile", model, "--target", "loihi1", "-o", "out").exit_code == 0
    result = run("export", "--format", "sanafe", "out", "-o", "files")
    assert result.exit_code == 1
    assert "the projection stem_sn -> stages.0.0.gate.sub takes 3 steps" in result.stderr
    assert "compile for a chip file with largest_delay 0" in result.stderr
    assert not Path("files").exists()


@pytest.mark.slow
def test_export_refuses_hops_between_chips_that_cost_more(run, model, tmp_path):
    one_tile = {"tile_columns": 1, "tile_rows": 1, "neurons": 100, "largest_delay": 0}
    alike = {f"hop_{way}_{unit}": 5 for way in ("ew", "ns", "chip") for unit in "sj"}
    for hops, code in ((alike, 0), (alike | {"hop_chip_j": 6}, 1)):
        chip(tmp_path / "mine.toml", **one_tile, **hops)
        assert run("compile", model, "--target", "mine.toml", "-o", "out").exit_code == 0
        result = run("export", "--format", "sanafe", "out", "-o", "files")
        assert result.exit_code == code, result.output
    assert "chips, and all hops of SANA-FE cost the same" in result.stderr


@pytest.mark.slow
def test_export_needs_a_program_with_cores(refused, program):
    refused(
        "export", "--format", "sanafe", program, "-o", "files",
        said="is compiled for loihi and lies on no cores",
    )  # fmt: skip
