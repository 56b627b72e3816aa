"""Time anywhere: a layout is a role for each axis, and data is in that order everywhere."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import snncc
from snncc.cli import main
from snncc.diagnostics import SnnccError
from snncc.frontends.layout import (
    features_of,
    is_layout,
    layout_of,
    roles,
    sample_axis,
    shape_of,
    time_back,
    time_first,
)

T = 4


@pytest.mark.parametrize(
    ("layout", "rank", "axes"),
    [
        ("TN", 5, "TNFFF"), ("N", 2, "NF"), ("NT", 2, "NT"), ("NFT", 5, "NFFFT"),
        ("NFT", 2, "NT"), ("NFTFF", 5, "NFTFF"), ("TFN", 3, "TFN"), ("FN", 3, "FFN"),
    ],
)  # fmt: skip
def test_each_axis_has_a_letter(layout: str, rank: int, axes: str) -> None:
    assert "".join(roles(layout, rank)) == axes
    assert roles(layout_of(tuple(axes)), rank) == tuple(axes)
    assert axes[sample_axis(layout, rank)] == "N"


@pytest.mark.parametrize(("layout", "rank"), [("TN", 1), ("NFT", 1), ("NFTFF", 4), ("NFTFF", 6)])
def test_axes_that_a_layout_cannot_have(layout: str, rank: int) -> None:
    with pytest.raises(SnnccError, match=f"SNN306.*layout {layout} needs"):
        roles(layout, rank)


@pytest.mark.parametrize("layout", ["", "T", "TT", "TNN", "TCN", "nt", "TF", None, ("T", "N")])
def test_what_is_no_layout(layout: Any) -> None:
    assert not is_layout(layout)


@given(st.permutations("NT" + "F" * 3), st.lists(st.integers(1, 4), min_size=3, max_size=3))
def test_orders_go_back_and_forth(axes: list[str], features: list[int]) -> None:
    layout = layout_of(axes)
    shape = shape_of(layout, features, T)
    assert list(features_of(layout, shape)) == features
    x = torch.rand(shape)
    front = x.permute(time_first(axes))
    assert front.shape == (T, 1, *features)
    assert torch.equal(front.permute(time_back(axes)), x)


# -- modules ------------------------------------------------------------------------------------


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5).double()


class Written(nn.Module):
    """A neuron written as a loop over the axis ``place`` of (…), which holds time."""

    def __init__(self, place: int, readout: str = "mean") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.place, self.readout = place, readout
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
        nn.init.normal_(self.a.weight, std=0.6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v: Any = 0.0
        steps = x.shape[self.place]
        out = torch.zeros(*x.select(self.place, 0).shape[:-1], 8, steps)
        for t in range(steps):
            v = 0.5 * v + self.a(x.select(self.place, t))
            z = (v > 1.0).to(v.dtype)
            v = v * (1 - z)
            out[..., t] = z
        if self.readout == "last":
            return self.b(out[..., -1])
        return self.b(out.mean(-1))


class Video(nn.Module):
    """(N, C, T, H, W), as models of videos take it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.sn = nn.Conv2d(2, 3, 3), nn.Linear(48, 3), snncc.nn.IF()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(2, 0, 1, 3, 4)
        y = 3 * self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.fc(self.sn(y).flatten(2)).mean(0)


