"""What a record says of a module."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest
import torch
from torch import nn

import snncc
from snncc.verification.record import fingerprint, versions


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.sn = nn.Linear(4, 4), snncc.nn.IF()

    def forward(self, x):
        return self.sn(self.fc(x))


class Other(Net):
    def forward(self, x):
        return self.sn(self.fc(x) * 2)


def test_the_fingerprint_is_of_source_and_weights():
    one, two = Net(), Net()
    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one)["source"] != fingerprint(Other())["source"]
    assert fingerprint(one)["weights"] == fingerprint(Other())["weights"]
    two.fc.bias.data += 1
    assert fingerprint(one)["weights"] != fingerprint(two)["weights"]
    assert fingerprint(one)["source"] == fingerprint(two)["source"]
    assert {len(each) for each in fingerprint(one).values()} == {64}


def test_a_class_without_source_has_a_fingerprint():
    names: dict[str, object] = {"nn": nn}
    exec("class Typed(nn.Module):\n    pass", names)
    typed = names["Typed"]
    assert isinstance(typed, type)
    assert fingerprint(typed()) != fingerprint(Net())
    exec("class Typed(nn.Module):\n    def forward(self, x):\n        return x", names)
    other = names["Typed"]
    assert isinstance(other, type)
    assert fingerprint(typed())["source"] != fingerprint(other())["source"]


FILE = """
import torch
from torch import nn

def helper(x):
    return x + 1

class Base(nn.Module):
    def twice(self, x):
        return 2 * x

class Child(Base):
    def forward(self, x):
        return self.twice(helper(x))
"""


def source_of(folder, text, name="fingerprinted"):
    """The fingerprint of the source of a Child in a file of its own."""
    folder.mkdir()
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = found = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(found)
        return fingerprint(found.Child())["source"]
    finally:
        del sys.modules[name]


@pytest.mark.parametrize(("old", "new"), [("x + 1", "x + 2"), ("2 * x", "3 * x")])
def test_a_changed_helper_or_base_class_is_seen_and_the_path_is_not(tmp_path, old, new):
    one = source_of(tmp_path / "a", FILE)
    assert source_of(tmp_path / "b", FILE) == one
    assert source_of(tmp_path / "c", FILE.replace(old, new)) != one


def test_a_base_class_in_another_file_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for factor in (2, 3):
        (tmp_path / "based.py").write_text(FILE.replace("2 * x", f"{factor} * x"))
        child = "from based import Base\n\nclass Child(Base):\n    pass\n"
        found.append(source_of(tmp_path / str(factor), child))
        sys.modules.pop("based")
        importlib.invalidate_caches()
    assert found[0] != found[1]


def test_a_hook_and_a_function_set_on_a_part_are_seen():
    def hook(module, inputs, output):
        return output

    hooked, patched = Net(), Net()
    hooked.fc.register_forward_hook(hook)
    patched.forward = lambda x: x
    found = {fingerprint(each)["source"] for each in (Net(), hooked, patched)}
    assert len(found) == 3


def test_versions_are_those_of_what_is_installed():
    assert {"python", "snncc", "torch", "numpy"} <= versions().keys()
