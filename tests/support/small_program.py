"""A small residual network in whole numbers on a chip, compiled with data."""

from __future__ import annotations

import numpy as np
import torch

import snncc


def on_a_chip() -> tuple[snncc.Program, np.ndarray]:
    """The program, and the recordings (5, 4, 2, 8, 8) that it was calibrated on."""
    torch.manual_seed(0)
    module = snncc.nn.DualStreamResNet(
        in_channels=2, classes=4, widths=[4, 6], blocks=[1, 1], gate="or"
    ).eval()
    inputs = (np.random.default_rng(0).random((5, 4, 2, 8, 8)) < 0.4).astype(np.uint8)
    program = snncc.compile(
        module, inputs, "loihi1", input="spike", weight_bits=8, calibration=inputs
    )
    return program, inputs
