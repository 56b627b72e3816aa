"""What a fixed Network refuses to be, its text and its files."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir.files import load, save
from snncc.ir.network import FixedNeuron
from snncc.ir.text import parse_network, print_network

TEXT = """network tiny steps=3 {
  source %x [2] @0 spike
  neuron %a [2] @1 fixed{vth=@theta, dv=@leak, bias_mant=-3, bias_exp=2, reset='soft'} for %sn
    %x -> %a > dense{weight=@w}
  gate %g [2] @2 fixed{vth=1, dv=4096}
    %a -> %g > scale{factor=2.0}
  readout %0 [1] @3 {unit=0.25}
    %g -> %0 > reshape{shape=(2,)} > dense{weight=@v}
  tensor @theta int32 [2] = [20, 9]
  tensor @leak int16 [2] = [0, 4095]
  tensor @w int16 [2,2] = [[-256, 10], [4, 254]]
  tensor @v int16 [1,2] = [[2, -2]]
}"""


def test_the_text_parses_back():
    network = parse_network(TEXT)
    assert network.places["a"].neuron == FixedNeuron("theta", "leak", 4095, -3, 2, reset="soft")
    once = print_network(network)
    assert print_network(parse_network(once)) == once
    assert "fixed{vth=@theta, dv=@leak, bias_mant=-3, bias_exp=2, reset='soft'}" in once
    assert "{unit=0.25}" in once
    assert [t.dtype.name for t in network.tensors.values()] == ["int32", "int16", "int16", "int16"]


def test_saved_and_loaded_it_is_the_same(tmp_path):
    network = parse_network(TEXT.replace("= [[2, -2]]", ""), {"v": np.array([[2, -2]], np.int16)})
    save(network, tmp_path)
    assert print_network(load(tmp_path)) == print_network(network)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[20, 9]", "[20, -1]", "population a: vth goes from -1 to 20, beyond 0 to 131071"),
        ("[20, 9]", "[20, 131072]", "vth goes from 20 to 131072, beyond"),
        ("vth=1,", "vth=1.5,", "population g: vth is float64 and no whole number"),
        ("theta int32", "theta float64", "vth is float64 and no whole number"),
        ("[0, 4095]", "[0, 4097]", "dv goes from 0 to 4097, beyond 0 to 4096"),
        ("bias_mant=-3", "du=4096", "du goes from 4096 to 4096, beyond 0 to 4095"),
        ("bias_mant=-3", "bias_mant=4096", "bias_mant goes from 4096"),
        ("bias_exp=2", "bias_exp=8", "bias_exp goes from 8 to 8, beyond 0 to 7"),
        ("[[-256, 10], [4, 254]]", "[[-256, 9], [4, 254]]",
         "projection x -> a has weights that are not even whole numbers"),
        ("[[-256, 10], [4, 254]]", "[[-258, 10], [4, 254]]",
         "projection x -> a has weights from -258 to 254, beyond -256 to 254"),
        ("factor=2.0", "factor=256.0", "projection a -> g has weights from 256 to 256"),
        (" > scale{factor=2.0}", "", "projection a -> g is not one conv, dense, sparse or scale"),
        ("[1,2] = [[2, -2]]", "[1,2] = [[2, -3]]", "projection g -> 0 has weights that are not"),
        ("fixed{vth=1, dv=4096}", "{}", "population g: not in whole numbers as the others are"),
    ],
)  # fmt: skip
def test_what_no_register_holds_is_refused(old, new, complaint):
    assert old in TEXT
    with pytest.raises(ValueError, match=complaint):
        parse_network(TEXT.replace(old, new))
