"""Spike accumulation: the spikes are those of leaky neurons, the gradients those of OTTT."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

import snncc
from snncc.nn import SAFNet, ScaledWSConv2d

TIE = 1e-9


class Eighths(ScaledWSConv2d):
    """A conv whose weights and biases are multiples of 1/8, not standardised."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        with torch.no_grad():
            for each in (self.weight, self.bias):
                each.copy_(torch.randint(-6, 8, each.shape) / 8)

    def forward(self, x: Tensor, bias_scale: float = 1.0) -> Tensor:
        return self._conv_forward(x, self.weight, self.bias * bias_scale)


def network(seed: int = 0, eighths: bool = False, **options: object) -> SAFNet:
    torch.manual_seed(seed)
    small = {"size": 8, "widths": (3, 4, 4), "pools": (True, False, True), "full_scale": 1.0}
    made = SAFNet(**{**small, **options})  # type: ignore[arg-type]
    if eighths:
        for number, conv in enumerate(made.convs):
            made.convs[number] = Eighths(conv.in_channels, conv.out_channels, 3, padding=1)
    for name, parameter in made.named_parameters():
        if "bias" in name and not eighths:
            nn.init.uniform_(parameter, -0.3, 0.3)
    return made.double()


def image(seed: int, samples: int = 3) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 9, (samples, 1, 8, 8), generator=source).double() / 4


@dataclass(frozen=True)
class Leaky:
    """Each layer's input s_in, membrane u before firing and spikes s, by step and layer."""

    heard: list[list[Tensor]]
    membranes: list[list[Tensor]]
    spikes: list[list[Tensor]]


@torch.no_grad()
def leaky(of: SAFNet, x: Tensor) -> Leaky:
    """u[t] = λ(u[t−1] − V_th·s[t−1]) + W·s_in[t] + b, written out."""
    result = Leaky([], [], [])
    for t in range(of.time_steps):
        for of_step in (result.heard, result.membranes, result.spikes):
            of_step.append([])
        signal = x
        for layer, (conv, scale) in enumerate(zip(of.convs, of.scales, strict=True)):
            u = conv(signal)
            if t:
                before, fired = result.membranes[t - 1][layer], result.spikes[t - 1][layer]
                u = of.decay * (before - of.threshold * fired) + u
            s = (u >= of.threshold).double()
            result.heard[t].append(signal)
            result.membranes[t].append(u)
            result.spikes[t].append(s)
            signal = scale(s)
    return result


def accumulated(of: SAFNet, x: Tensor) -> list[list[Tensor]]:
    with torch.no_grad():
        return [spikes for spikes, _ in of.accumulate(x)]


decays = st.sampled_from([0.0, 0.25, 0.5, 0.75])
thresholds = st.sampled_from([0.5, 1.0, 1.5])


@settings(max_examples=60)
@given(seed=st.integers(0, 2**20), decay=decays, threshold=thresholds)
def test_spikes_are_equal_where_every_sum_is_exact(
    seed: int, decay: float, threshold: float
) -> None:
    """Membranes land on the threshold again and again; nothing is set apart as a tie."""
    of = network(seed, eighths=True, decay=decay, threshold=threshold, scale=2.75)
    x = image(seed)
    ours, expected = accumulated(of, x), leaky(of, x)
    for t in range(of.time_steps):
        for mine, theirs in zip(ours[t], expected.spikes[t], strict=True):
            assert torch.equal(mine, theirs)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**20), decay=decays, threshold=thresholds)
def test_spikes_are_equal_but_for_ties(seed: int, decay: float, threshold: float) -> None:
    """Standardised weights: a sample's first difference may only be at u = V_th."""
    of = network(seed, decay=decay, threshold=threshold)
    x = image(seed)
    ours, expected = accumulated(of, x), leaky(of, x)
    same = torch.ones(len(x), dtype=torch.bool)
    for t in range(of.time_steps):
        for mine, theirs, u in zip(ours[t], expected.spikes[t], expected.membranes[t], strict=True):
            unequal = (mine != theirs)[same]
            assert ((u[same] / threshold - 1).abs()[unequal] < TIE).all()
            same &= (mine == theirs).flatten(1).all(1)


