"""Layers of Lava-DL against plain integers, what they compile to, and what has no form here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from net_files import even, fires, late, neuron, write
from torch.nn import functional as F

import snncc
from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.checkpoints import Said, open_model

STEPS = 24


def events(*shape: int, rate: float = 0.4) -> torch.Tensor:
    source = torch.Generator().manual_seed(sum(shape))
    return (torch.rand(STEPS, 1, *shape, generator=source) < rate).double()


def compiled(path, layers, x, **options):
    """A program whose every spike is the module's, and its run."""
    opened = open_model(write(path / "a.net", layers), said=Said(shape=tuple(x.shape[2:])))
    program = snncc.compile(opened.module, x, input="spike", layout="TN", **options)
    assert program.network.is_fixed
    run = program.run(x)
    assert snncc.compare(opened.module, program, x).equal
    return program, {name: each[:, 0].numpy().astype(int) for name, each in run.spikes.items()}


def dense(seed: int, out: int, into: int, **more) -> dict:
    own = {"neuron": neuron(), "bias": even(seed + 50, out, most=10), **more}
    return {"type": "dense", "shape": [out, 1, 1], "inFeatures": into, "outFeatures": out,
            "weight": even(seed, out, into), **own}  # fmt: skip


def varied(spikes: np.ndarray) -> bool:
    return 0.02 < spikes.mean() < 0.9


@pytest.mark.parametrize("i", [4096, 1024, 1, 4095])
@pytest.mark.parametrize("v", [0, 128, 1024, 4095, 4096])
def test_every_decay_truncates_towards_zero(tmp_path, i, v):
    """With a bias beside a synaptic current, which goes into the membrane."""
    of = neuron(i, v, theta=20)
    layer = dense(1, 6, 5, neuron=of)
    x = events(5)
    _, run = compiled(tmp_path, [layer], x, verify=i == 1024)
    expected = fires(x[:, 0].numpy() @ layer["weight"].T, of, layer["bias"])
    assert (run["dense0"] == expected).all()
    assert expected.any()


def test_the_spikes_of_the_step_before_come_back(tmp_path):
    back = even(9, 6, 6)
    layer = dense(2, 6, 5, type="dense_rec", weight_rec=back, neuron=neuron(2048, 512))
    x = events(5)
    program, run = compiled(tmp_path, [layer], x)
    currents = x[:, 0].numpy() @ layer["weight"].T
    expected = fires(currents, layer["neuron"], layer["bias"], back)
    assert (run["dense_rec0"] == expected).all()
    assert (expected != fires(currents, layer["neuron"], layer["bias"])).any()
    assert any(p.source == p.target and p.delay == 1 for p in program.network.projections)


@pytest.mark.parametrize("delays", [[3], [0, 2, 5, 2, 0, 23]])
def test_a_delay_is_one_of_a_layers_own_spikes(tmp_path, delays):
    first = dense(3, 6, 5, delay=np.array(delays, np.float32))
    second = dense(4, 4, 6, neuron=neuron(theta=5))
    x = events(5, rate=0.6)
    program, run = compiled(tmp_path, [first, second], x)
    one = fires(x[:, 0].numpy() @ first["weight"].T, first["neuron"], first["bias"])
    assert (run["dense0"] == one).all()
    heard = late(one, np.broadcast_to(delays, 6)) @ second["weight"].T
    two = fires(heard, second["neuron"], second["bias"])
    assert (run["dense1"] == two).all()
    assert varied(one)
    assert varied(two)
    into = program.network.incoming["dense1"]
    assert sorted(p.delay for p in into) == sorted(set(delays))


