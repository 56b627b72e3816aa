"""What the report says of a run is what the run found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import snncc
from snncc import run_report
from snncc.ir.work import CMOS_45NM
from snncc.simulation import simulate

STEPS, SAMPLES = 5, 7


@pytest.fixture(scope="module", params=[None, 8], ids=["floats", "whole"])
def found(request):
    torch.manual_seed(0)
    module = snncc.nn.DualStreamResNet(
        in_channels=2, classes=4, widths=[4, 6], blocks=[1, 1], gate="or"
    ).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.fill_(1.5)
            part.bias.data.fill_(0.2)
    inputs = (np.random.default_rng(0).random((STEPS, SAMPLES, 2, 8, 8)) < 0.4).astype(np.uint8)
    program = snncc.compile(module, inputs, input="spike", verify=False, weight_bits=request.param)
    simulation = simulate(program, inputs)
    labels = np.arange(SAMPLES) % 4
    samples = {2: program.arrange(inputs[:, 2:3])}
    sections = run_report.sections(program, simulation, "data", labels, samples)
    tables = {table.title: table for section in sections for table in section.tables}
    return program, simulation, labels, inputs, tables


def test_accuracy_and_confusion(found):
    _, simulation, labels, _, tables = found
    right = int((simulation.result.logits.argmax(1).numpy() == labels).sum())
    assert tables["accuracy"].rows[0] == ("accuracy", right, SAMPLES, right / SAMPLES)
    counts = simulation.confusion(labels)
    said = {(label, answer): count for label, answer, count in tables["confusion"].rows}
    pairs = [(i, j) for i in range(4) for j in range(4) if counts[i, j]]
    assert said == {(str(i), str(j)): counts[i, j] for i, j in pairs}


def test_of_many_classes_the_most_frequent_wrong_answers_are_drawn():
    counts = np.diag(np.full(1000, 5))
    counts[7, 8], counts[999, 0] = 2, 3
    table = run_report._confusion(counts)
    assert len(table.rows) == 1002
    picture = run_report._confused(counts, table)
    drawn = [row["says"] for row in picture.spec["data"]["values"]]
    assert drawn == ["999 taken for 0: 3", "7 taken for 8: 2"]


def test_spikes_and_work_by_layer_add_up(found):
    _, simulation, _, _, tables = found
    rows = tables["spikes by layer"].rows
    assert sum(row[3] for row in rows) * SAMPLES == pytest.approx(simulation.spikes)
    for name, _, neurons, spikes, rate in rows:
        assert rate == pytest.approx(simulation.sent[name] / (neurons * STEPS * SAMPLES))
        assert spikes == simulation.sent[name] / SAMPLES
    whole, before = simulation.after.total, simulation.before.total
    for title, total in (("a sample as compiled, by layer", whole),
                         ("a sample as trained, by op", before)):  # fmt: skip
        table = tables[title]
        for column, number in (("AC", total.ac), ("MAC", total.mac)):
            at = table.column(column)
            assert sum(row[at] for row in table.rows) * SAMPLES == pytest.approx(number)
    (trained, compiled, *_) = tables["a sample in all"].rows
    assert trained[1:4] == (before.ac / SAMPLES, before.mac / SAMPLES, before.updates / SAMPLES)
    assert trained[4] == CMOS_45NM(before) / SAMPLES
    assert compiled[1] == whole.ac / SAMPLES


def test_flips_are_those_of_the_run(found):
    _, simulation, _, _, tables = found
    title = "flips by layer, with all that earlier flips change"
    if simulation.rounding is None:
        assert title not in tables
    else:
        assert dict(tables[title].rows) == simulation.rounding.flips


def test_a_sample_has_the_spikes_of_the_run_and_membranes_that_explain_them(found):
    program, _, _, inputs, tables = found
    run = program.run(inputs[:, 2:3])
    rates = {(layer, step): rate for step, layer, rate in tables["rate by layer and step"].rows}
    for place in program.network.populations:
        spikes = run.spikes[place.name][:, 0].double()
        for step in range(STEPS):
            assert rates[place.name, step] == pytest.approx(float(spikes[step].mean()))
    for layer, step, neuron in tables["spikes"].rows:
        assert run.spikes[layer][step, 0].flatten()[neuron] == 1
    membranes = tables["membranes before reset"].rows
    assert membranes
    strict = program.network.is_fixed  # Loihi fires above the threshold
    for layer, neuron, step, v, threshold, spike in membranes:
        assert spike == run.spikes[layer][step, 0].flatten()[neuron]
        assert spike == (v > threshold if strict else v >= threshold)
