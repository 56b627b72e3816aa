"""Graphs and Networks in the language of Graphviz."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.ir.dot import dot
from snncc.ir.network import Network, Neuron, Population, Projection, Readout, Source
from snncc.ir.ops import Dense, Ref
from snncc.ir.size import Size


@pytest.fixture
def network():
    places = [
        Source("in", (2,)), Population('a "b"\\', (3,), Neuron()),
        Population("gate", (3,), Neuron(decay=0.0), "gate"), Readout("out", (3,)),
    ]  # fmt: skip
    joined = [
        Projection("in", 'a "b"\\', (Dense(Ref("w")),)), Projection('a "b"\\', "gate"),
        Projection('a "b"\\', 'a "b"\\', delay=1), Projection("gate", "out"),
    ]  # fmt: skip
    return Network.build(places, joined, {"w": np.ones((3, 2))}, name="net")


def test_a_network(network):
    assert dot(network).splitlines() == [
        'digraph "net" {',
        '  "in" [shape=invtriangle, label="in\\n2"];',
        '  "a \\"b\\"\\\\" [shape=ellipse, label="a \\"b\\"\\\\\\n3"];',
        '  "gate" [shape=box, label="gate\\n3"];',
        '  "out" [shape=octagon, label="out\\n3"];',
        '  "in" -> "a \\"b\\"\\\\";',
        '  "a \\"b\\"\\\\" -> "a \\"b\\"\\\\" [style=dashed, label="1"];',
        '  "a \\"b\\"\\\\" -> "gate";',
        '  "gate" -> "out";',
        "}",
    ]


def test_its_size(network):
    size = Size.of(network)
    assert size == Size("Network", nodes=4, edges=4, neurons=6, numbers=6)
