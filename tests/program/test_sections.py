"""What the report says of a program stands in its manifest, number for number."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_program import on_a_chip

import snncc
from snncc.program.sections import sections
from snncc.program.sections.layers import MOST, layers
from snncc.report import Table
from snncc.verification.elsewhere import Opinion


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A program in whole numbers on a chip; its tables, and its manifest as it was written."""
    program, _ = on_a_chip()
    path = tmp_path_factory.mktemp("program") / "p"
    program.save(path)
    return program, path, json.loads((path / "manifest.json").read_text())


def tables(program) -> dict[str, Table]:
    return {table.title: table for each in sections(program) for table in each.tables}


def test_the_folder_has_the_values_beside_the_page(compiled):
    program, path, manifest = compiled
    said = json.loads((path / "report.json").read_text())
    stored = {t["title"]: t["rows"] for s in said["sections"] for t in s["tables"]}
    whole = sections(program, manifest["processes"])
    for title, table in ((t.title, t) for each in whole for t in each.tables):
        assert stored[title] == [list(row) for row in table.rows]
    assert said["title"] == "DualStreamResNet for loihi1"
    page = (path / "report.html").read_text()
    assert page.count("<svg") == sum(len(each.pictures) for each in sections(program))
    assert len(page) < 3_000_000


def test_whole_numbers(compiled):
    program, _, manifest = compiled
    report = manifest["reports"]["quantize"]
    table = tables(program)["whole numbers by layer"]
    for row, (layer, *_rest) in zip(report["populations"], table.rows, strict=True):
        assert row["population"] == layer
    for title, key in {
        "weight range used": "weight range", "SNR of weights": "weight SNR dB",
        "membrane range used": "membrane range", "flips made": "flipped",
    }.items():  # fmt: skip
        at = table.column(title)
        assert [row[at] for row in table.rows] == [r.get(key) for r in report["populations"]]
    (made, inherited) = tables(program)["flips of all neurons"].rows
    assert made[1:] == (
        report["teacher-forced"]["flipped"], report["neuron-steps"],
        report["teacher-forced"]["part"],
    )  # fmt: skip
    assert inherited[1] == report["propagated"]["flipped"]


def test_cores_and_traffic(compiled):
    program, _, manifest = compiled
    cut, placed = manifest["reports"]["partition"], manifest["reports"]["place"]
    found = tables(program)
    assert [row[2:4] for row in found["core utilisation"].rows] == [
        (used["mean"], used["max"]) for used in cut["utilisation"].values()
    ]
    assert found["what a step waits for"].rows[1][1:3] == (placed["hops"], placed["hops at random"])
    held = found["neurons of each core"]
    assert len(held.rows) == cut["cores"]
    mapping = program.scheduled.mapping
    on = [np.concatenate([core.ravel() for core in mapping.core_of.values()])]
    for core, *_, neurons, _full, most in held.rows:
        assert neurons == int((on[0] == int(core)).sum())
        here = {name: int((c == int(core)).sum()) for name, c in mapping.core_of.items()}
        assert here[most] == max(here.values())


def test_sizes_before_and_after_each_pass(compiled):
    program, _, manifest = compiled
    rows = tables(program)["the network before and after each pass"].rows
    assert [row[0] for row in rows] == ["as traced", *manifest["passes"]]
    for row, size in zip(rows, manifest["sizes"], strict=True):
        assert row[1:6] == tuple(size.values())
    traced, last = rows[0], rows[-1]
    assert traced[2] == len(program.graph.nodes)
    assert last[1:4] == (
        "Mapped", len(program.scheduled.places), len(program.scheduled.projections),
    )  # fmt: skip
    assert last[4] == sum(math.prod(p.shape) for p in program.scheduled.populations)


def test_the_proof(compiled):
    program, _, manifest = compiled
    record, found = manifest["verification"], tables(program)
    calls = found["module against the recorded network"]
    assert [row[3] for row in calls.rows] == [c["neuron-steps"] for c in record["module"]["calls"]]
    assert [row[:2] for row in found["both sides of each pass"].rows] == [
        (each["pass"], each["neuron-steps"]) for each in record["passes"]
    ]


def test_findings_have_their_help(compiled):
    program, _, manifest = compiled
    rows = tables(program)["findings"].rows
    assert [(row[0], row[2], row[4]) for row in rows] == [
        (f["code"], f["message"], f["help"]) for f in manifest["findings"]
    ]


def test_a_large_network_is_folded_by_stage():
    class Deep(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = torch.nn.ModuleList(
                torch.nn.ModuleList(torch.nn.ModuleList([torch.nn.Linear(3, 3), snncc.nn.IF()])
                                    for _ in range(10))
                for _ in range(5)
            )  # fmt: skip

        def forward(self, x):
            for stage in self.stages:
                for linear, neuron in stage:
                    x = neuron(linear(x))
            return x

    program = snncc.compile(
        Deep().eval(), np.ones((4, 1, 3)), "reference", input="spike", verify=False
    )
    section = layers(program)
    (overview, *stages) = section.pictures
    assert len(program.network.places) > 50 > MOST
    assert "in 7 stages" in overview.says
    assert [p.title for p in stages] == [f"stages.{k}" for k in range(5)]
    assert all(p.folded for p in stages)
    drawn = [len(p.spec["layer"][1]["data"]["values"]) for p in stages]
    assert drawn == [10] * 5
    assert len(section.tables[0].rows) == len(program.network.places)


def test_what_another_program_said_of_the_file_is_in_the_proof(compiled):
    program, *_ = compiled
    record = replace(program.about.verification, elsewhere=Opinion(9, 2))
    about = replace(program.about, verification=record)
    (section,) = (s for s in sections(replace(program, about=about)) if s.key == "verification")
    said = "onnxruntime ran the file, too: the outputs of 2 of 9 samples differ, 2 of them by "
    assert f"{said}rounding." in section.says
