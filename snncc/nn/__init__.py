"""Training-time building blocks: spiking neurons, and the networks of five papers.

Tensors are multi-step, (T, N, …): time first, then the batch.
"""

from snncc.nn.accumulation import SAFNet, SpikeScale
from snncc.nn.auxiliary import AuxiliaryPathway
from snncc.nn.dual_stream import DualStreamResNet
from snncc.nn.loss import dst_loss
from snncc.nn.multi_level import MLF, DSBlock, TDBatchNorm
from snncc.nn.neurons import IF, LIF, PLIF, Neuron
from snncc.nn.over_time import OverTime
from snncc.nn.residual import DSTBlock, DSTBottleneck, Gate
from snncc.nn.snn2ann import AdaptiveIF, MappingUnit, SharedConv, SharedPool, SNN2ANNNet
from snncc.nn.surrogate import ATan, Rectangular, Sigmoid, Surrogate
from snncc.nn.weight_standard import ScaledWSConv2d, ScaledWSLinear

__all__ = [
    "IF",
    "LIF",
    "MLF",
    "PLIF",
    "ATan",
    "AdaptiveIF",
    "AuxiliaryPathway",
    "DSBlock",
    "DSTBlock",
    "DSTBottleneck",
    "DualStreamResNet",
    "Gate",
    "MappingUnit",
    "Neuron",
    "OverTime",
    "Rectangular",
    "SAFNet",
    "SNN2ANNNet",
    "ScaledWSConv2d",
    "ScaledWSLinear",
    "SharedConv",
    "SharedPool",
    "Sigmoid",
    "SpikeScale",
    "Surrogate",
    "TDBatchNorm",
    "dst_loss",
]
