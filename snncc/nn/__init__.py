"""Training-time building blocks: spiking neurons, dual-stream and multi-level residual networks.

Tensors are multi-step, (T, N, …): time first, then the batch.
"""

from snncc.nn.auxiliary import AuxiliaryPathway
from snncc.nn.dual_stream import DualStreamResNet
from snncc.nn.loss import dst_loss
from snncc.nn.multi_level import MLF, DSBlock, TDBatchNorm
from snncc.nn.neurons import IF, LIF, PLIF, Neuron
from snncc.nn.over_time import OverTime
from snncc.nn.residual import DSTBlock, DSTBottleneck, Gate
from snncc.nn.surrogate import ATan, Rectangular, Sigmoid, Surrogate

__all__ = [
    "IF",
    "LIF",
    "MLF",
    "PLIF",
    "ATan",
    "AuxiliaryPathway",
    "DSBlock",
    "DSTBlock",
    "DSTBottleneck",
    "DualStreamResNet",
    "Gate",
    "Neuron",
    "OverTime",
    "Rectangular",
    "Sigmoid",
    "Surrogate",
    "TDBatchNorm",
    "dst_loss",
]
