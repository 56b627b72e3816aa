"""A network in whole numbers as one C file: tables of its places and projections, and `network.c`.

The tables are of flat places in C order. A projection is a matrix with a row for each neuron of its
target, so that convolutions are unrolled: simple, and large for large networks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib.resources import files
from textwrap import fill

import numpy as np

from snncc.ir.matrix import compose
from snncc.ir.network import Encoder, Network, Place, Population, Projection, Source
from snncc.ir.ops import Conv, Ref
from snncc.ir.registers import FixedNeuron, Whole

SOURCE_FILE = "network.c"
TABLES = "/* TABLES */\n"
"""The line of the template that the tables take the place of."""


def c_file(network: Network) -> str:
    """The whole file."""
    template = files("snncc_c").joinpath(SOURCE_FILE).read_text(encoding="utf-8")
    return template.replace(TABLES, "\n".join(_tables(network)) + "\n")


def _tables(network: Network) -> Iterator[str]:
    """Arrays of numbers, then the places and the projections that point to them."""
    places = [place for place in network.places.values() if not isinstance(place, Encoder)]
    number = {place.name: index for index, place in enumerate(places)}
    projections = [p for p in network.projections if p.source in number]
    for index, place in enumerate(places):
        if isinstance(place, Population):
            yield from _registers(index, place, network)
    for index, projection in enumerate(projections):
        yield from _matrix(index, projection, network)
    yield "static const place places[] = {"
    yield from (_place(index, place, network) for index, place in enumerate(places))
    yield "};\nstatic const projection projections[] = {"
    for index, p in enumerate(projections):
        wraps = int(any(isinstance(op, Conv) for op in p.map))
        said = f"{number[p.source]}, {number[p.target]}, {p.delay}, {wraps}"
        yield f"    {{{said}, start{index}, from{index}, weight{index}}},"
    if not projections:
        yield "    {0, 0, 0, 0, 0, 0, 0},"
    yield "};"
    yield f"enum {{ PLACES = {len(places)}, PROJECTIONS = {len(projections)} }};"


def _place(index: int, place: Place, network: Network) -> str:
    size = math.prod(place.shape)
    depth = 1 + max((p.delay for p in network.outgoing[place.name]), default=0)
    hosted = any(
        isinstance(network.places[p.source], Encoder) for p in network.incoming[place.name]
    )
    said = f"{size}, {depth}, {int(hosted)}"
    if isinstance(place, Population):
        neuron = place.neuron
        assert isinstance(neuron, FixedNeuron)
        kinds = neuron.reset.upper(), neuron.when.upper(), neuron.bias_into.upper()
        said += f", POPULATION, {', '.join(kinds)}, "
        said += ", ".join(f"{name}{index}" for name in ("vth", "dv", "du", "bias", "initial"))
    else:
        said += ", SOURCE" if isinstance(place, Source) else ", READOUT"
    return f"    {{{said}}}, // {index}: {json.dumps(place.name)}"


def _registers(index: int, place: Population, network: Network) -> Iterator[str]:
    """The numbers of each neuron."""
    neuron = place.neuron
    assert isinstance(neuron, FixedNeuron)

    def each(number: Whole) -> np.ndarray:
        values = network.tensors[number] if isinstance(number, Ref) else number
        return np.broadcast_to(np.asarray(values, np.int64), place.shape)

    bias = each(neuron.bias_mant) << each(neuron.bias_exp)
    values = {"vth": neuron.vth, "dv": neuron.dv, "du": neuron.du, "initial": neuron.initial}
    for name, array in {**{n: each(v) for n, v in values.items()}, "bias": bias}.items():
        yield _array(f"{name}{index}", array)


def _matrix(index: int, projection: Projection, network: Network) -> Iterator[str]:
    """Row i has the synapses of target i, from ``start[i]`` on."""
    source = network.places[projection.source]
    rows = compose(projection.map, source.shape, network.tensors)
    yield _array(f"start{index}", rows.indptr)
    yield _array(f"from{index}", rows.indices)
    yield _array(f"weight{index}", rows.data)


def _array(name: str, values: np.ndarray) -> str:
    numbers = [str(int(value)) for value in np.ravel(values)] or ["0"]
    text = fill(", ".join(numbers), 100, break_on_hyphens=False)
    return f"static const int32_t {name}[] = {{\n{text}}};"
