"""Mappings: on disk and back, and held against their network."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.diagnostics import SnnccError
from snncc.ir.mapping import Mapping
from snncc.ir.text import parse_network

NETWORK = parse_network("""
network n {
  source %in [2] spike
  neuron %a [2] {}
    %in -> %a
  readout %y [2] {}
    %a -> %y
}""")


def mapping(**more):
    return Mapping(1, {"in": [0, 1], "a": [2, 3], "y": [0, 0], **more})


def test_it_comes_back_from_a_file(tmp_path):
    before = mapping(**{"layer1.0/sn": np.arange(6).reshape(1, 2, 3), "chips": [1]})
    before.save(tmp_path / "m.npz")
    after = Mapping.load(tmp_path / "m.npz")
    assert after.chips == 1
    assert after.core_of.keys() == before.core_of.keys()
    for name, core in after.core_of.items():
        assert core.dtype == np.int32
        assert np.array_equal(core, before.core_of[name])
    assert list(mapping().cores) == [0, 1, 2, 3]


def test_it_is_a_value():
    with pytest.raises(ValueError, match="read-only"):
        mapping().core_of["a"][0] = 1


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 damaged"])
def test_a_file_that_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(SnnccError, match="SNN305.*no readable mapping"):
        Mapping.load(tmp_path / "m.npz")


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "m.npz", chips=1, **{"core.a": np.array([object()])})
    with pytest.raises(SnnccError, match="SNN305"):
        Mapping.load(tmp_path / "m.npz")


def test_verify_names_the_place():
    mapping().verify(NETWORK.on_chip, 4)
    assert list(NETWORK.on_chip) == ["in", "a", "y"]
    with pytest.raises(ValueError, match="place y is on a core that 1 chips do not have"):
        mapping(y=[4, 0]).verify(NETWORK.on_chip, 4)
    with pytest.raises(ValueError, match="place a has shape"):
        mapping(a=[0]).verify(NETWORK.on_chip, 4)
    with pytest.raises(ValueError, match="place b is mapped and not there"):
        mapping(b=[0]).verify(NETWORK.on_chip, 4)
    with pytest.raises(ValueError, match="place a is on no core"):
        Mapping(1, {"in": [0, 1], "y": [0, 0]}).verify(NETWORK.on_chip, 4)
