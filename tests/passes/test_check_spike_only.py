"""check-spike-only: one verdict for one architecture, whatever the weights and the data are."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from wrong_models import WRONG
from zoo import Zoo

import snncc

pytestmark = pytest.mark.slow
LAYERS = (nn.Linear, nn.Conv2d, nn.MultiheadAttention, nn.modules.batchnorm._BatchNorm)
NETWORKS = [
    name
    for name, wrong in WRONG.items()
    if not wrong.needs and all(code[3] in "1245" for code in wrong.codes)
]


def drawn(module, how, seed):
    """``module`` with other weights in its layers and norms."""
    source = torch.Generator().manual_seed(seed)
    for part in module.modules():
        for name, tensor in [
            *part.named_parameters(recurse=False),
            *part.named_buffers(recurse=False),
        ]:
            if not isinstance(part, LAYERS) or not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=source)
            noise = noise.abs() if name == "running_var" else noise
            tensor.data = {"zero": 0 * noise, "huge": 1e6 * noise, "integer": noise.round(),
                           "negative": -noise.abs()}[how]  # fmt: skip
            if name == "running_var":
                tensor.data = tensor.data.abs()
    return module


def said(module, example, **options):
    report = snncc.check(module, example, **options)
    return [(f.code, f.message, f.location, f.node) for f in report.findings]


HOW = ["zero", "huge", "integer", "negative"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_verdict_is_that_of_the_architecture(name):
    wrong = WRONG[name]
    first = said(wrong.make(), wrong.example, **wrong.options)
    for seed, how in enumerate(HOW):
        assert said(drawn(wrong.make(), how, seed), wrong.example, **wrong.options) == first, how


@pytest.mark.parametrize("name", NETWORKS)
def test_and_not_of_the_data(name):
    wrong = WRONG[name]
    first = said(wrong.make(), wrong.example, **wrong.options)
    for other in (torch.zeros_like(wrong.example), 1e6 * wrong.example):
        assert said(wrong.make(), other, **wrong.options) == first


@pytest.mark.parametrize("cnf", ["ADD", "AND", "IAND"])
def test_residual_networks(spikingjelly, cnf):
    zoo, x = Zoo(spikingjelly), torch.rand(4, 2, 3, 32, 32)
    first = said(zoo("sew_resnet18", cnf=cnf).eval(), x)
    assert {code for code, *_ in first} <= {"SNN501", "SNN502", "SNN503", "SNN505", "SNN507"}
    for seed, how in enumerate(HOW[1:3]):
        assert said(drawn(zoo("sew_resnet18", cnf=cnf).eval(), how, seed), x) == first
