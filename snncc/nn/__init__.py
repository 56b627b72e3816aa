"""Training-time building blocks: spiking neurons, and the networks of five papers.

Tensors are multi-step, (T, N, …): time first, then the batch.
"""

from snncc.nn.accumulation import SAFNet, SpikeScale
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
    "MappingUnit",
    "Neuron",
    "OverTime",
    "PlainBlock",
    "PlainSpikingBlock",
    "Rectangular",
    "SAFNet",
    "SNN2ANNNet",
    "ScaledWSConv2d",
    "ScaledWSLinear",
    "SharedConv",
    "SharedPool",
    "Sigmoid",
    "SpikeScale",
    "SpikingBranch",
    "Surrogate",
    "TDBatchNorm",
    "dst_loss",
]
