"""The classes a .pt may hold: single classes by their pickled names, never module prefixes.

SpikingJelly keeps its classes flat in 0.0.0.0.12 and 0.0.0.0.14 and one file a kind in 2.x; both
sets of names are listed, and nothing is imported before a file asks for it. snnTorch has no entry:
its neurons hold a local function (`spike_grad`), so that torch cannot save them whole.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

from snncc.diagnostics import refuse

_CLASSES = {
    "torch.nn.modules.activation": """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh
        LeakyReLU LogSigmoid LogSoftmax Mish MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU
        Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold""",
    "torch.nn.modules.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
    "torch.nn.modules.channelshuffle": "ChannelShuffle",
    "torch.nn.modules.container": "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "torch.nn.modules.conv": """Conv1d Conv2d Conv3d
        ConvTranspose1d ConvTranspose2d ConvTranspose3d""",
    "torch.nn.modules.dropout": """AlphaDropout Dropout Dropout1d Dropout2d Dropout3d
        FeatureAlphaDropout""",
    "torch.nn.modules.flatten": "Flatten Unflatten",
    "torch.nn.modules.fold": "Fold Unfold",
    "torch.nn.modules.instancenorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "torch.nn.modules.linear": "Bilinear Identity Linear NonDynamicallyQuantizableLinear",
    "torch.nn.modules.normalization": "GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "torch.nn.modules.padding": """CircularPad1d CircularPad2d CircularPad3d ConstantPad1d
        ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d
        ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d""",
    "torch.nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.pooling": """AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d
        AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d
        LPPool1d LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d
        MaxUnpool1d MaxUnpool2d MaxUnpool3d""",
    "torch.nn.modules.upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    # SpikingJelly 0.0.0.0.12
    "spikingjelly.clock_driven.neuron": """EIFNode IFNode LIFNode MultiStepEIFNode MultiStepIFNode
        MultiStepLIFNode MultiStepParametricLIFNode ParametricLIFNode QIFNode""",
    "spikingjelly.clock_driven.layer": """ChannelsPool ConvBatchNorm2d DropConnectLinear Dropout
        Dropout2d ElementWiseRecurrentContainer LinearRecurrentContainer MultiStepContainer
        MultiStepDropout MultiStepDropout2d MultiStepTemporalWiseAttention
        MultiStepThresholdDependentBatchNorm1d MultiStepThresholdDependentBatchNorm2d
        MultiStepThresholdDependentBatchNorm3d NeuNorm SeqToANNContainer SynapseFilter""",
    "spikingjelly.clock_driven.surrogate": """ATan Erf NonzeroSignLogAbs PiecewiseExp
        PiecewiseQuadratic QPseudoSpike Sigmoid SoftSign""",
    # SpikingJelly 0.0.0.0.14
    "spikingjelly.activation_based.neuron": """EIFNode IFNode IzhikevichNode KLIFNode LIFNode
        ParametricLIFNode QIFNode""",
    "spikingjelly.activation_based.layer": """AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d
        AvgPool1d AvgPool2d AvgPool3d BatchNorm1d BatchNorm2d BatchNorm3d Conv1d Conv2d Conv3d
        ConvTranspose1d ConvTranspose2d ConvTranspose3d Delay DropConnectLinear Dropout Dropout2d
        ElementWiseRecurrentContainer Flatten GroupNorm Linear LinearRecurrentContainer
        MaxPool1d MaxPool2d MaxPool3d MultiStepContainer NeuNorm
        SeqToANNContainer StepModeContainer SynapseFilter ThresholdDependentBatchNorm1d
        ThresholdDependentBatchNorm2d ThresholdDependentBatchNorm3d VotingLayer""",
    "spikingjelly.activation_based.surrogate": """ATan DeterministicPass Erf FakeNumericalGradient
        LeakyKReLU LogTailedReLU MultiLevelSpikeCount NonzeroSignLogAbs PiecewiseExp
        PiecewiseLeakyReLU PiecewiseQuadratic QPseudoSpike Rect S2NN Sigmoid SoftSign
        SquarewaveFourierSeries SuperSpike""",
    # SpikingJelly 2
    "spikingjelly.activation_based.neuron.adapt": "IzhikevichNode",
    "spikingjelly.activation_based.neuron.ilif": "ILIFNode",
    "spikingjelly.activation_based.neuron.integrate_and_fire": """HalfThresholdIFNode IFNode
        NonSpikingIFNode SimpleIFNode""",
    "spikingjelly.activation_based.neuron.lif": "LIFNode NonSpikingLIFNode SimpleLIFNode",
    "spikingjelly.activation_based.neuron.lif_variants": """CUBALIFNode ComplementaryLIFNode
        GatedLIFNode KLIFNode""",
    "spikingjelly.activation_based.neuron.nonlinear_if": "EIFNode QIFNode",
    "spikingjelly.activation_based.neuron.online_learning": "OTTTLIFNode SLTTLIFNode",
    "spikingjelly.activation_based.neuron.plif": "ParametricLIFNode",
    "spikingjelly.activation_based.neuron.psn": "MaskedPSN PSN SlidingPSN",
    "spikingjelly.activation_based.neuron.ternary": "TernaryIFNode TernaryLIFNode",
    "spikingjelly.activation_based.layer.attention": """ChannelQKAttention QKAttention
        SpikeDrivenSelfAttention SpikingSelfAttention TemporalWiseAttention TokenQKAttention""",
    "spikingjelly.activation_based.layer.bn": """BatchNorm1d BatchNorm2d BatchNorm3d
        BatchNormThroughTime1d BatchNormThroughTime2d BatchNormThroughTime3d NeuNorm
        TemporalEffectiveBatchNorm1d TemporalEffectiveBatchNorm2d TemporalEffectiveBatchNorm3d
        ThresholdDependentBatchNorm1d ThresholdDependentBatchNorm2d
        ThresholdDependentBatchNorm3d""",
    "spikingjelly.activation_based.layer.container": """ElementWiseRecurrentContainer
        LinearRecurrentContainer MultiStepContainer SeqToANNContainer StepModeContainer
        TLastMultiStepContainer TLastSeqToANNContainer""",
    "spikingjelly.activation_based.layer.dropout": "DropConnectLinear Dropout Dropout2d",
    "spikingjelly.activation_based.layer.misc": "Delay SynapseFilter VotingLayer",
    "spikingjelly.activation_based.layer.online_learning": "OTTTSequential",
    "spikingjelly.activation_based.layer.stateless_wrapper": """AdaptiveAvgPool1d AdaptiveAvgPool2d
        AdaptiveAvgPool3d AvgPool1d AvgPool2d AvgPool3d Conv1d Conv2d Conv3d ConvTranspose1d
        ConvTranspose2d ConvTranspose3d Flatten GroupNorm Linear MaxPool1d MaxPool2d MaxPool3d
        MaxUnpool1d MaxUnpool2d MaxUnpool3d Upsample WSConv2d WSLinear""",
}

KNOWN = frozenset(
    f"{module}.{name}" for module, names in _CLASSES.items() for name in names.split()
)
"""The classes of torch.nn and SpikingJelly; those of snncc.nn join in `allow_list`."""


def allow_list(more: Sequence[str] = ()) -> frozenset[str]:
    """The pickled names of all classes a file may hold; ``more`` are the user's, dotted.

    A user's class may be named by its module or by where a package exports it. A name with a colon
    is that of a factory, and of no class. Raises SNN317 where a class cannot be imported, SNN316
    where it is not a class.
    """
    import snncc.nn

    more = [name for name in more if ":" not in name]

    ours = [vars(snncc.nn)[name] for name in snncc.nn.__all__]
    users = [resolve(name) for name in more]
    own = {_pickled(cls) for cls in ours + users if isinstance(cls, type)}
    return KNOWN | own | set(more)


def resolve(name: str) -> type:
    """The class of that dotted name, its module imported.

    Raises SNN317 where the module or the class is not there, SNN316 where it is not a class.
    """
    parts = name.split(".")
    module = _import(parts)
    value: object = module
    for part in parts[module.__name__.count(".") + 1 :]:
        value = getattr(value, part, None)
    if value is None:
        raise _missing(name, f"the {parts[0]} installed here has no `{name}`")
    if not isinstance(value, type):
        raise refuse("SNN316", f"`{name}` is not a class", help="--allow takes dotted class names")
    return value


def _import(parts: list[str]) -> ModuleType:
    """The innermost module that the dotted name starts with."""
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise _missing(".".join(parts), f"importing `{module}` failed: {error}") from error
        except Exception as error:
            raise _missing(".".join(parts), f"importing `{module}` failed: {error}") from error
    raise _missing(".".join(parts), f"there is no package `{parts[0]}`")


def _missing(name: str, reason: str) -> Exception:
    return refuse(
        "SNN317",
        f"the class `{name}` is needed but {reason}",
        help="install the package in the version that wrote the file, or run where it can be found",
    )


def _pickled(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