def test_conv_pool_flatten_average(tmp_path):
    """Stride, padding and dilation as they are stored, y before x; groups; features C, H, W."""
    conv = {
        "type": "conv", "shape": [4, 4, 3], "weight": even(5, 4, 2, 3, 2, 1), "stride": [2, 1],
        "padding": [1, 2], "dilation": [1, 3], "groups": 1, "bias": even(6, 4, most=6),
        "neuron": neuron(theta=8),
    }  # fmt: skip
    grouped = {
        "type": "conv", "shape": [4, 4, 3], "weight": even(7, 4, 2, 1, 1), "groups": 2,
        "stride": 1, "padding": 0, "dilation": 1, "neuron": neuron(theta=6),
    }  # fmt: skip
    pool = {
        "type": "pool", "shape": [4, 2, 1], "kernelSize": [2, 2], "stride": [2, 2],
        "padding": [0, 0], "dilation": [1, 1], "weight": np.full((1, 1, 2, 2), 18, np.float32),
        "neuron": neuron(theta=20),
    }  # fmt: skip
    flatten = {"type": "flatten", "shape": [1, 1, 8]}
    last, average = dense(8, 6, 8, neuron=neuron(theta=9)), {"type": "average", "shape": [3, 1, 1]}
    x = events(2, 7, 2)
    program, run = compiled(tmp_path, [conv, grouped, pool, flatten, last, average], x)

    def layer(s: torch.Tensor, of: dict, y: torch.Tensor) -> torch.Tensor:
        bias = np.repeat(of.get("bias", np.zeros(y.shape[1])), y[0, 0].numel())
        spikes = fires(y.flatten(1).numpy(), of["neuron"], bias)
        return torch.from_numpy(spikes).double().reshape(y.shape)

    w = [torch.from_numpy(each["weight"]).double() for each in (conv, grouped, last)]
    one = layer(x, conv, F.conv2d(x[:, 0], w[0][..., 0], None, (2, 1), (1, 2), (1, 3)))
    two = layer(one, grouped, F.conv2d(one, w[1], groups=2))
    three = layer(two, pool, 18 * F.avg_pool2d(two, 2, divisor_override=1))
    four = layer(three, last, three.flatten(1) @ w[2].T)
    for name, each in (("conv0", one), ("conv1", two), ("pool2", three), ("dense4", four)):
        assert (run[name] == each.numpy()).all(), name
        assert varied(run[name]), name
    means = four.reshape(STEPS, 3, 2).mean(2)
    torch.testing.assert_close(program.run(x).outputs[:, 0], means)


def test_in_lava_every_spike_u_and_v_is_the_programs(lava, tmp_path):
    from bit_for_bit import agree

    layers = [
        dense(3, 8, 5, neuron=neuron(1024, 300)), dense(12, 6, 8, delay=np.array([2.0])),
        dense(13, 5, 6, type="dense_rec", weight_rec=even(9, 5, 5), neuron=neuron(2048, 512)),
    ]  # fmt: skip
    x = events(5)
    program, _ = compiled(tmp_path, layers, x)
    assert program.scheduled is not None
    batch = (torch.rand(STEPS, 7, 5, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    (name,) = [source.name for source in program.scheduled.sources]
    tally = agree({"net": (program.scheduled, {name: batch})}, tmp_path)
    assert tally.networks == 1
    assert tally.silent == 0


@pytest.mark.parametrize("flat", [[], [{"type": "flatten", "shape": [1, 1, 6]}]])
def test_a_delay_of_the_last_layer_is_one_of_the_output(tmp_path, flat):
    layer = dense(3, 6, 5, delay=np.array([2.0]))
    x = events(5)
    program, run = compiled(tmp_path, [layer, *flat], x)
    late_by_two = program.run(x).outputs[:, 0].numpy()
    assert (late_by_two == late(run["dense0"], np.full(6, 2))).all()
    assert varied(run["dense0"])


def test_a_delay_beyond_the_last_step_is_refused(tmp_path):
    layers = [dense(3, 6, 5, delay=np.array([40.0])), dense(4, 4, 6)]
    with pytest.raises(SnnccError, match="24 steps ends before spikes that come 40 later"):
        compiled(tmp_path, layers, events(5))


# -- what has no form here ------------------------------------------------------------------------


def refused(path, layers, shape=(5,)) -> SnnccError:
    with pytest.raises(SnnccError) as caught:
        open_model(write(path / "a.net", layers), said=Said(shape=shape))
    return caught.value


def test_every_layer_without_a_form_is_named_at_once(tmp_path):
    layers = [
        dense(1, 4, 5, neuron=neuron() | {"type": "RF_IZ"}),
        dense(2, 4, 4),
        {"type": "concat", "shape": [4, 1, 1]},
        dense(3, 4, 4, neuron=neuron() | {"type": "SDNN"}),
        dense(4, 4, 4, neuron=neuron(gradedSpike=True)),
        dense(5, 4, 4) | {"type": "dense_comp"},
        dense(6, 4, 4) | {"weight": {"real": even(1, 4, 4), "imag": even(2, 4, 4)}},
    ]
    error = refused(tmp_path, layers)
    assert {finding.code for finding in error.findings} == {"SNN330"}
    names = [finding.location.module for finding in error.findings]
    assert names == ["dense0", "concat2", "dense3", "dense4", "dense_comp5", "dense6"]
    assert error.exit_code == Exit.BAD_INPUT


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"neuron": neuron(refDelay=2)}, "`refDelay` 2"),
        ({"neuron": neuron(wgtExp=2)}, "`wgtExp` 2"),
        ({"neuron": neuron(i=0)}, "`iDecay` 0, beyond 1 to 4096"),
        ({"neuron": neuron(v=4097)}, "`vDecay` 4097"),
        ({"neuron": neuron(theta=1 << 17)}, "`vThMant` 131072"),
        ({"neuron": neuron(v=[1, 2, 3, 4])}, "`vDecay` as one whole number"),
        ({"bias": np.full(4, 0.5)}, "not one whole number for each channel"),
        ({"bias": np.full(4, 4097.0)}, "beyond -4096 to 4095"),
        ({"delay": np.full(4, 63.0)}, "beyond 0 to 62"),
        ({"delay": np.zeros(3)}, "delays of shape"),
        ({"delay": np.array([0.0, 1, 0, 0])}, "the last one and delays its spikes differently"),
        ({"weight": even(1, 4, 6)}, "weights of shape (4, 6) for 5 neurons"),
        ({"shape": [5, 1, 1]}, "has the shape (5, 1, 1) in the file and (4,) by its input"),
        ({"weight_rec": even(1, 3, 3)}, "recurrent weights"),
        ({"mask": np.ones(4)}, "`mask`, which is not known here"),
        ({"neuron": neuron(rhoGain=1)}, "`neuron/rhoGain`, which is not known here"),
    ],
)
def test_numbers_that_do_not_fit(tmp_path, changed, said):
    (finding,) = refused(tmp_path, [dense(1, 4, 5) | changed]).findings
    assert finding.code == "SNN330"
    assert said in finding.message