@given(seed=st.integers(0, 2**20))
@settings(max_examples=20)
def test_the_deployed_network_has_the_same_spikes(seed: int) -> None:
    of = network(seed, eighths=True, scale=2.75).eval()
    found: list[Tensor] = []
    for neuron in of.neurons:
        neuron.register_forward_hook(lambda *call: found.append(call[2]))
    x = image(seed)
    logits = of(x)
    ours = accumulated(of, x)
    for layer, spikes in enumerate(found):
        assert torch.equal(spikes, torch.stack([step[layer] for step in ours]))
    assert found[0].any()
    torch.testing.assert_close(torch.stack(list(of.saf_e(x))).mean(0), logits)


# -- gradients -------------------------------------------------------------------------------------


def gradients(of: SAFNet, losses: object) -> dict[str, Tensor]:
    of.zero_grad()
    for loss in losses:  # type: ignore[attr-defined]
        loss.backward()
    return {name: p.grad.clone() for name, p in of.named_parameters() if p.grad is not None}


LABELS = torch.tensor([0, 3, 1])


def of_steps(steps: object) -> object:
    return (F.cross_entropy(logits, LABELS) for logits in steps)  # type: ignore[attr-defined]


def back_through_scale(scale: nn.Module, delta: Tensor) -> Tensor:
    """The gradient of a `SpikeScale`, written out."""
    if isinstance(scale.pool, nn.AvgPool2d):
        delta = delta.repeat_interleave(2, -1).repeat_interleave(2, -2) / 4
    return delta * scale.scale


def by_hand(
    of: SAFNet,
    delta: Tensor,
    at: list[Tensor],
    heard: list[Tensor],
    steps: float,
    gain: float = 1.0,
) -> dict[str, Tensor]:
    """Gradients of all convs, from that of the last layer's spikes: δ_l ⊗ â_in, layer by layer.

    at: u − V_th of each layer; heard: the accumulated input of each layer; steps: how often the
    bias counts; gain: of the surrogate's derivative.
    """
    found: dict[str, Tensor] = {}
    for layer in reversed(range(len(of.convs))):
        conv = of.convs[layer]
        delta = delta * gain * of.surrogate.derivative(at[layer])
        found[f"convs.{layer}.weight"] = conv2d_weight(
            heard[layer], conv.weight.shape, delta, padding=1
        )
        found[f"convs.{layer}.bias"] = steps * delta.sum((0, 2, 3))
        if layer:
            delta = conv2d_input(heard[layer].shape, conv.weight, delta, padding=1)
            delta = back_through_scale(of.scales[layer - 1], delta)
    return found


def of_readout(of: SAFNet, signal: Tensor) -> Tensor:
    """dL/d(signal): the loss's gradient for what `fc` is computed from."""
    signal = signal.clone().requires_grad_()
    F.cross_entropy(of._logits(signal), LABELS).backward(inputs=[signal])
    assert signal.grad is not None
    return signal.grad


def ottt_by_hand(of: SAFNet, x: Tensor) -> dict[str, Tensor]:
    """Online training through time from its equations: traces of the input, no gradient in time."""
    plain = leaky(of, x)
    traces = [torch.zeros_like(each) for each in plain.heard[0]]
    total: dict[str, Tensor] = {}
    steps = 0.0
    for t in range(of.time_steps):
        steps = of.decay * steps + 1
        traces = [of.decay * a + s for a, s in zip(traces, plain.heard[t], strict=True)]
        at = [u - of.threshold for u in plain.membranes[t]]
        delta = of_readout(of, plain.spikes[t][-1])
        for name, value in by_hand(of, delta, at, traces, steps).items():
            total[name] = total.get(name, torch.zeros_like(value)) + value
    return total


CLOSE = {"rtol": 1e-10, "atol": 1e-12}


