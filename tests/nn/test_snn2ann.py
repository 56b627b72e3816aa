"""SNN2ANN: neurons against a plain loop, the equations of both branches, the gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import snncc
from snncc.nn import AdaptiveIF, MappingUnit, SharedConv, SNN2ANNNet
from snncc.passes.strip_aap import Stripped

Array = NDArray[np.float64]
# Quarters land on the threshold again and again, where > and >= part.
quarters = st.integers(-8, 8).map(lambda n: n / 4)
currents = arrays(np.float64, (6, 2, 3), elements=quarters)
thresholds = arrays(np.float64, (3,), elements=st.integers(1, 6).map(lambda n: n / 4))


def neuron(threshold: Array) -> AdaptiveIF:
    made = AdaptiveIF(threshold.shape).double()
    made.threshold.copy_(torch.from_numpy(threshold))
    return made


@settings(max_examples=200)
@given(x=currents, threshold=thresholds)
def test_adaptive_if_is_the_loop_written_out(x: Array, threshold: Array) -> None:
    expected = np.zeros_like(x)
    for sample, place in np.ndindex(x.shape[1:]):
        m = 0.0
        for t in range(len(x)):
            m += x[t, sample, place]
            if m > threshold[place]:
                expected[t, sample, place], m = 1.0, 0.0
    np.testing.assert_array_equal(neuron(threshold)(torch.from_numpy(x)).numpy(), expected)


def test_thresholds_are_drawn_from_0_to_1_and_are_no_parameters() -> None:
    torch.manual_seed(0)
    made = AdaptiveIF((10, 20, 20))
    assert not list(made.parameters())
    assert 0 <= made.threshold.min() < 0.01 < 0.99 < made.threshold.max() < 1
    assert made.threshold.mean().item() == pytest.approx(0.5, abs=0.02)


def test_adaptation_raises_the_thresholds_of_noisy_neurons_alone() -> None:
    made = neuron(np.array([0.5, 0.5, 0.5]))
    x = torch.ones(20, 3, dtype=torch.float64)
    counts = torch.ones_like(x)
    x[:2, 0] = 0  # a tenth of the samples: not more than a tenth
    x[:3, 1] = 0  # more than a tenth
    x[:9, 2] = counts[:9, 2] = 0  # silent in both branches
    made.adapt(x, counts)
    expected = torch.tensor([0.5, 0.51, 0.5], dtype=torch.float64)
    torch.testing.assert_close(made.threshold, expected)


@given(
    x=arrays(np.float64, (4, 5), elements=st.floats(0, 3)),
    counts=arrays(np.float64, (4, 5), elements=st.integers(0, 5).map(float)),
)
def test_mapping_units(x: Array, counts: Array) -> None:
    for kind, expected in [("stsu", counts), ("resu", counts * (x > 0))]:
        activation = torch.from_numpy(x).requires_grad_()
        out = MappingUnit(kind)(activation, torch.from_numpy(counts))  # type: ignore[arg-type]
        np.testing.assert_array_equal(out.detach().numpy(), expected)
        out.sum().backward()
        assert activation.grad is not None
        assert (activation.grad == 1).all()


def shared_conv() -> SharedConv:
    torch.manual_seed(0)
    layer = SharedConv(2, (3, 6, 6), time_steps=4, mapping="stsu").double().eval()
    for values in (layer.norm.weight, layer.norm.bias, layer.norm.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(layer.norm.running_var, 0.5, 2)
    return layer


def test_currents_of_all_steps_add_up_to_the_ann_branch() -> None:
    layer = shared_conv()
    s = (torch.rand(4, 5, 2, 6, 6, dtype=torch.float64) < 0.3).double()
    total = sum(layer.current(each) for each in s)
    torch.testing.assert_close(F.relu(total), layer.activation(s.sum(0)))


def test_the_folded_weights_are_those_of_the_equation() -> None:
    layer = shared_conv()
    norm, root = layer.norm, torch.sqrt(layer.norm.running_var + 1e-5)
    weight = layer.conv.weight * (norm.weight / root)[:, None, None, None]
    bias = (norm.weight / root * (0 - norm.running_mean) + norm.bias) / 4
    x = torch.randn(5, 2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(layer.current(x), F.conv2d(x, weight, bias, padding=1))


# -- the network -----------------------------------------------------------------------------------


def network(seed: int = 0, **options: object) -> SNN2ANNNet:
    """Trained for a few batches, so that norms and thresholds are not where they began."""
    torch.manual_seed(seed)
    small = {"size": 8, "widths": (3, 4), "pools": (True, False), "full_scale": 1.0}
    made = SNN2ANNNet(**{**small, **options}).double()  # type: ignore[arg-type]
    for _ in range(20):
        made(images())
    return made


def images(samples: int = 12) -> Tensor:
    return 2 * torch.rand(samples, 1, 8, 8, dtype=torch.float64)


def ann(of: SNN2ANNNet, x: Tensor, counts: list[Tensor], kind: str) -> Tensor:
    """The ANN branch with its counts given, its mapping units as autograd functions."""

    class Unit(torch.autograd.Function):
        @staticmethod
        def forward(ctx, activation, n):
            return n * (activation > 0) if kind == "resu" else n.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient, None

    n = x * of.time_steps
    for layer, count in zip(of.layers, counts, strict=True):
        pooled = not isinstance(layer, SharedConv)
        y = F.avg_pool2d(n, 2) if pooled else layer.norm(layer.conv(n))
        n = Unit.apply(F.relu(y), count)
    return of.fc(n.flatten(1) / of.time_steps)


@pytest.mark.parametrize("mapping", ["stsu", "resu"])
def test_the_gradient_is_that_of_the_ann_on_given_counts(mapping: str) -> None:
    of = network(mapping=mapping)
    x, labels = images(), torch.arange(12) % 10
    counts: list[Tensor] = []
    for layer in of.layers:
        layer.neuron.register_forward_hook(lambda *call: counts.append(call[2].sum(0)))
    _, y_ann = of(x)
    F.cross_entropy(y_ann, labels).backward()
    mine = {name: p.grad.clone() for name, p in of.named_parameters()}
    of.zero_grad()
    expected = ann(of, x, counts, mapping)
    torch.testing.assert_close(y_ann, expected)
    F.cross_entropy(expected, labels).backward()
    for name, parameter in of.named_parameters():
        assert parameter.grad.any(), name
        torch.testing.assert_close(mine[name], parameter.grad)


def test_no_gradient_flows_through_spikes() -> None:
    of = network()
    y_snn, _ = of(images())
    y_snn.sum().backward()
    touched = {name for name, p in of.named_parameters() if p.grad is not None}
    assert touched == {"fc.weight", "fc.bias"}


def test_thresholds_adapt_in_training_alone() -> None:
    of = network().eval()
    before = [layer.neuron.threshold.clone() for layer in of.layers]
    of(images())
    same = [
        torch.equal(a, layer.neuron.threshold) for a, layer in zip(before, of.layers, strict=True)
    ]
    assert all(same)
    of.train()
    for _ in range(20):
        of(images())
    moved = [layer.neuron.threshold - a for a, layer in zip(before, of.layers, strict=True)]
    assert all((each >= -1e-12).all() for each in moved)
    assert any((each > 1e-3).any() for each in moved)


def test_the_mapping_changes_nothing_in_the_spike_head() -> None:
    one, other = network(mapping="stsu").eval(), network(mapping="resu").eval()
    other.load_state_dict(one.state_dict())
    x = images()
    (y_one, a_one), (y_other, a_other) = one(x), other(x)
    assert torch.equal(y_one, y_other)
    torch.testing.assert_close(y_one, a_one)  # counts / T are the mean of the spikes
    assert not torch.equal(a_one, a_other)


def test_bptt_reaches_every_parameter() -> None:
    of = network(auxiliary=False)
    F.cross_entropy(of(images()), torch.arange(12) % 10).backward()
    for name, parameter in of.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    "options", [{"mapping": "stsu"}, {"mapping": "resu"}, {"auxiliary": False}], ids=str
)
def test_it_compiles_without_its_ann_branch(options: dict[str, object]) -> None:
    of = network(**options).float().eval()
    x = images(4).float()
    program = snncc.compile(of, x, layout="N", input="analog")
    comparison = snncc.compare(of, program, x)
    assert comparison.equal
    assert comparison.compared > 1000
    stripped = program.about.reports[Stripped]
    assert stripped.heads == (() if options == {"auxiliary": False} else ("1",))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"pool": "max"}, "analog"),
        ({"mapping": "relu"}, "stsu"),
        ({"pools": (True,)}, "pools"),
        ({"time_steps": 0}, "time_steps"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        network(**options)
