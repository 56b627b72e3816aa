"""What a record says of a module."""

from __future__ import annotations

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


def test_versions_are_those_of_what_is_installed():
    assert {"python", "snncc", "torch", "numpy"} <= versions().keys()
