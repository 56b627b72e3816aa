"""Training-time building blocks: spiking neurons and dual-stream residual networks.

Tensors are multi-step, (T, N, …): time first, then the batch.
"""

from snncc.nn.auxiliary import AuxiliaryPathway
from snncc.nn.dual_stream import DualStreamResNet
from snncc.nn.loss import dst_loss
from snncc.nn.neurons import IF, LIF, PLIF, Neuron
from snncc.nn.over_time import OverTime
from snncc.nn.residual import DSTBlock, DSTBottleneck, Gate
from snncc.nn.surrogate import ATan, Rectangular, Sigmoid, Surrogate

__all__ = [
    "IF",
    "LIF",
    "PLIF",
    "ATan",
    "AuxiliaryPathway",
    "DSTBlock",
    "DSTBottleneck",
    "DualStreamResNet",
    "Gate",
    "Neuron",
    "OverTime",
    "Rectangular",
    "Sigmoid",
    "Surrogate",
    "dst_loss",
]
