"""The page as people see it: narrow and wide, light and dark, on the screen and printed."""

from __future__ import annotations

import chromium
import numpy as np
import pytest
import torch

import snncc
from snncc import report, run_report
from snncc.program import sections
from snncc.simulation import simulate


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if chromium.found() is None:
        from conftest import missing

        missing(f"no browser is installed that is named {' or '.join(chromium.NAMES)}")
    with chromium.tab(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with every section: whole numbers, cores, a run, the chip, a sample."""
    torch.manual_seed(0)
    module = snncc.nn.DualStreamResNet(
        in_channels=2, classes=4, widths=[4, 6], blocks=[1, 1], gate="or"
    ).eval()
    inputs = (np.random.default_rng(0).random((5, 4, 2, 8, 8)) < 0.4).astype(np.uint8)
    program = snncc.compile(
        module, inputs, "loihi1", input="spike", weight_bits=8, calibration=inputs
    )
    simulation = simulate(program, inputs, level="cycle")
    several = [
        *sections.sections(program),
        *run_report.sections(
            program, simulation, "data", np.arange(4), {0: program.arrange(inputs[:, :1])}
        ),
    ]
    path = tmp_path_factory.mktemp("page") / "run.html"
    report.write(path, "a network", several)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_screen(tab, page, tmp_path, width, dark):
    assert page.stat().st_size < 3_000_000
    assert tab.open(page, width=width, dark=dark) < 3
    for folded in (True, False):
        if not folded:
            tab.run("document.querySelectorAll('details').forEach((each) => { each.open = true })")
        assert tab.run(chromium.OVERFLOW) == []
        assert tab.run(chromium.CONTRAST) == []
    tab.shoot(tmp_path / f"{width}.png")
    assert (tmp_path / f"{width}.png").stat().st_size > 20_000
    assert tab.run("document.querySelectorAll('svg').length") > 20
    assert tab.errors == []


@pytest.mark.slow
def test_printed(tab, page):
    tab.open(page, width=700, dark=True, media="print")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run(chromium.CONTRAST) == []
    hidden = "[...document.querySelectorAll('td')].filter((e) => !e.getBoundingClientRect().height)"
    assert tab.run(f"{hidden}.length") == 0


@pytest.mark.slow
def test_what_is_too_wide_or_too_pale_is_found(tab, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<body style='background: #fff'><p style='width: 900px'>wide</p>"
        "<p style='color: #999'>pale</p><script>console.error('said')</script>"
    )
    tab.open(path, width=400)
    assert tab.run(chromium.OVERFLOW)
    (pale,) = tab.run(chromium.CONTRAST)
    assert "pale 2.85" in pale
    assert tab.errors
    tab.errors.clear()
