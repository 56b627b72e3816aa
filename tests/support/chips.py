"""Small chips as files, and networks for them."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np

from snncc.ir import Network, Neuron, Population, Projection, Readout, Ref, Source
from snncc.ir.ops import Conv, Dense, Reshape, Sparse
from snncc.ir.stages import Scheduled
from snncc.targets.chip import parse_chip

LOIHI1 = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")


def chip_text(**changes):
    """loihi1.toml with other values."""
    text = LOIHI1.replace('name = "loihi1"', 'name = "small"')
    for key, value in changes.items():
        shown = f'"{value}"' if isinstance(value, str) else value
        text, done = re.subn(rf"(?m)^({key} = {{ value = )[^,]+", rf"\g<1>{shown}", text)
        assert done == 1, key
    return text


def chip(**changes):
    return parse_chip(chip_text(**changes), "small.toml")


def chip_file(folder, **changes):
    path = folder / "small.toml"
    path.write_text(chip_text(**changes))
    return str(path)


def scheduled(network):
    """With every place one step behind the last that it hears at once."""
    levels = {}
    for name in network.places:
        heard = [p.source for p in network.incoming[name] if p.delay == 0]
        levels[name] = max((levels[source] + 1 for source in heard), default=0)
    return Scheduled.of(network, levels)


def dense(inputs, outputs, seed=0, spiking=True):
    """A source, one dense population or readout."""
    weight = np.random.default_rng(seed).normal(size=(outputs, inputs))
    last = Population("a", (outputs,), Neuron()) if spiking else Readout("a", (outputs,))
    return scheduled(Network.build(
        [Source("in", (inputs,)), last],
        [Projection("in", "a", (Dense(Ref("w")),))],
        {"w": weight}, time_steps=2,
    ))  # fmt: skip


def convolutions(channels=(2, 4, 6), size=6, seed=0):
    """Two convolutions, copies of the first, a sum, a sparse map, and a dense readout."""
    random = np.random.default_rng(seed)
    first, second, third = channels
    tensors = {
        "k1": random.normal(size=(second, first, 3, 3)),
        "k2": random.normal(size=(third, second, 3, 3)),
        "fc": random.normal(size=(5, third * size * size)),
    }
    reached = random.random((7, third * size * size)) < 0.1
    tensors["data"] = np.ones(int(reached.sum()))
    tensors["indices"] = np.nonzero(reached)[1]
    tensors["indptr"] = np.concatenate([[0], reached.sum(1).cumsum()])
    conv = {"stride": (1, 1), "padding": (1, 1)}
    return scheduled(Network.build(
        [
            Source("in", (first, size, size)),
            Population("a", (second, size, size), Neuron()),
            Population("a@+1", (second, size, size), Neuron(decay=0.0), "relay"),
            Population("b", (third, size, size), Neuron(decay=0.5)),
            Population("c", (second, size, size), Neuron()),
            Population("d", (7,), Neuron()),
            Readout("y", (5,)),
        ],
        [
            Projection("in", "a", (Conv(Ref("k1"), None, **conv),)),
            Projection("a", "a@+1"),
            Projection("a", "b", (Conv(Ref("k2"), None, **conv),)),
            Projection("a", "c"),
            Projection("a@+1", "c"),
            Projection("b", "d", (Sparse(Ref("data"), Ref("indices"), Ref("indptr"), (7,)),)),
            Projection("b", "y", (Reshape((third * size * size,)), Dense(Ref("fc")))),
        ],
        tensors, time_steps=2,
    ))  # fmt: skip
