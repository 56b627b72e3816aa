"""Reports of passes: values here, plain values in a manifest, and back."""

import json
import math

import pytest

from snncc.lowering.sums import Cost, CostOfSums
from snncc.mapping.reports import Cut, Placed, Schedule
from snncc.passes.fold_bn import Folded
from snncc.passes.lower import Made
from snncc.passes.realise_projections import Maps, Realised
from snncc.passes.select_head import Chosen
from snncc.passes.strip_aap import Stripped
from snncc.program.about import About
from snncc.reports import Reports, Unknown
from snncc.rounding.report import Alike, Flips, Layer, Rounded, Totals

LAYER = Layer(
    population="a", role="neuron", scale=(1.0, 2.5), threshold=(63.0, 127.0), weight_range=0.9,
    weight_snr_db=41.5, membrane_range=0.1, flipped=2, neuron_steps=20, saturations=1, wraps=3,
)  # fmt: skip
READOUT = Layer(
    population="r", role="readout", scale=(1.0, 1.0), weight_range=1.0, weight_snr_db=None
)
TOTALS = Totals(
    same_class=Alike(8, 9), neuron_steps=20, teacher_forced=Flips(2, 0.1),
    propagated=Flips(3, 0.15),
)  # fmt: skip
COSTS = CostOfSums(1, Cost(2, 3), Cost(4, 5))
REPORTS = {
    "select-head": Chosen("0"),
    "strip-aap": Stripped(("fc",), (), 12),
    "lower": Made(populations=1, gates=2, projections=3, encoders=4, sums_of_spikes=COSTS),
    "fold-bn": Folded(populations_folded=1),
    "quantize": Rounded(calibration="9 samples", populations=(LAYER, READOUT), totals=TOTALS),
    "realise-projections": Maps((Realised("a", "b", 5, 4, "dense"),)),
    "place": Placed(spikes=1, hops=math.inf, hops_at_random=2.0, times_fewer=0.5),
    "partition": Cut(
        chip="c", cores=2, chips=1, cores_at_least={"neurons": 1}, largest_work_over_mean=1.0,
        mean_work=4.0, utilisation={"neurons": {"mean": 0.5, "max": 1.0}},
        places={"a": {"neurons": 3, "cores": 1}},
    ),
    "not-installed": Unknown({"counted": [1, {"two": None}]}),
}  # fmt: skip


def test_every_report_comes_back_from_json():
    about = About(reports=Reports(REPORTS))
    again = About.read(json.loads(json.dumps(about.said, allow_nan=False)))
    assert again == about
    assert again.reports[Cut].least == 1
    assert again.reports.get(Schedule) is None
    with pytest.raises(KeyError, match="Schedule"):
        again.reports[Schedule]


def test_the_words_of_a_manifest():
    said = REPORTS["quantize"].said
    assert list(said) == [
        "calibration", "populations", "same class", "neuron-steps", "teacher-forced", "propagated",
    ]  # fmt: skip
    assert said["populations"][1] == {
        "population": "r", "role": "readout", "scale": [1.0, 1.0], "weight range": 1.0,
        "weight SNR dB": None,
    }  # fmt: skip
    assert REPORTS["fold-bn"].said == {"populations folded": 1}
    assert "sums of spikes" not in Made(populations=1, gates=0, projections=0, encoders=0).said


def test_what_a_layer_says():
    assert (LAYER.overflows, LAYER.part) == (4, 0.1)
    assert (READOUT.overflows, READOUT.part) == (None, None)


@pytest.mark.parametrize(
    ("report", "complaint"),
    [
        ({}, "it has no `nodes`"),
        ([], "is no Stripped"),
        ({"nodes": [], "heads": [], "parameters": "12"}, "its `parameters` is not of the right"),
        ({"nodes": [], "heads": [], "parameters": True}, "its `parameters` is not of the right"),
        ({"nodes": [1], "heads": [], "parameters": 1}, "its `nodes` is not of the right kind"),
        ({"nodes": "fc", "heads": [], "parameters": 1}, "its `nodes` is not of the right kind"),
        ({"nodes": [], "heads": [], "parameters": 1, "more": 1}, "`more` is not known"),
    ],
)
def test_what_is_no_report(report, complaint):
    said = About().said | {"reports": {"strip-aap": report}}
    with pytest.raises(ValueError, match=f"the report of `strip-aap`: .*{complaint}"):
        About.read(said)


def test_no_reset_of_another_name():
    with pytest.raises(ValueError, match="reset is hard or soft"):
        About.read(About().said | {"options": {"reset": "never"}})
    with pytest.raises(ValueError, match="its `input` is not known"):
        About.read(About().said | {"options": {"input": "sound"}})
