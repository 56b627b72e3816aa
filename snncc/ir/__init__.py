"""The two forms of a network, Graph and Network, and what they mean.

Importing this package imports no torch; ``snncc.ir.interpreter`` does.
"""

from snncc.ir.graph import Graph, Node, Signal
from snncc.ir.network import (
    Encoder,
    Network,
    Neuron,
    Place,
    Population,
    Projection,
    Readout,
    Source,
)  # fmt: skip
from snncc.ir.ops import Op, Ref
from snncc.ir.registers import FixedNeuron
from snncc.ir.values import ValueSet

__all__ = [
    "Encoder", "FixedNeuron", "Graph", "Network", "Neuron", "Node", "Op", "Place", "Population",
    "Projection", "Readout", "Ref", "Signal", "Source", "ValueSet",
]  # fmt: skip
