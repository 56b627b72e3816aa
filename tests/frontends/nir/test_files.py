"""NIR files of other frameworks: the spikes that these frameworks have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import Said, open_model

pytest.importorskip("h5py")

FILES = Path(__file__).parent / "files"
SAID = {
    "snntorch_leaky_subtract_delay_true": Said(reset="soft", reset_when="next"),
    "snntorch_leaky_subtract_delay_false": Said(reset="soft", reset_when="both"),
    "spikingjelly_lif_v_reset_2": Said(dt=1e-4),
    "spikingjelly_if": Said(dt=1e-4),
    "norse_imports_cubalif": Said(dt=1e-3),
    "sinabs_iaf_single": Said(),
    "export_lif_r_tau": Said(),
}
"""What a user says that the file does not."""


def samples(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (T, 1, 12) and spikes (T, 1, n)."""
    with np.load(FILES / f"{name}.npz") as arrays:
        x, y = (torch.from_numpy(arrays[key]).double()[:, None] for key in ("x", "y"))
    return x, y


@pytest.mark.parametrize("name", SAID)
def test_the_module_has_the_spikes_of_the_framework(name):
    x, y = samples(name)
    opened = open_model(str(FILES / f"{name}.nir"), said=SAID[name])
    assert opened.features == (12,)
    assert torch.equal(opened.module(x), y)
    assert y.any()
    assert not y.all()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SAID)[1:6:2])
def test_the_program_has_the_spikes_of_the_framework(name):
    x, y = samples(name)
    opened = open_model(str(FILES / f"{name}.nir"), said=SAID[name])
    program = snncc.compile(opened.module, x, input="spike", layout="TN")
    assert torch.equal(program.run(x).outputs, y)
    assert snncc.compare(opened.module, program, x).equal


def test_the_report_says_how_the_file_was_read():
    opened = open_model(str(FILES / "export_lif_r_tau.nir"))
    (note,) = opened.notes
    assert note.code == "SNN509"
    assert "steps of 0.0001 s" in note.message
    assert "hard reset" in note.message
    assert "r = τ/dt" in note.message


def test_several_spikes_a_step_are_warned_of():
    """sinabs counts: its spikes are not those of neurons that fire once per step."""
    opened = open_model(str(FILES / "sinabs_iaf.nir"), said=Said(reset="soft"))
    assert [note.code for note in opened.notes] == ["SNN509", "SNN510"]
    x, y = samples("sinabs_iaf")
    assert y.max() > 1
    assert opened.module(x).max() == 1


def test_what_nobody_says_is_asked_for():
    for name in ("norse_imports_cubalif", "spikingjelly_lif_v_reset_2"):
        with pytest.raises(SnnccError, match=r"does not say how long a step is.*--dt") as caught:
            open_model(str(FILES / f"{name}.nir"))
        assert caught.value.findings[0].code == "SNN316"


@pytest.mark.slow
def test_a_recurrent_network_compiles():
    opened = open_model(str(FILES / "braille.nir"))
    torch.manual_seed(0)
    x = (torch.rand(30, 2, 12) < 0.4).double()
    program = snncc.compile(opened.module, x[:, :1], input="spike", layout="TN")
    comparison = snncc.compare(opened.module, program, x)
    assert comparison.equal
    assert comparison.compared == 30 * 2 * 45
    assert opened.module(x).any()
