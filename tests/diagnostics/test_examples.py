"""The examples that `snncc explain` shows: the first has its finding, the other one compiles.

An example is a piece of a network: its lines run in ``forward``, those that set an attribute in
``__init__``, and functions called forward stand for themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import snntorch
import torch
import torch.nn.functional as F
from torch import nn

import snncc
from snncc.diagnostics import RULES
from snncc.nn import IF

T, N = 5, 2


class Cell(nn.Module):
    """A neuron of one step."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Any = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = self.v + x
        s = (v >= 1).to(x.dtype)
        self.v = v * (1 - s)
        return s


snncc.register_neuron(
    Cell, lambda cell: snncc.NeuronModule(snncc.Spiking(), multi_step=False, keeps_state=True)
)


def drawn(*shape: int) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.5).float()


@dataclass(frozen=True)
class Around:
    """What stands around an example: its input, the options of `check`, and lines of code.

    ``instead``: the options of the second example where they are others.
    """

    x: torch.Tensor
    options: Mapping[str, Any] = field(default_factory=dict)
    instead: Mapping[str, Any] = field(default_factory=dict)
    layers: str = ""
    before: str = ""


STEP = {"layout": "N", "time_steps": T}
IMAGE, FLAT, TOKENS = drawn(N, 4, 6, 6), drawn(N, 8), drawn(N, 5, 8)
TIMED = drawn(T, N, 8)
TWO_DIMENSIONS = "self.sn, self.sn1, self.sn2 = IF(), IF(), IF()"
ATTENTION = "self.sq, self.sk, self.sv = Cell(), Cell(), Cell()"
QKV = "q, k, v = self.sq(self.fc(x)), self.sk(self.fc1(x)), self.sv(self.fc2(x))"
STRICT = {"strict": True, "input": "analog"}
MANY = "self.sns = nn.ModuleList(IF(1 + i / 8) for i in range(8)); self.sn = IF()"
NORMS = "self.bns = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(5)); self.bn = self.bns[0]"

AROUND = {
    "SNN101": Around(IMAGE, STEP | STRICT, STEP | {"strict": True}),
    "SNN102": Around(IMAGE, STEP | STRICT, STEP | {"strict": True}),
    "SNN103": Around(IMAGE, STEP),
    "SNN104": Around(IMAGE, STEP),
    "SNN105": Around(IMAGE, STEP),
    "SNN106": Around(IMAGE, STEP),
    "SNN107": Around(TOKENS, STEP, layers=ATTENTION, before=QKV),
    "SNN108": Around(IMAGE, STEP),
    "SNN109": Around(TIMED, layers=MANY),
    "SNN111": Around(IMAGE, STEP),
    "SNN112": Around(TIMED, layers=TWO_DIMENSIONS),
    "SNN114": Around(FLAT, STEP, layers="self.lif = snntorch.Leaky(0.9)"),
    "SNN115": Around(
        FLAT, {"layout": "N", "input": "analog"}, before="mem, adapt, total = 0, torch.ones(8), 0"
    ),
    "SNN301": Around(IMAGE, STEP),
    "SNN302": Around(IMAGE, STEP),
    "SNN310": Around(FLAT, STEP),
    "SNN311": Around(TIMED, layers=TWO_DIMENSIONS),
    "SNN315": Around(TIMED, layers=TWO_DIMENSIONS),
    "SNN318": Around(TIMED, layers=f"{TWO_DIMENSIONS}; {NORMS}", before="out = []"),
    "SNN403": Around(
        IMAGE, STEP, layers="self.fc_coarse, self.fc_fine = self.flat(2), self.flat(4)"
    ),
}
"""The rules of which a network alone decides."""


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv1, self.conv2 = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.fc, self.fc1, self.fc2 = (nn.Linear(8, 8) for _ in range(3))
        self.bn1, self.bn2, self.relu = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.ReLU()
        self.sn, self.sn1, self.sn2 = Cell(), Cell(), Cell()

    def flat(self, features: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(4 * 6 * 6, features))


def network(code: str, around: Around) -> nn.Module:
    """The network whose forward is ``code``."""
    setting, running = [ast.parse(around.layers)], [ast.parse(around.before)]
    forward: ast.FunctionDef | None = None
    for line in ast.parse(code).body:
        if isinstance(line, ast.FunctionDef):
            forward = line
        elif isinstance(line, ast.Assign) and ast.unparse(line.targets[0]).startswith("self."):
            setting.append(line)
        else:
            running.append(line)
    if forward is None:
        last = running[-1]
        if isinstance(last, ast.For):
            running.append(ast.parse("out = total").body[0])
        elif isinstance(last, ast.Assign):
            running.append(ast.parse(f"out = {ast.unparse(last.targets[0])}").body[0])
        lines = "\n".join(map(ast.unparse, running))
        ends = "" if isinstance(last, ast.Return) else "\nreturn out"
        given = "def forward(self, x):\n    spikes = image = events = x\n"
        body = "\n".join(f"    {each}" for each in (lines + ends).splitlines())
        forward = ast.parse(given + body).body[0]  # type: ignore[assignment]
    known = {"torch": torch, "nn": nn, "F": F, "snntorch": snntorch, "IF": IF, "Cell": Cell}
    assert forward is not None
    exec(ast.unparse(forward), known)
    kind = type("Net", (Layers,), {"forward": known["forward"]})
    torch.manual_seed(0)
    made: nn.Module = kind()
    for each in setting:
        exec(ast.unparse(each), known, {"self": made})
    return made.eval()


def codes(code: str, around: Around, options: Mapping[str, Any]) -> list[str]:
    given = {"input": "spike"} | options
    findings = snncc.check(network(code, around), around.x, "reference", **given).findings
    return [finding.code for finding in findings if finding.is_error]


@pytest.mark.slow
@pytest.mark.parametrize("code", AROUND)
def test_the_example_has_its_finding_first(code: str) -> None:
    around = AROUND[code]
    found = codes(RULES[code].example, around, around.options)
    assert found[0 if code != "SNN102" else 1] == code  # of an analog input conv1 is one, too


@pytest.mark.slow
@pytest.mark.parametrize("code", AROUND)
def test_the_other_example_compiles(code: str) -> None:
    around, options = AROUND[code], AROUND[code].instead or AROUND[code].options
    assert codes(RULES[code].after, around, options) == []
    module = network(RULES[code].after, around)
    program = snncc.compile(module, around.x, "reference", **({"input": "spike"} | options))
    assert program.network.populations