@pytest.mark.parametrize("weight", [3.0, 2.5, 256.0, -258.0])
def test_weights_that_no_synapse_holds(tmp_path, weight):
    layer = dense(1, 4, 5)
    layer["weight"][1, 2] = weight
    opened = open_model(write(tmp_path / "a.net", [layer]))
    report = snncc.check(opened.module, events(5), input="spike", layout="TN")
    (finding,) = [each for each in report.findings if each.is_error]
    assert finding.code == "SNN214"
    assert finding.location.module == "dense0"
    assert "projection input -> dense0 has weights" in finding.message


def test_whole_numbers_are_not_rounded_again(tmp_path):
    opened = open_model(write(tmp_path / "a.net", [dense(1, 4, 5)]))
    with pytest.raises(SnnccError, match="whole numbers already") as caught:
        snncc.compile(opened.module, events(5), input="spike", layout="TN", weight_bits=8)
    assert caught.value.findings[0].code == "SNN316"


def test_other_neurons_beside_them_are_refused(tmp_path):
    opened = open_model(write(tmp_path / "a.net", [dense(1, 4, 5)]))
    mixed = torch.nn.Sequential(opened.module, torch.nn.Linear(4, 3), snncc.nn.IF()).double()
    report = snncc.check(mixed, events(5), input="spike", layout="TN")
    said = [finding.message for finding in report.findings if finding.code == "SNN214"]
    assert any("computes in floats and others in whole numbers" in each for each in said)


def test_an_input_without_a_shape(tmp_path):
    conv = {"type": "conv", "weight": even(1, 2, 2, 1, 1), "neuron": neuron()}
    with pytest.raises(SnnccError, match="--input-shape") as caught:
        open_model(write(tmp_path / "a.net", [conv]))
    assert caught.value.findings[0].code == "SNN305"
    assert open_model(str(tmp_path / "a.net"), said=Said(shape=(2, 3, 3))).features == (2, 3, 3)
