"""Training-time building blocks: spiking neurons, and residual networks of several papers.

Tensors are multi-step, (T, N, …): time first, then the batch.
"""

from snncc.nn.auxiliary import AuxiliaryPathway
from snncc.nn.densely_additive import (
    AdditiveStage,
    DANet,
    PlainSpikingBlock,
    SpikingBranch,
)
from snncc.nn.ds_resnet import LevelConv2d, MLFResNet
from snncc.nn.dual_stream import DualStreamResNet
from snncc.nn.loss import dst_loss
from snncc.nn.multi_level import MLF, DSBlock, PlainBlock, TDBatchNorm
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
    "AdditiveStage",
    "AuxiliaryPathway",
    "DANet",
    "DSBlock",
    "DSTBlock",
    "DSTBottleneck",
    "DualStreamResNet",
    "Gate",
    "LevelConv2d",
    "MLFResNet",
    "Neuron",
    "OverTime",
    "PlainBlock",
    "PlainSpikingBlock",
    "Rectangular",
    "Sigmoid",
    "SpikingBranch",
    "Surrogate",
    "TDBatchNorm",
    "dst_loss",
]