class StepsLast(nn.Module):
    """Yields every step, time last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.sn = nn.Linear(6, 8), snncc.nn.LIF()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.sn(3 * self.fc(x.permute(2, 0, 1)))
        return y.permute(1, 2, 0).mean(-1)


CASES = {
    "time last": (lambda: Written(-1), "NFT", (3, 6, T)),
    "time last, the last step": (lambda: Written(-1, "last"), "NFT", (3, 6, T)),
    "time second": (lambda: Written(1), "NT", (3, T, 6)),
    "time between features": (Video, "NFTFF", (3, 2, T, 6, 6)),
    "steps last": (StepsLast, "NFT", (3, 6, T)),
}


def same_answers(program: Any, module: nn.Module, x: torch.Tensor) -> None:
    module = module.double()
    with torch.no_grad():
        torch.set_default_dtype(torch.float64)
        try:
            expected = module(x)
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.allclose(program.run(x).logits, expected, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_data_is_in_the_modules_order(name: str, tmp_path: Any) -> None:
    make, layout, shape = CASES[name]
    module, x = make().eval(), drawn(*shape)
    graph = snncc.trace(module, x, input="spike", layout=layout)
    assert graph.time_steps == T
    program = snncc.compile(
        module, x, "loihi", input="spike", layout=layout, calibration=drawn(*shape, seed=1)
    )
    same_answers(program, module, drawn(5, *shape[1:], seed=2))
    assert snncc.compare(module, program, drawn(5, *shape[1:], seed=3)).equal
    program.save(tmp_path / "p")
    again = snncc.load(tmp_path / "p")
    same_answers(again, module, drawn(2, *shape[1:], seed=4))


def test_whole_numbers_are_scaled_on_data_in_the_modules_order() -> None:
    module, x = Written(-1).eval(), drawn(3, 6, T)
    options = {"input": "spike", "layout": "NFT", "calibration": drawn(9, 6, T, seed=1)}
    program = snncc.compile(module, x, "loihi", weight_bits=8, **options)
    assert program.run(x).logits.shape == (3, 3)


def test_one_step_with_the_samples_last(spikingjelly: Any) -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.sn = nn.Linear(6, 4), spikingjelly.module("neuron").LIFNode()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.sn(4 * self.fc(x.t()))

    x = drawn(6, 3)
    program = snncc.compile(Step(), x, "loihi", input="spike", layout="FN", time_steps=2)
    assert program.run(drawn(6, 5)).logits.shape == (5, 4)
    assert program.run(drawn(2, 6, 5)).logits.shape == (5, 4)


@pytest.mark.parametrize(
    ("shape", "layout", "code"),
    [
        ((3, 6, T), "XY", "SNN316"), ((3, 6, T), "TT", "SNN316"), ((3, 6, T), "NFTFF", "SNN316"),
        ((3, 6, T), "TN", "SNN"), ((T, 3, 6), "NFT", "SNN"),
    ],
)  # fmt: skip
def test_a_layout_that_does_not_fit(shape: tuple[int, ...], layout: str, code: str) -> None:
    with pytest.raises(SnnccError, match=code):
        snncc.trace(Written(-1), drawn(*shape), input="spike", layout=layout)


def test_data_in_another_order_is_refused() -> None:
    program = snncc.compile(Written(-1), drawn(3, 6, T), "loihi", input="spike", layout="NFT")
    with pytest.raises(SnnccError, match=r"SNN306.*\(T, N, …|SNN306.*\(N, 6, T\)"):
        program.run(drawn(T, 3, 6))


@pytest.mark.parametrize("where", ["batch", "features"])
def test_features_and_samples_stay_apart(where: str) -> None:
    class Mixes(Written):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.flatten(0, 1) if where == "batch" else x.flatten(1)
            return super().forward(x)

    with pytest.raises(SnnccError, match="SNN112"):
        snncc.trace(Mixes(-1), drawn(3, 6, T), input="spike", layout="NFT")


# -- neurons of one's own -----------------------------------------------------------------------


class Own(nn.Module):
    """A neuron that takes all steps, time in axis ``place``; its thresholds are each neuron's."""

    def __init__(self, place: int, size: int = 8) -> None:
        super().__init__()
        self.place = place
        self.register_buffer("bound", torch.linspace(0.5, 1.0, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v, out = torch.zeros_like(x.select(self.place, 0)), []
        for current in x.unbind(self.place):
            v = 0.5 * v + current
            s = (v >= self.bound).to(x.dtype)
            v = v * (1 - s)
            out.append(s)
        return torch.stack(out, self.place)


def reads(layout: str) -> Any:
    def read(module: Any) -> Any:
        spiking = snncc.Spiking(decay=0.5, threshold=snncc.Ref("bound"))
        tensors = {"bound": module.bound.double().numpy()}
        return snncc.NeuronModule(spiking, True, False, tensors, layout=layout)

    return read


class Around(nn.Module):
    def __init__(self, own: Own, before: tuple[int, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.own, self.b, self.before = nn.Linear(6, 8), own, nn.Linear(8, 3), before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.own((3 * self.a(x)).permute(self.before))
        back = [self.before.index(d) for d in range(3)]
        return self.b(y.permute(back)).mean(0)


@pytest.mark.parametrize(
    ("layout", "place", "before"), [("TN", 0, (0, 1, 2)), ("NT", 1, (1, 0, 2))]
)
def test_a_registered_neuron_says_where_its_time_is(
    layout: str, place: int, before: tuple[int, ...]
) -> None:
    snncc.register_neuron(Own, reads(layout))
    module, x = Around(Own(place), before).eval(), drawn(T, 3, 6)
    program = snncc.compile(module, x, "loihi", input="spike", layout="TN")
    assert snncc.compare(module, program, drawn(T, 5, 6, seed=2)).equal
    same_answers(program, module, drawn(T, 5, 6, seed=3))


class Last(nn.Module):
    """Time last, one threshold for all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v, out = torch.zeros_like(x[..., 0]), []
        for current in x.unbind(-1):
            v = 0.5 * v + current
            s = (v >= 1.0).to(x.dtype)
            v = v * (1 - s)
            out.append(s)
        return torch.stack(out, -1)


def test_a_registered_neuron_whose_time_is_last() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.own, self.b = nn.Conv2d(2, 4, 3), Last(), nn.Linear(64, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.permute(4, 0, 1, 2, 3)
            y = 3 * self.conv(y.flatten(0, 1)).unflatten(0, y.shape[:2])
            s = self.own(y.permute(1, 2, 3, 4, 0))
            return self.b(s.flatten(1, 3).mean(-1))

    spiking = snncc.Spiking(decay=0.5)
    snncc.register_neuron(
        Last, lambda module: snncc.NeuronModule(spiking, True, False, layout="NFT")
    )
    module, x = Net().eval(), drawn(3, 2, 6, 6, T)
    program = snncc.compile(module, x, "loihi", input="spike", layout="NFT")
    assert snncc.compare(module, program, drawn(5, 2, 6, 6, T, seed=2)).equal


@pytest.mark.parametrize(
    ("layout", "before", "said"),
    [
        ("NT", (0, 1, 2), "no time axis as in NT"),
        ("TN", (1, 0, 2), "no time axis in front"),
        ("TN", (0, 2, 1), "no time axis in front"),  # its thresholds would meet the samples
        ("N", (0, 1, 2), "no time axis as in N"),
        ("whatever", (0, 1, 2), "no time axis as in whatever"),
    ],
)
def test_a_neuron_that_takes_another_order(layout: str, before: tuple[int, ...], said: str) -> None:
    snncc.register_neuron(Own, reads(layout))
    with pytest.raises(SnnccError, match=said):
        snncc.trace(Around(Own(0), before), drawn(T, 8, 6), input="spike", layout="TN")


def test_a_wrong_place_of_time_is_not_believed() -> None:
    snncc.register_neuron(Own, reads("NT"))
    with pytest.raises(SnnccError, match="SNN319"):
        snncc.trace(Around(Own(0), (1, 0, 2)), drawn(T, 3, 6), input="spike", layout="TN")


# -- the command line ---------------------------------------------------------------------------


SOURCE = "import torch\nfrom torch import nn\nimport snncc\n\n\n"


def test_the_command_line_takes_data_with_time_last(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(inspect.getsource(Video).replace("class", SOURCE + "class", 1))
    monkeypatch.syspath_prepend(tmp_path)
    x = drawn(7, 2, T, 6, 6, seed=5)
    np.savez("data.npz", inputs=x.numpy(), labels=np.zeros(7, int))

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, list(arguments))

    takes = ("--input-shape", "2,6,6", "--time-steps", "4", "--input", "spike")
    model = ("net:Video", "--layout", "NFTFF", *takes)
    result = run("compile", *model, "-o", "out", "--calibrate", "data.npz")
    assert result.exit_code == 0, result.output
    result = run("simulate", "out", "--input", "data.npz")
    assert result.exit_code == 0, result.output
    np.savez("turned.npz", inputs=x.permute(2, 0, 1, 3, 4).numpy())
    result = run("simulate", "out", "--input", "turned.npz")
    assert "the model takes (N, 2, 4, 6, 6)" in result.output
    result = run("check", "net:Video", "--layout", "NXT", *takes)
    assert "'NXT' is no order of T, N and F as TN, N, NT, NFT" in result.output


# -- a layout that is wrong is one finding ------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "shape", "given", "right"),
    [
        (lambda: Written(1), (3, T, 6), None, "NT"),
        (lambda: Written(-1), (3, 6, T), None, "NFT"),
        (lambda: Written(0), (T, 3, 6), "NT", "TN"),
        (StepsLast, (3, 6, T), "N", "NFT"),
    ],
)
def test_the_order_with_which_a_module_is_read_is_named(
    module: Any, shape: tuple[int, ...], given: str | None, right: str
) -> None:
    report = snncc.check(module(), drawn(*shape), input="spike", layout=given)
    (finding,) = report.findings
    assert finding.code == "SNN316"
    assert f"and with {right} it can" in finding.message
    assert f'say layout="{right}"' in finding.help
    with pytest.raises(SnnccError) as raised:
        snncc.compile(module(), drawn(*shape), input="spike", layout=given)
    assert raised.value.findings == report.findings


def test_a_finding_that_no_order_explains_stays() -> None:
    class Branches(Written):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x if x.sum() > 3 else 1 - x)

    report = snncc.check(Branches(1), drawn(3, T, 6), input="spike", layout="NT")
    assert {finding.code for finding in report.findings if finding.is_error} == {"SNN302"}
    report = snncc.check(Branches(1), drawn(3, T, 6), input="spike", layout="TN")
    assert "SNN316" not in {finding.code for finding in report.findings}
