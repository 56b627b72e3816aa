"""quantize: its rules on small networks, and what it does to the spikes of random ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import SnnccError
from snncc.ir.interpreter import run_network
from snncc.ir.network import Network
from snncc.ir.registers import FixedNeuron, weights
from snncc.ir.text import parse_network, print_network
from snncc.passes.base import parse
from snncc.passes.quantize import Quantize
from snncc.rounding.registers import mantissa_exponent
from snncc.rounding.report import Flips


def inputs(network: Network, steps: int = 8, samples: int = 6, seed: int = 0):
    source = torch.Generator().manual_seed(seed)
    return {
        s.name: (torch.rand(steps, samples, *s.shape, generator=source) < 0.4).double()
        if s.kind == "spike"
        else torch.randint(0, 4, (steps, samples, *s.shape), generator=source).double()
        for s in network.sources
    }


def tensors(seed: int = 0, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    source = np.random.default_rng(seed)
    return {name: source.normal(size=shape) for name, shape in shapes.items()}


def quantized(network: Network, **options) -> Network:
    outcome = Quantize(**options)(network)
    assert outcome.ok, outcome.findings
    assert outcome.form.is_fixed
    text = print_network(outcome.form)
    assert print_network(parse_network(text, outcome.form.tensors)) == text
    return outcome.form


def flips(before: Network, after: Network, data) -> tuple[int, int]:
    """Teacher-forced flips, and the spikes compared."""
    taught = run_network(before, data).spikes
    run = run_network(after, data, forced={p.name: taught[p.name] for p in before.populations})
    assert any(0 < float(taught[p.name].mean()) < 1 for p in before.populations)
    return run.mismatches, run.compared


def registers_of(network: Network, name: str) -> FixedNeuron:
    neuron = network.places[name].neuron
    assert isinstance(neuron, FixedNeuron)
    return neuron


# -- gates -----------------------------------------------------------------------------------------

GATES = """network gates {
  source %x [4] spike
  source %y [4] spike
  relay %relay [4] {decay=0.0}
    %x -> %relay
  gate %and [4] {decay=0.0, threshold=2.0}
    %x -> %and
    %y -> %and
  gate %not [4] {decay=0.0, threshold=0.0}
    %x -> %not > scale{factor=-1.0}
  gate %biased [4] {decay=0.0, threshold=1.5, bias=-1.0}
    %x -> %biased > scale{factor=3.0}
    %y -> %biased > scale{factor=-1.0}
  neuron %many [4] {decay=0.0, threshold=@each}
    %x -> %many > dense{weight=@ones}
  readout %0 [4] {}
    %and -> %0
    %not -> %0 > scale{factor=3.0}
    %relay -> %0
    %biased -> %0
    %many -> %0
  tensor @each float64 [4] = [1.0, 2.0, -3.0, 99.0]
  tensor @ones float64 [4,4] = [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0], [-1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
}"""  # noqa: E501


@pytest.mark.parametrize("options", [{}, {"thresholds": "layer"}, {"weight_bits": 5}])
def test_gates_are_exact(options):  # rules 1 and 5
    before = parse_network(GATES)
    data = inputs(before, steps=40)
    after = quantized(before, **options)
    expected, found = run_network(before, data), run_network(after, data)
    for name in ("relay", "and", "not", "biased", "many"):
        assert torch.equal(expected.spikes[name], found.spikes[name]), name
    torch.testing.assert_close(found.outputs["0"], expected.outputs["0"])
    if options.get("thresholds") == "layer":
        assert all(isinstance(registers_of(after, p.name).vth, int) for p in after.populations)


def test_gates_double_their_weights():  # rule 1
    after = quantized(parse_network(GATES))
    assert registers_of(after, "relay") == FixedNeuron(1, 4095)
    assert registers_of(after, "and") == FixedNeuron(3, 4095)
    assert registers_of(after, "not") == FixedNeuron(1, 4095, bias_mant=2)
    # v - 1 >= 1.5 is v >= 3 on whole sums.
    assert registers_of(after, "biased") == FixedNeuron(5, 4095)
    assert [op.factor for p in after.incoming["biased"] for op in p.map] == [6.0, -2.0]


@pytest.mark.parametrize(("fan_in", "dv"), [(31, 4095), (32, 4096)])
def test_a_full_decay_forgets_small_membranes_only(fan_in, dv):  # rule 5
    text = f"network t {{\n source %x [{fan_in}] spike\n gate %g [1] {{decay=0.0}}\n"
    text += "  %x -> %g > dense{weight=@w}\n}"
    after = quantized(parse_network(text, {"w": np.ones((1, fan_in))} | {}) if fan_in > 64 else
                      parse_network(text.replace("\n}", f"\n tensor @w float64 [1,{fan_in}] = "
                                                 f"{[[1.0] * fan_in]}\n}}")))  # fmt: skip
    assert registers_of(after, "g").dv == dv


# -- scales ----------------------------------------------------------------------------------------

LAYER = """network layer {
  source %x [2,5,5] spike
  source %y [3,5,5] spike
  neuron %a [3,5,5] {NEURON}
    %x -> %a > conv{weight=@w, padding=(1, 1)}
    %y -> %a > scale{factor=0.5}
  readout %0 [2] {bias=@b, over_time='none'}
    %a -> %0 > reshape{shape=(75,)} > dense{weight=@v}
  tensor @theta float64 [3,1,1] = [[[1.0]], [[0.5]], [[4.0]]]
  tensor @b float64 [2] = [0.25, -3.0]
  tensor @w float64 [3,2,3,3]
  tensor @v float64 [2,75]
}"""
NUMBERS = tensors(w=(3, 2, 3, 3), v=(2, 75))


def layer(neuron: str) -> Network:
    return parse_network(LAYER.replace("NEURON", neuron), NUMBERS)


def weight(network: Network, source: str, target: str) -> np.ndarray:
    (projection,) = [p for p in network.incoming[target] if p.source == source]
    (number,) = (n for op in projection.map if (n := weights(op)) is not None)
    return np.asarray(network.tensors[number] if isinstance(number, str) else number)


def test_a_channel_has_a_scale_that_all_its_projections_share():  # rules 2 and 3
    after = quantized(layer("threshold=@theta"))
    w, beside = weight(after, "x", "a"), weight(after, "y", "a")
    assert w.dtype == beside.dtype == np.int16
    for channel in range(3):
        exact = NUMBERS["w"][channel]
        most = max(exact.max() / 254, -exact.min() / 256)
        np.testing.assert_array_equal(w[channel], 2 * np.rint(exact / most / 2))
        assert beside[channel].item() == 2 * round(0.5 / most / 2)
        assert {abs(w[channel]).max()} <= {254, 256}
    theta = after.tensors[registers_of(after, "a").vth].ravel()
    assert len(set(theta)) == 3


def test_one_threshold_has_the_others_in_the_weights():  # rules 2 and 3
    after = quantized(layer("threshold=@theta"), thresholds="layer")
    neuron = registers_of(after, "a")
    assert isinstance(neuron.vth, int)
    w = weight(after, "x", "a")
    ratio = NUMBERS["w"] / np.array([1.0, 0.5, 4.0]).reshape(3, 1, 1, 1)
    most = max(ratio.max() / 254, -ratio.min() / 256)
    np.testing.assert_array_equal(w, 2 * np.rint(ratio / most / 2))
    assert abs(neuron.vth - 1 / most) <= 1
    data = inputs(after)
    flipped, compared = flips(layer("threshold=@theta"), after, data)
    assert flipped < 0.01 * compared


def test_fewer_bits_are_coarser():
    after = quantized(layer(""), weight_bits=4)
    assert set(weight(after, "x", "a").ravel() % 32) == {0}
    assert weight(after, "x", "a").max() <= 224


def test_shared_weights_stay_shared():
    text = """network t {
      source %x [4] spike
      source %y [4] spike
      neuron %a [3] {}
        %x -> %a > dense{weight=@w}
        %y -> %a > dense{weight=@w}
      tensor @w float64 [3,4]
    }"""
    after = quantized(parse_network(text, tensors(w=(3, 4))))
    assert len({p.map[0].weight for p in after.projections}) == 1


EXACT = """network exact {
  source %x [2,4,4] spike
  neuron %pooled [2,2,2] {threshold=THETA}
    %x -> %pooled > conv{weight=@quarter, stride=(2, 2), groups=2}
    %pooled -> %0
  readout %0 [2,2,2] {}
  tensor @quarter float64 [2,1,2,2] = [[[[0.25, 0.25], [0.25, 0.25]]], [[[0.25, 0.25], [0.25, 0.25]]]]
}""".replace("    %pooled -> %0\n  readout %0 [2,2,2] {}\n", "  readout %0 [2,2,2] {}\n    %pooled -> %0\n")  # fmt: skip # noqa: E501


@pytest.mark.slow
@pytest.mark.parametrize("theta", ["1.0", "0.75", "1.1", repr(float(np.nextafter(1, 2)))])
@pytest.mark.parametrize("options", [{}, {"thresholds": "layer"}])
def test_weights_of_one_size_lose_nothing(theta, options):  # rules 3 and 4
    before = parse_network(EXACT.replace("THETA", theta))
    data = inputs(before, steps=20)
    for calibration in (None, inputs(before, seed=1)):
        after = quantized(before, calibration=calibration, **options)
        assert flips(before, after, data)[0] == 0


# -- neurons ---------------------------------------------------------------------------------------

NEURONS = {
    "leaky": "decay=0.5, threshold=@theta",
    "slow": "decay=0.9, threshold=2.0, bias=0.1",
    "soft": "threshold=1.5, reset='soft'",
    "leaky-soft": "decay=0.75, threshold=1.5, bias=-0.05, reset='soft'",
    "current": "decay=0.9, threshold=3.0, current_decay=0.6, bias=0.02",
    "late": "decay=0.8, threshold=1.5, reset='soft', when='next'",
    "both": "decay=0.8, threshold=1.5, reset='soft', when='both'",
    "never": "decay=0.9, threshold=2.0, reset='none'",
    "begun": "threshold=2.0, initial=-0.5",
    "gate": "decay=0.0, threshold=0.7, bias=@bias",
    "below": "decay=0.0, threshold=-0.3",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURONS)
def test_every_kind_of_neuron_keeps_its_spikes(name):
    before = layer(NEURONS[name].replace("@bias", "0.3"))
    data = inputs(before, steps=12, samples=20)
    calibrated = quantized(before, calibration=inputs(before, samples=10, seed=1))
    blind = quantized(before)
    for after in (calibrated, blind):
        flipped, compared = flips(before, after, data)
        assert flipped < 0.005 * compared
    neuron = registers_of(blind, "a")
    assert (neuron.reset, neuron.when) == (before.places["a"].neuron.reset,
                                           before.places["a"].neuron.when)  # fmt: skip


def test_decays_are_parts_of_4096():  # rule 5
    neuron = registers_of(quantized(layer(NEURONS["current"])), "a")
    assert (neuron.dv, neuron.du, neuron.bias_into) == (410, 1637, "current")
    assert registers_of(quantized(layer(NEURONS["leaky"])), "a").dv == 2048
    gate = registers_of(quantized(layer("decay=0.0, threshold=0.7")), "a")
    assert (gate.dv, gate.is_memoryless) == (4096, True)


def test_a_bias_has_the_smallest_exponent_that_fits():
    small = registers_of(quantized(layer("threshold=1.0, bias=0.001")), "a")
    large = quantized(layer("threshold=1.0, bias=-1.0"))
    assert small.bias_exp == 0
    assert registers_of(large, "a").bias_exp != 0
    mantissa, exponent = mantissa_exponent(np.array([0.4, -4096.0, 4095.4, 4096.0, -9000.0, 5e5]))
    np.testing.assert_array_equal(mantissa, [0, -4096, 4095, 2048, -2250, 3906])
    np.testing.assert_array_equal(exponent, [0, 0, 0, 1, 2, 7])


@pytest.mark.slow
def test_data_flips_fewer_spikes():  # rules 3, 4 and 6
    before = layer("decay=0.9, threshold=@theta, bias=0.05")
    data = inputs(before, steps=20, samples=200, seed=3)
    blind = flips(before, quantized(before), data)[0]
    tuned = flips(before, quantized(before, calibration=inputs(before, samples=60, seed=4)), data)[
        0
    ]
    assert 0 < tuned < blind


def test_a_readout_is_divided_by_its_scale():  # rule 7
    before = layer("threshold=2.0")
    data = inputs(before)
    for calibration in (None, data):
        after = quantized(before, calibration=calibration)
        readout = after.places["0"]
        assert after.tensors[readout.unit].shape == (2,)
        taught = {"a": run_network(before, data).spikes["a"]}
        expected = run_network(before, data, forced=taught).outputs["0"]
        found = run_network(after, data, forced=taught).outputs["0"]
        assert float((found - expected).abs().max()) < 0.02 * float(expected.abs().max())


ENCODED = """network encoded steps=6 {
  encoder %image [3] static
    graph g {
      %pixels = input{kind='analog'} : static [3] real
      head current = %pixels
    }
  source %x [3] spike
  neuron %only [3] {threshold=@theta}
    %image -> %only > scale{factor=@gain}
  neuron %both [3] {decay=0.9, threshold=1.0}
    %image -> %both
    %x -> %both > scale{factor=0.3}
  readout %0 [3] {}
    %only -> %0
    %image -> %0
  tensor @theta float64 [3] = [1.0, 2.0, 0.25]
  tensor @gain float64 [3] = [1.0, -0.5, 2.0]
}"""


@pytest.mark.parametrize("options", [{}, {"thresholds": "layer"}])
def test_currents_from_the_host_are_scaled_alike(options):  # rule 8
    before = parse_network(ENCODED)
    data = inputs(before, steps=6, samples=50)
    data["pixels"] = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double()
    for calibration in (None, data):
        after = quantized(before, calibration=calibration, **options)
        flipped, compared = flips(before, after, data)
        assert flipped < 0.005 * compared
        # The host rounds a current to whole units, which leaves half a unit of error.
        expected, found = run_network(before, data), run_network(after, data)
        assert float((expected.outputs["0"] - found.outputs["0"]).abs().mean()) < 0.01


def test_counts_are_summed():
    text = """network t {
      source %x [6] count
      neuron %a [4] {threshold=3.0}
        %x -> %a > dense{weight=@w}
      tensor @w float64 [4,6]
    }"""
    before = parse_network(text, tensors(w=(4, 6)))
    after = quantized(before)
    flipped, compared = flips(before, after, inputs(before, steps=30))
    assert flipped < 0.01 * compared


# -- what it says ----------------------------------------------------------------------------------


def test_the_report_counts_what_happened():
    before = layer("threshold=@theta, bias=0.05")
    data = inputs(before, samples=30)
    outcome = Quantize(calibration=data)(before)
    assert outcome.findings == ()
    report = outcome.report
    assert report.calibration == "30 samples"
    row, totals = next(r for r in report.populations if r.population == "a"), report.totals
    flipped, compared = flips(before, outcome.form, data)
    assert (row.flipped, row.neuron_steps) == (flipped, compared)
    assert totals.teacher_forced == Flips(flipped, flipped / compared)
    free = run_network(outcome.form, data).spikes["a"]
    propagated = int((free != run_network(before, data).spikes["a"]).sum())
    assert totals.propagated.flipped == propagated
    assert row.saturations == row.wraps == 0
    assert 30 < row.weight_snr_db < 60
    assert row.weight_range > 0.6
    assert 0 < row.membrane_range < 0.1


def test_without_data_it_says_so():
    outcome = Quantize()(layer("threshold=@theta"))
    assert [f.code for f in outcome.findings] == ["SNN506"]
    assert outcome.report.calibration == "weights"
    assert outcome.report.totals is None


def test_membranes_that_are_held_are_reported():
    text = """network t {
      source %x [64] spike
      neuron %a [1] {threshold=200.0}
        %x -> %a > dense{weight=@w}
      tensor @w float64 [1,64]
    }"""
    before = parse_network(text, {"w": np.where(np.arange(64) < 8, 1.0, -1.0)[None]})
    data = {"x": torch.ones(60, 1, 64).double()}
    row = Quantize(calibration=data)(before).report.populations[0]
    # 60 steps of -48 · 254 units are held at -131,072.
    assert row.saturations > 0
    assert row.membrane_range == 1.0


@pytest.mark.parametrize(
    ("neuron", "options", "complaint"),
    [
        ("threshold=-1.0", {}, "population a has a threshold that is not above 0"),
        ("threshold=0.0, decay=0.5", {}, "population a has a threshold that is not above 0"),
        ("decay=1.5", {}, "population a has a decay outside 0 to 1"),
        ("current_decay=-0.5", {}, "population a has a current decay outside 0 to 1"),
        ("current_decay=0.5, current_initial=1.0", {}, "current that does not start at 0"),
        ("keep=0.5", {}, "population a has a reset that keeps a part of the membrane"),
        ("threshold=@each", {"thresholds": "layer"}, "thresholds that differ along other axes"),
    ],
)
def test_what_no_register_holds_is_refused(neuron, options, complaint):
    text = LAYER.replace("NEURON", neuron).replace(
        "  tensor @b ",
        "  tensor @each float64 [1,1,5] = [[[1.0, 2.0, 3.0, 4.0, 5.0]]]\n  tensor @b ",
    )
    outcome = Quantize(**options)(parse_network(text, NUMBERS))
    assert not outcome.ok
    assert [f.code for f in outcome.findings] == ["SNN214"]
    assert complaint in outcome.findings[0].message


HOST = """
network h steps=4 {
  encoder %e [3] static
    graph g {
      %x = input{kind='analog'} : static [3] real
      head current = %x
    }
  neuron %a [3] {NEURON}
    %e -> %a
  readout %out [3] {}
    %a -> %out
}"""


@pytest.mark.parametrize("options", [{}, {"thresholds": "layer"}])
@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_currents_from_the_host_alone_need_a_threshold(options, decay):
    """A strict threshold of 0 is the smallest number above 0 here."""
    text = HOST.replace("NEURON", f"decay={decay}, threshold=5e-324")
    outcome = Quantize(**options)(parse_network(text, {}))
    assert [f.code for f in outcome.findings] == ["SNN214"]
    assert "population a has a threshold of 0" in outcome.findings[0].message


def test_a_strict_threshold_of_0_over_weights():
    before = parse_network(LAYER.replace("NEURON", "threshold=5e-324, decay=0.5"), NUMBERS)
    after = quantized(before)
    assert registers_of(after, "a").vth == 0
    outcome = Quantize(thresholds="layer")(before)
    assert [f.code for f in outcome.findings] == ["SNN214"]


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_strict_threshold_of_0_over_weights_that_are_all_0(calibrated):
    numbers = {name: 0 * tensor for name, tensor in NUMBERS.items()}
    before = parse_network(LAYER.replace("NEURON", "threshold=5e-324, decay=0.5"), numbers)
    data = inputs(before)
    after = quantized(before, calibration=data if calibrated else None)
    assert flips(before, after, data)[0] == 0


def test_thresholds_by_neuron_need_no_scale_of_their_own():
    text = LAYER.replace("NEURON", "threshold=@each").replace(
        "  tensor @b ",
        "  tensor @each float64 [1,1,5] = [[[1.0, 2.0, 3.0, 4.0, 5.0]]]\n  tensor @b ",
    )
    before = parse_network(text, NUMBERS)
    flipped, compared = flips(before, quantized(before), inputs(before, samples=20))
    assert flipped < 0.005 * compared


def test_it_is_a_pass_with_options():
    assert str(Quantize()) == str(Quantize(calibration={})) == "quantize"
    assert parse("quantize{weight-bits=6,thresholds=layer}") == Quantize(6, "layer")
    for options in ({"weight_bits": 9}, {"thresholds": "neuron"}):
        with pytest.raises(SnnccError, match="SNN316: quantize: "):
            Quantize(**options)(layer(""))
    with pytest.raises(SnnccError, match="no option 'calibration'"):
        parse("quantize{calibration=1}")


# -- random networks -------------------------------------------------------------------------------


# The same networks each time: with one threshold per layer and no data one in 120 flips more.
@pytest.mark.slow
@settings(max_examples=25, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from(["channel", "layer"]), st.booleans())
def test_random_layers_keep_most_spikes(seed, thresholds, calibrated):
    random = np.random.default_rng(seed)
    numbers = {
        "w": random.normal(size=(4, 3, 3, 3)) * random.choice([0.0, 0.1, 1.0], (4, 1, 1, 1)),
        "v": random.normal(size=(5, 144)),
        "theta": random.choice([0.3, 1.0, 5.0], (4, 1, 1)),
        "bias": random.normal(size=(4, 1, 1)) * random.choice([0.0, 0.3]),
    }
    decay, reset = random.choice([1.0, 0.9, 0.5]), random.choice(["hard", "soft"])
    text = f"""network t {{
      source %x [3,6,6] spike
      neuron %a [4,6,6] {{threshold=@theta, bias=@bias, decay={decay}, reset='{reset}'}}
        %x -> %a > conv{{weight=@w, padding=(1, 1)}}
      neuron %b [5] {{threshold=3.0, decay={decay}}}
        %a -> %b > reshape{{shape=(144,)}} > dense{{weight=@v}}
      readout %0 [5] {{}}
        %b -> %0
      tensor @w float64 [4,3,3,3]
      tensor @v float64 [5,144]
      tensor @theta float64 [4,1,1] = {numbers["theta"].tolist()}
      tensor @bias float64 [4,1,1] = {numbers["bias"].tolist()}
    }}"""
    before = parse_network(text, numbers)
    calibration = inputs(before, seed=1) if calibrated else None
    after = quantized(before, thresholds=thresholds, calibration=calibration)
    data = inputs(before, steps=10, samples=10)
    taught = run_network(before, data).spikes
    forced = {p.name: taught[p.name] for p in before.populations}
    run = run_network(after, data, forced=forced)
    assert run.mismatches < (0.01 if thresholds == "channel" else 0.03) * run.compared
