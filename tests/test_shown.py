"""What a program and a report look like in a terminal and in a notebook."""

from __future__ import annotations

import torch
from torch import nn

import snncc

LAYERS = nn.Sequential(nn.Linear(4, 3), snncc.nn.IF(), nn.Linear(3, 2)).eval()
EXAMPLE = torch.zeros(5, 1, 4)


def test_a_program_is_what_compile_prints():
    program = snncc.compile(LAYERS, EXAMPLE, "loihi", input="spike")
    said = str(program)
    assert "3 neurons in 1 population" in said
    assert "0 of" in said.partition("verified")[2]
    assert program._repr_html_().startswith("<pre>")
    assert "&gt;" not in said


def test_a_report_is_what_check_prints():
    report = snncc.check(nn.Sequential(snncc.nn.IF(), nn.LayerNorm(4), snncc.nn.IF()), EXAMPLE)
    assert "SNN106 error:" in str(report)
    assert "--&gt;" in report._repr_html_()
