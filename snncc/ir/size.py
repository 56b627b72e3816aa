"""How large a network is, in either form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from snncc.ir.graph import Graph
from snncc.ir.network import Network


@dataclass(frozen=True)
class Size:
    """Of a Graph ops, their arguments and neurons; of a Network places, projections and neurons.

    ``numbers``: all that its tensors hold. ``form`` is the name of the stage: Graph, Network, …
    """

    form: str
    nodes: int
    edges: int
    neurons: int
    numbers: int

    @classmethod
    def of(cls, form: Graph | Network) -> Self:
        """The size of a network."""
        if isinstance(form, Graph):
            nodes, edges = len(form.nodes), sum(len(n.inputs) for n in form.nodes.values())
            neurons = sum(math.prod(node.signal.shape) for node in form.neurons)
        else:
            nodes, edges = len(form.places), len(form.projections)
            neurons = sum(math.prod(place.shape) for place in form.populations)
        numbers = sum(tensor.size for tensor in form.tensors.values())
        return cls(type(form).__name__, nodes, edges, neurons, numbers)
