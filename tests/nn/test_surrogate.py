"""The forward step is exact; the backward formulas are checked against numerical derivatives."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snncc.nn import ATan, Rectangular, Sigmoid, Surrogate

SURROGATES = [ATan(), ATan(3.0), Sigmoid(), Sigmoid(1.5), Rectangular(), Rectangular(0.5)]
membranes = st.floats(-3, 3, allow_subnormal=False)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_the_step_and_spikes_at_zero(surrogate: Surrogate, dtype: torch.dtype) -> None:
    below = torch.nextafter(torch.tensor(0.0, dtype=dtype), torch.tensor(-1.0, dtype=dtype))
    v = torch.tensor([-1.0, below, -0.0, 0.0, 2.0], dtype=dtype)
    spikes = surrogate(v)
    assert spikes.dtype == dtype
    assert spikes.tolist() == [0, 0, 1, 1, 1]


def gradient(surrogate: Surrogate, v: float, upstream: float = 1.0) -> float:
    x = torch.tensor(v, dtype=torch.float64, requires_grad=True)
    (upstream * surrogate(x)).backward()
    assert x.grad is not None
    return x.grad.item()


@given(v=membranes, alpha=st.floats(0.5, 8), upstream=st.floats(-2, 2))
def test_atan(v: float, alpha: float, upstream: float) -> None:
    def smooth(x: float) -> float:
        return math.atan(math.pi / 2 * alpha * x) / math.pi

    slope = (smooth(v + 1e-6) - smooth(v - 1e-6)) / 2e-6
    assert gradient(ATan(alpha), v, upstream) == pytest.approx(upstream * slope, abs=1e-6)


@given(v=membranes, alpha=st.floats(0.5, 8), upstream=st.floats(-2, 2))
def test_sigmoid(v: float, alpha: float, upstream: float) -> None:
    def smooth(x: float) -> float:
        return 1 / (1 + math.exp(-alpha * x))

    slope = (smooth(v + 1e-6) - smooth(v - 1e-6)) / 2e-6
    assert gradient(Sigmoid(alpha), v, upstream) == pytest.approx(upstream * slope, abs=1e-6)


@given(v=membranes, width=st.floats(0.25, 4))
def test_rectangular(v: float, width: float) -> None:
    assert gradient(Rectangular(width), v) == (1 / width if abs(v) < width / 2 else 0.0)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_surrogates_are_values(surrogate: Surrogate) -> None:
    assert surrogate == eval(repr(surrogate))
    with pytest.raises(AttributeError):
        surrogate.alpha = 1.0  # type: ignore[attr-defined]
