"""Neurons against a plain loop over numpy scalars, and what their constructors refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from snncc.nn import IF, LIF, PLIF, Neuron, Rectangular

Array = NDArray[np.float64]
shapes = st.tuples(st.integers(1, 8), st.integers(1, 3), st.integers(1, 3))
# Quarters hit the threshold exactly again and again, where >= and > part.
quarters = st.integers(-8, 8).map(lambda n: n / 4)
currents = shapes.flatmap(
    lambda shape: st.one_of(
        arrays(np.float64, shape, elements=quarters),
        arrays(np.float64, shape, elements=st.floats(-3, 3, allow_subnormal=False)),
    )
)
resets = st.sampled_from([("hard", 0.0), ("hard", -0.5), ("hard", 0.25), ("soft", 0.0)])


def loop(kind: str, x: Array, threshold: float, v_reset: float, reset: str, tau: float) -> Array:
    """Every neuron by itself, one step after the other."""
    spikes = np.zeros_like(x)
    for place in np.ndindex(x.shape[1:]):
        v = v_reset
        for t in range(len(x)):
            current = x[t][place]
            if kind == "IF":
                v = v + current
            elif kind == "LIF, input decays":
                v = v + (current - (v - v_reset)) / tau
            else:
                v = v - (v - v_reset) / tau + current
            if v >= threshold:
                spikes[t][place] = 1.0
                v = v_reset if reset == "hard" else v - threshold
    return spikes


@settings(max_examples=200)
@given(x=currents, threshold=st.sampled_from([0.5, 1.0, 1.3]), reset=resets)
def test_if(x: Array, threshold: float, reset: tuple[str, float]) -> None:
    how, v_reset = reset
    spikes = IF(threshold, v_reset, how)(torch.from_numpy(x))
    np.testing.assert_array_equal(spikes.numpy(), loop("IF", x, threshold, v_reset, how, 1.0))


@settings(max_examples=200)
@given(
    x=currents,
    threshold=st.sampled_from([0.5, 1.0, 1.3]),
    reset=resets,
    tau=st.sampled_from([1.0, 2.0, 3.7]),
    decay_input=st.booleans(),
)
def test_lif(
    x: Array, threshold: float, reset: tuple[str, float], tau: float, decay_input: bool
) -> None:
    how, v_reset = reset
    spikes = LIF(tau, decay_input, threshold, v_reset, how)(torch.from_numpy(x))
    kind = "LIF, input decays" if decay_input else "LIF, input whole"
    np.testing.assert_array_equal(spikes.numpy(), loop(kind, x, threshold, v_reset, how, tau))


@given(x=currents, reset=resets, decay_input=st.booleans())
def test_plif_is_lif_with_a_learnt_tau(
    x: Array, reset: tuple[str, float], decay_input: bool
) -> None:
    how, v_reset = reset
    neuron = PLIF(2.0, decay_input, 1.0, v_reset, how).double()
    assert neuron.w.item() == 0.0
    lif = LIF(2.0, decay_input, 1.0, v_reset, how)
    assert torch.equal(neuron(torch.from_numpy(x)), lif(torch.from_numpy(x)))


@given(tau=st.floats(1.01, 50))
def test_plif_starts_at_its_tau(tau: float) -> None:
    assert 1 / PLIF(tau).w.double().sigmoid().item() == pytest.approx(tau, rel=1e-4)


def test_a_membrane_at_the_threshold_spikes_and_state_does_not_outlive_the_call() -> None:
    neuron = IF()
    assert neuron(torch.tensor([[0.5], [0.5], [0.5]])).flatten().tolist() == [0, 1, 0]
    assert neuron(torch.tensor([[0.5], [0.5], [0.5]])).flatten().tolist() == [0, 1, 0]


def test_soft_reset_keeps_the_rest() -> None:
    x = torch.tensor([[1.75], [0.25], [0.0]])
    assert IF(reset="soft")(x).flatten().tolist() == [1, 1, 0]
    assert IF(reset="hard")(x).flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize("neuron", [IF(), LIF(), PLIF(), IF(reset="soft")])
def test_gradients_reach_every_step_of_a_silent_neuron(neuron: Neuron) -> None:
    x = torch.full((4, 2, 3), 0.1, dtype=torch.float64, requires_grad=True)
    neuron.double()(x)[-1].sum().backward()
    assert x.grad is not None
    assert (x.grad > 0).all()


def test_no_gradient_flows_through_the_reset() -> None:
    x = torch.tensor([[1.5], [0.9]], requires_grad=True)
    IF(surrogate=Rectangular(4.0))(x)[1].sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.0, 0.25]


def test_plif_learns_its_time_constant() -> None:
    neuron = PLIF()
    neuron(torch.full((3, 1, 2), 0.7)).sum().backward()
    assert neuron.w.grad is not None
    assert neuron.w.grad.item() != 0


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: IF(threshold=0.0), "threshold"),
        (lambda: IF(threshold=math.nan), "threshold"),
        (lambda: IF(v_reset=1.0), "v_reset"),
        (lambda: IF(reset="none"), "reset"),
        (lambda: IF(v_reset=0.5, reset="soft"), "soft"),
        (lambda: LIF(tau=0.5), "tau"),
        (lambda: PLIF(init_tau=1.0), "init_tau"),
    ],
)
def test_what_makes_no_sense_is_refused(build: object, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        build()  # type: ignore[operator]
