"""Which loops of a file another tool runs as they are meant. Rules:

1. nirtorch 2.6, with which snnTorch, Norse and SpikingJelly read files, goes through the parts by
   name; where a part of a loop has several inputs, those that it has not met yet are values of the
   step before. That is what the file means where only one part of the loop has several inputs, and
   only one of these comes from the loop
2. snnTorch 1.0 makes a neuron and the layer that leads back to it into one part, which nirtorch 2.6
   does not take
3. sinabs computes all steps of a layer at once, and has no loops
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import networkx as nx

from snncc.backends.nir.neurons import Reader

Kinds = Mapping[str, str]
"""The kind of each part."""


def unread(kinds: Kinds, inputs: Mapping[str, Sequence[str]], reader: Reader) -> tuple[str, str]:
    """A part of a loop that ``reader`` would run as another network, and why; or two empty words.

    ``inputs``: what each part reads.
    """
    if reader.loops == "all":
        return "", ""
    for loop in _loops(inputs):
        joins = [name for name in loop if len(inputs[name]) > 1]
        if reader.loops == "none":
            return loop[0], f"{reader.name} reads no network that feeds back"
        if len(joins) != 1 or sum(each in loop for each in inputs[joins[0]]) != 1:
            said = "reads a loop only where one part of it has several inputs, one from the loop"
            return loop[0], f"{reader.name} {said}"
        pair = sorted(kinds[name] in ("Affine", "Linear") for name in loop) == [False, True]
        if reader.loops == "longer" and pair:
            return loop[0], f"{reader.name} does not read a layer from a neuron back to itself"
    return "", ""


def _loops(inputs: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """The parts that lead back to themselves, each group sorted."""
    edges = nx.DiGraph()
    edges.add_nodes_from(inputs)
    edges.add_edges_from((each, name) for name, given in inputs.items() for each in given)
    for group in nx.strongly_connected_components(edges):
        name = next(iter(group))
        if len(group) > 1 or edges.has_edge(name, name):
            yield sorted(group)