@pytest.mark.parametrize("decay", [0.25, 0.5])
@pytest.mark.parametrize("threshold", [1.0, 1.5])
def test_theorem_1_the_gradient_of_saf_e_is_that_of_ottt(decay: float, threshold: float) -> None:
    of = network(1, eighths=True, decay=decay, threshold=threshold, scale=2.75)
    x = image(1)
    mine = gradients(of, of_steps(of.saf_e(x)))
    expected = ottt_by_hand(of, x)
    assert len(expected) == 2 * len(of.convs)
    for name, value in expected.items():
        assert value.any(), name
        torch.testing.assert_close(mine[name], value, **CLOSE)


def test_theorem_1_with_standardised_weights() -> None:
    of, x = network(2), image(2)
    mine, theirs = (gradients(of, of_steps(each(x))) for each in (of.saf_e, of.ottt))
    assert mine.keys() == theirs.keys() == dict(of.named_parameters()).keys()
    for name, value in theirs.items():
        assert value.any(), name
        torch.testing.assert_close(mine[name], value, **CLOSE)


@pytest.mark.parametrize("threshold", [1.0, 1.5])
def test_theorem_2_the_gradient_of_saf_f_is_that_of_spike_representation(threshold: float) -> None:
    """Spike representation: a_l = σ((W·a_{l−1} + b) / V_th) of the firing rates a, where σ' is the
    derivative of our surrogate. Each layer of neurons then differs by a factor V_th."""
    of = network(3, eighths=True, threshold=threshold, scale=2.75)
    x = image(3)
    mine = gradients(of, [F.cross_entropy(of.saf_f(x), LABELS)])
    plain, weight = leaky(of, x), sum(of.decay**k for k in range(of.time_steps))
    ages = [of.decay ** (of.time_steps - 1 - t) for t in range(of.time_steps)]

    def rate(steps: list[Tensor]) -> Tensor:
        return sum(age * each for age, each in zip(ages, steps, strict=True)) / weight

    layers = range(len(of.convs))
    heard = [rate([step[layer] for step in plain.heard]) for layer in layers]
    at = [u - of.threshold for u in plain.membranes[-1]]
    delta = of_readout(of, rate([step[-1] for step in plain.spikes]))
    expected = by_hand(of, delta, at, heard, 1.0, gain=1 / threshold)
    for layer in layers:
        over = threshold ** (len(of.convs) - layer)
        for kind in ("weight", "bias"):
            name = f"convs.{layer}.{kind}"
            assert expected[name].any(), name
            torch.testing.assert_close(mine[name], over * expected[name], **CLOSE)


def test_only_the_last_step_of_saf_f_keeps_a_graph() -> None:
    of = network()
    steps = list(of.accumulate(image(0), gradient_from=of.time_steps))
    tracked = [[s.requires_grad for s in spikes] for spikes, _ in steps]
    assert not any(map(any, tracked[:-1]))
    assert all(tracked[-1])


@pytest.mark.parametrize("way", ["saf_e", "saf_f", "ottt", "forward"])
def test_training_reaches_every_parameter(way: str) -> None:
    of = network()
    logits = getattr(of, way)(image(0))
    found = gradients(of, of_steps([logits] if isinstance(logits, Tensor) else logits))
    for name, _ in of.named_parameters():
        assert found[name].any(), name


# -- deployed --------------------------------------------------------------------------------------


def test_it_compiles_with_its_standardised_weights() -> None:
    of, x = network(5).float().eval(), image(5).float()
    program = snncc.compile(of, x, layout="N", input="analog")
    comparison = snncc.compare(of, program, x)
    assert comparison.equal
    assert comparison.compared > 1000
    populations = [p.name for p in program.network.populations if p.role == "neuron"]
    assert populations == ["neurons.0", "neurons.1", "neurons.2"]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"pools": (True,)}, "pool"), ({"time_steps": 0}, "time_steps"), ({"decay": 1.0}, "decay")],
)
def test_wrong_options_are_named(options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        network(**options)
