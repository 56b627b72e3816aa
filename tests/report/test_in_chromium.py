"""The page as people see it: narrow and wide, light and dark, on the screen and printed."""

from __future__ import annotations

import chromium
import numpy as np
import pytest
import torch
from small_program import on_a_chip

import snncc
from snncc import report, run_report
from snncc.program import sections
from snncc.simulation import simulate


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with every section: whole numbers, cores, a run, the chip, a sample."""
    program, inputs = on_a_chip()
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


@pytest.mark.slow
def test_the_report_of_18_layers_at_224_by_224_opens_in_under_3_seconds(tab, tmp_path):
    module = snncc.nn.DualStreamResNet(
        3, 1000, (64, 128, 256, 512), (2, 2, 2, 2), "iand", "basic", time_steps=4, stem_kernel=7,
        stem_stride=2, stem_pool=True,
    ).eval()  # fmt: skip
    program = snncc.compile(module, torch.rand(1, 3, 224, 224), "reference", verify=False)
    image = torch.rand(1, 3, 224, 224)
    simulation = simulate(program, image)
    shown = {0: program.arrange(image)}
    path = tmp_path / "run.html"
    several = run_report.sections(program, simulation, "data", np.array([3]), shown)
    report.write(path, "18 layers", [*sections.sections(program), *several])
    assert path.stat().st_size < 3_000_000
    assert tab.open(path, width=1280) < 3
    assert tab.run(chromium.OVERFLOW) == []
    assert tab.errors == []
