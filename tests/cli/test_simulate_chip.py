"""snncc simulate --backend cycle: what a run takes on a chip, its files and its page."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import snncc
from snncc.ir.mapping import Mapping


@pytest.fixture(scope="module")
def mapping(program, tmp_path_factory):
    """Every place on a core of its own, as many as it needs."""
    path = tmp_path_factory.mktemp("mapping") / "mapping.npz"
    spread(snncc.load(program).scheduled).save(path)
    return path


def spread(network, size=64):
    cores, first = {}, 0
    for name, shape in network.on_chip.items():
        count = int(np.prod(shape))
        cores[name] = (first + np.arange(count) // size).reshape(shape)
        first += -(-count // size)
    return Mapping(1, cores)


def test_it_prints_time_and_energy_beside_the_accuracy(run, program, data, mapping):
    result = run("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    assert result.exit_code == 0, result.output
    assert re.search(r"accuracy +83.33%", result.stdout)
    for title in ("time per step", "energy per sample", "critical core", "waiting for the network"):
        assert re.search(rf"  {title} +\d", result.stdout), title
    assert "every packet timed" in result.stdout


@pytest.mark.slow
def test_a_model_is_mapped_to_the_chip_on_the_way(run, model, data):
    given = ("simulate", model, "--input", data, "--backend", "cycle", "--limit", 2)
    for chip, more in (("loihi1", ()), ("loihi2", ("--chip", "loihi2"))):
        result = run(*given, *more)
        assert result.exit_code == 0, result.output
        assert f"on 1 × {chip}" in result.stdout


def test_count_level_takes_no_longer_and_the_same_energy(run, program, data, mapping):
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    said = {}
    for level in ("cycle", "count"):
        result = run(*given, "--level", level, "--timing", f"{level}.json", "--workers", 2)
        assert result.exit_code == 0, result.output
        with open(f"{level}.json") as file:
            said[level] = json.load(file)
    cycle, count = said["cycle"], said["count"]
    assert count["total"]["time_ns"] <= cycle["total"]["time_ns"]
    assert cycle["total"]["count_level_time_ns"] == pytest.approx(count["total"]["time_ns"])
    assert count["total"]["energy_j"] == pytest.approx(cycle["total"]["energy_j"])
    assert sum(place["energy_j"] for place in cycle["places"]) == pytest.approx(
        cycle["total"]["energy_j"]
    )
    assert len(cycle["step"]["time_ns"]) == cycle["steps"] == 6 * 5 + cycle["lag"]


def test_the_api_gives_the_same_as_the_command(run, program, data, mapping):
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    assert run(*given, "--timing", "run.npz").exit_code == 0
    inputs = np.load(data)["inputs"]
    found = snncc.simulate(
        snncc.load(program), inputs, level="cycle", mapping=Mapping.load(mapping)
    )
    with np.load("run.npz") as saved:
        np.testing.assert_allclose(saved["step_ns"], found.timing.steps.time_ns)
        np.testing.assert_allclose(saved["core_j"], found.timing.steps.core_j)
        assert saved["places"].tolist() == [place.name for place in found.timing.wiring.places]
    assert found.time_ns == pytest.approx(found.timing.steps.time_ns.sum())
    assert found.energy_j == pytest.approx(sum(found.timing.parts_j.values()))


def test_the_report_is_one_whole_page_that_fetches_nothing(run, program, data, mapping, read_page):
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    result = run(*given, "--report", "run.html")
    assert result.exit_code == 0, result.output
    with open("run.html") as file:
        text = file.read()
    said = read_page(text)
    for words in ("accuracy: 83.33 % (5 of 6)", "Findings", "Layers on the chip", "links in use"):
        assert words in said
    for place in snncc.load(program).scheduled.populations:
        assert place.name in said


def test_a_long_run_shows_its_first_steps_and_says_so(
    run, program, data, mapping, read_page, monkeypatch
):
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    files = ("--timing", "run.npz", "--report", "run.html")
    whole = run(*given, *files)
    with np.load("run.npz") as saved:
        everything = dict(saved)
    monkeypatch.setattr("snncc.backends.cycle.replay.SERIES", 20)
    assert run(*given, *files).stdout == whole.stdout
    with np.load("run.npz") as saved:
        assert len(saved["step_ns"]) == len(saved["events"]) == 20
        about = json.loads(str(saved["about"]))
        np.testing.assert_array_equal(saved["core_j"], everything["core_j"][:20])
        np.testing.assert_array_equal(saved["total_core_j"], everything["total_core_j"])
        np.testing.assert_array_equal(saved["total_events"], everything["events"].sum(0))
    steps = 6 * 5 + about["lag"]
    assert (about["steps"], about["steps_shown"]) == (steps, 20)
    with open("run.html") as file:
        assert f"The first 20 of {steps} steps." in read_page(file.read())


def test_the_report_escapes_names(program, data, mapping):
    from snncc.backends.cycle.report import sections
    from snncc.report import page

    found = snncc.simulate(
        snncc.load(program), np.load(data)["inputs"], level="count", mapping=Mapping.load(mapping)
    )
    evil = '<script>alert("x")</script>'
    places = tuple(replace(place, name=evil) for place in found.timing.wiring.places)
    timing = replace(found.timing, wiring=replace(found.timing.wiring, places=places))
    text = page(evil, sections(timing))
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;") >= 2 + len(places)


def test_what_does_not_belong_together_is_refused(refused, program, data, mapping, tmp_path):
    start = ("simulate", program, "--input", data)
    refused(*start, "--timing", "x.json", said="belongs to --backend cycle")
    refused(*start, "--report", program / "report.html", said="name a file outside")
    on_cycle = (*start, "--backend", "cycle", "--mapping", mapping)
    refused(*on_cycle, "--timing", "x.csv", said="ends in .json or .npz")
    refused(*start, "--backend", "cycle", said="SNN316")
    refused(*on_cycle, "--chip", "nowhere.toml", said="nowhere.toml")


def test_the_mapping_of_another_program_is_refused(refused, program, data, tmp_path):
    other = tmp_path / "other.npz"
    Mapping(1, {"in": np.zeros(3, np.int32)}).save(other)
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", other)
    refused(*given, said="not one of this program and chip")


def test_a_report_that_cannot_be_written_is_one_sentence(run, program, data, mapping):
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    result = run(*given, "--report", "nowhere/run.html")
    assert result.exit_code == 2
    assert "nowhere/run.html cannot be written" in result.stderr


def test_the_numbers_of_the_report_are_those_of_the_run(run, program, data, mapping):
    given = ("simulate", program, "--input", data, "--backend", "cycle", "--mapping", mapping)
    assert run(*given, "--report", "run.html", "--timing", "run.json.json").exit_code == 0
    with open("run.json") as file, open("run.json.json") as timing:
        said, about = json.load(file), json.load(timing)
    tables = {table["title"]: table["rows"] for s in said["sections"] for table in s["tables"]}
    assert [row[:5] for row in tables["time and energy by layer"]] == [
        [p["name"], p["kind"], p["neurons"], p["spikes"], p["packets"]] for p in about["places"]
    ]
    energies = [row[7] for row in tables["time and energy by layer"]]
    assert energies == [p["energy_j"] for p in about["places"]]
    spent = {name: joules for name, joules, _ in tables["where the energy goes"]}
    assert spent == {**about["total"]["energy_parts_j"], "idle chips": about["total"]["static_j"]}
    assert sum(row[2] for row in tables["packets that leave the tiles, by tile"]) == sum(
        row[1] for row in tables["links in use"]
    )
    assert [row[3] for row in tables["time and energy by step"]] == about["step"]["energy_j"]
