"""PyTorch 2 archives: read without torch's loader, and the network is that of the module."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile

import pytest
import torch
from torch import nn

import snncc
from snncc.diagnostics import SnnccError
from snncc.frontends.checkpoints import open_model
from snncc.frontends.exported.archive import read_archive
from snncc.frontends.onnx.module import FileModule


class Loop(nn.Module):
    """Two layers of arithmetic, a soft and a hard reset."""

    def __init__(self):
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):  # (T, N, 6)
        v1, v2, out = torch.zeros(x.shape[1], 8), 0, []
        for t in range(x.shape[0]):
            v1 = 0.75 * v1 + self.norm(self.fc1(x[t]))
            s = (v1 >= 0.25).float()
            v1 = v1 - 0.25 * s
            v2 = v2 + (self.fc2(s) - v2) / 2.0
            o = (v2 > 0.0625).float()
            v2 = v2 * (1 - o)
            out.append(o)
        return torch.stack(out)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.fire, self.pool = snncc.nn.LIF(), nn.AvgPool2d(2)
        self.fc, self.out = nn.Linear(36, 3), snncc.nn.IF()

    def forward(self, x):  # (T, N, 2, 6, 6)
        y = self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        y = self.pool(self.fire(3 * y).flatten(0, 1)).flatten(1)
        return self.out(6 * self.fc(y).unflatten(0, x.shape[:2])).mean(0)


def archive(module: nn.Module, x: torch.Tensor) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module.eval(), (x,)), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def loop():
    torch.manual_seed(0)
    return Loop(), (torch.rand(5, 3, 6) < 0.5).float()


@pytest.fixture(scope="module")
def exported(loop):
    """The archive of ``loop``."""
    return archive(*loop)


def is_the_network_of(module: nn.Module, x: torch.Tensor, path) -> None:
    path.write_bytes(archive(module, x))
    found = open_model(str(path))
    assert found.shape == tuple(x.shape)
    program = snncc.compile(found.module, x, layout="TN", input="spike")
    more = torch.cat([x, 1 - x], 1)
    result, wanted = program.run(more), module(more)
    outputs = result.outputs if result.outputs.shape == wanted.shape else result.logits
    assert torch.equal(outputs.float(), wanted)
    assert wanted.any()


def test_a_loop_written_out_is_rolled_up(loop, tmp_path):
    is_the_network_of(*loop, tmp_path / "net.pt2")


@pytest.mark.slow
def test_convolutions_and_neurons_of_a_library(tmp_path):
    torch.manual_seed(0)
    x = (torch.rand(5, 3, 2, 6, 6) < 0.5).float()
    is_the_network_of(Convolutions(), x, tmp_path / "net.pt2")


def repacked(data: bytes, change) -> bytes:
    """The archive with ``change`` applied to its members, a dict of bytes by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return buffer.getvalue()


def member(members: dict[str, bytes], end: str) -> str:
    return next(name for name in members if name.endswith(end))


def edited(data: bytes, end: str, edit) -> bytes:
    def change(members):
        name = member(members, end)
        content = json.loads(members[name])
        edit(content)
        members[name] = json.dumps(content).encode()

    return repacked(data, change)


def test_what_is_refused(loop, exported):
    (_, x), data = loop, exported

    def other_version(program):
        program["schema_version"]["major"] = 99

    def later(program):
        nodes = program["graph_module"]["graph"]["nodes"]
        nodes.insert(0, nodes.pop())

    def pickled(config):
        next(iter(config["config"].values()))["use_pickle"] = True

    def longer(config):
        next(iter(config["config"].values()))["tensor_meta"]["sizes"] = [{"as_int": 2**40}]

    for end, edit, code in (
        ("models/model.json", other_version, "SNN305"), ("models/model.json", later, "SNN305"),
        ("weights_config.json", pickled, "SNN304"), ("weights_config.json", longer, "SNN305"),
    ):  # fmt: skip
        with pytest.raises(SnnccError, match=code):
            read_archive(edited(data, end, edit), "net.pt2")

    def unknown(program):
        node = next(n for n in program["graph_module"]["graph"]["nodes"] if "linear" in n["target"])
        node["target"] = "torch.ops.evil.run.default"

    module = FileModule(read_archive(edited(data, "models/model.json", unknown), "net.pt2"))
    report = snncc.check(module, x, layout="TN")
    assert {f.code for f in report.findings if f.is_error} == {"SNN301"}
    assert "torch.ops.evil.run.default" in report.findings[0].message


def test_a_module_that_keeps_something_is_refused():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen.add_(1)
            return x * self.seen

    with pytest.raises(SnnccError, match="SNN301.*leaves something behind"):
        read_archive(archive(Counts(), torch.zeros(3, 4)), "net.pt2")


def damaged(data: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    if seed % 3 == 0:
        return data[: chance.randrange(len(data))]
    if seed % 3 == 1:
        changed = bytearray(data)
        for _ in range(5):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)

    def shuffle(program):
        """Some value deep inside becomes another one."""
        at = program
        for _ in range(chance.randrange(2, 12)):
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                return
            key = chance.choice(keys)
            if not isinstance(at[key], dict | list) or chance.random() < 0.1:
                at[key] = chance.choice([None, -1, 2**62, "x", [], {}, 0.5, True])
                return
            at = at[key]

    return edited(data, "models/model.json", shuffle)


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 66), marks=pytest.mark.slow)])
def test_a_damaged_archive_is_a_finding(loop, exported, seeds):
    (_, x), data = loop, exported
    for seed in seeds:
        try:
            found = FileModule(read_archive(damaged(data, seed), "net.pt2"))
            snncc.frontends.torch.trace(found, x, layout="TN", input="spike")
        except SnnccError as error:
            if any("\n" in finding.message for finding in error.findings):
                raise ValueError(f"no sentence: {error}") from error
