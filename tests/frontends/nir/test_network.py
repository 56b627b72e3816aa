"""Every kind of part, written by the package nir and read here."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import Said, open_model
from snncc.frontends.nir.file import read_file

nir = pytest.importorskip("nir")

SOURCE = np.random.default_rng(0)


def dyadic(*shape: int) -> np.ndarray:
    """Sums of these are exact in every order."""
    return SOURCE.integers(-16, 17, shape) / 16


def one(size: float, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, size)


def neuron(*shape: int, threshold: float = 1.0) -> nir.IF:
    return nir.IF(one(1, shape), one(threshold, shape), one(0, shape))


def written(path, parts, edges):
    """The file of these parts, in a row where ``edges`` are not given."""
    names = list(parts)
    edges = edges or list(pairwise(names))
    nir.write(path, nir.NIRGraph(parts, edges, type_check=False))
    return str(path)


def opened(tmp_path, parts, edges=None, **said):
    return open_model(written(tmp_path / "net.nir", parts, edges), said=Said(**said))


def spikes(*shape: int) -> torch.Tensor:
    return torch.from_numpy((SOURCE.random(shape) < 0.4).astype(float))


def fired(current: torch.Tensor, threshold: float = 1.0) -> torch.Tensor:
    """IF with a hard reset on (T, …)."""
    v, found = torch.zeros_like(current[0]), []
    for x in current:
        v = v + x
        found.append((v > threshold).double())
        v = v * (1 - found[-1])
    return torch.stack(found)


@pytest.mark.slow
def test_layers_of_every_kind(tmp_path):
    kernel, first, last = dyadic(3, 2, 3, 3), dyadic(3), dyadic(4, 12)
    parts = {
        "input": nir.Input(np.array([2, 9, 8])),
        "conv": nir.Conv2d((9, 8), kernel, (2, 1), (1, 0), 1, 1, first),
        "if1": neuron(3, 5, 6, threshold=0.5),
        "scale": nir.Scale(one(0.5, (3, 5, 6))),
        "if2": neuron(3, 5, 6, threshold=0.25),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "if3": neuron(3, 2, 3),
        "average": nir.AvgPool2d(np.array([1, 2]), np.array([1, 1]), np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1),
        "fc": nir.Linear(last),
        "threshold": nir.Threshold(one(0.25, (4,))),
        "output": nir.Output(np.array([4])),
    }
    model = opened(tmp_path, parts)
    x = spikes(6, 3, 2, 9, 8)

    def over_time(layer, values):
        return layer(values.flatten(0, 1)).unflatten(0, values.shape[:2])

    weight, bias = torch.from_numpy(kernel), torch.from_numpy(first)
    y = over_time(lambda v: F.conv2d(v, weight, bias, (2, 1), (1, 0)), x)
    y = fired(fired(y, 0.5) * 0.5, 0.25)
    y = fired(over_time(lambda v: F.avg_pool2d(v, 2) * 4, y))
    y = over_time(lambda v: F.avg_pool2d(v, (1, 2), (1, 1)), y).flatten(2)
    y = (y @ torch.from_numpy(last).T > 0.25).double()
    assert torch.equal(model.module(x), y)
    program = snncc.compile(model.module, x[:, :1], input="spike", layout="TN")
    assert torch.equal(program.run(x).outputs, y)
    assert y.any()


@pytest.mark.slow
def test_a_circle_hears_the_step_before_and_edges_add_up(tmp_path):
    forward, back, bias = dyadic(5, 4), dyadic(5, 5), dyadic(5)
    parts = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Linear(forward),
        "w_rec": nir.Affine(back, bias),
        "lif": neuron(5),
        "output": nir.Output(np.array([5])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    model = opened(tmp_path, parts, edges)
    x = spikes(12, 2, 4)
    v = s = torch.zeros(2, 5, dtype=torch.float64)
    found = []
    for now in x @ torch.from_numpy(forward).T:
        v = v * (1 - s) + now + s @ torch.from_numpy(back).T + torch.from_numpy(bias)
        s = (v > 1).double()
        found.append(s)
    y = torch.stack(found)
    assert torch.equal(model.module(x), y)
    program = snncc.compile(model.module, x[:, :1], input="spike", layout="TN")
    assert torch.equal(program.run(x).outputs, y)
    assert 0 < y.mean() < 1


def test_a_delay_is_whole_steps_late(tmp_path):
    def parts(seconds):
        return {
            "input": nir.Input(np.array([3])),
            "if": neuron(3, threshold=0.5),
            "delay": nir.Delay(np.array(seconds)),
            "output": nir.Output(np.array([3])),
        }

    x = spikes(7, 2, 3)
    model = opened(tmp_path, parts([2e-3] * 3), dt=1e-3)
    assert torch.equal(model.module(x)[2:], x[:-2])
    assert not model.module(x)[:2].any()
    for seconds, dt in (([1.5e-3] * 3, 1e-3), ([1e-3, 2e-3, 1e-3], 1e-3)):
        with pytest.raises(SnnccError, match=r"`delay` delays by .* steps of 0.001 s") as caught:
            opened(tmp_path, parts(seconds), dt=dt)
        assert caught.value.findings[0].code == "SNN110"


def test_graphs_inside_graphs_are_opened_up(tmp_path):
    inner = nir.NIRGraph(
        {"in": nir.Input(np.array([3])), "if": neuron(3), "out": nir.Output(np.array([3]))},
        [("in", "if"), ("if", "out")],
    )
    parts = {
        "input": nir.Input(np.array([3])),
        "block": inner,
        "output": nir.Output(np.array([3])),
    }
    model = opened(tmp_path, parts)
    x = spikes(5, 2, 3)
    assert torch.equal(model.module(x), fired(x))
    assert dict(model.module.named_modules()).keys() >= {"block_if"}
    assert set(read_file(tmp_path / "net.nir").parts) >= {"block.in", "block.if", "block.out"}


@pytest.mark.parametrize("kind", ["LI", "I", "CubaLI"])
def test_a_membrane_that_never_fires_has_no_form(tmp_path, kind):
    values = {"LI": 3, "I": 1, "CubaLI": 4}
    part = getattr(nir, kind)(*[one(1, (3,)) for _ in range(values[kind])])
    parts = {"input": nir.Input(np.array([3])), "x": part, "output": nir.Output(np.array([3]))}
    with pytest.raises(SnnccError, match=f"`x` is a {kind}, which has no form here") as caught:
        opened(tmp_path, parts, dt=1.0)
    assert caught.value.findings[0].code == "SNN103"


def test_what_does_not_fit_is_one_sentence(tmp_path):
    parts = {
        "input": nir.Input(np.array([3])),
        "fc": nir.Linear(dyadic(2, 4)),
        "output": nir.Output(np.array([2])),
    }
    with pytest.raises(SnnccError, match=r"`fc` cannot take features of shape \(3,\)"):
        opened(tmp_path, parts)
    with pytest.raises(SnnccError, match="names `fd`, which is not there"):
        opened(tmp_path, parts, [("input", "fd"), ("fd", "output")])


def test_the_shape_of_the_input_may_be_said(tmp_path):
    parts = {
        "input": nir.Input(np.array([1])),
        "if": nir.IF(one(1, (1,)), one(1, (1,)), one(0, (1,))),
        "output": nir.Output(np.array([1])),
    }
    model = opened(tmp_path, parts, shape=(2, 4))
    assert model.features == (2, 4)
    x = spikes(4, 2, 2, 4)
    assert torch.equal(model.module(x), fired(x))
