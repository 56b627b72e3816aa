"""Spiking residual blocks for dual-stream training (arXiv 2301.11929).

A block takes and returns both streams, (o, a): spikes and the auxiliary accumulation. With
s = the block's own spikes and i = the (down-sampled) identity, also spikes,

    and   o = s·i              or    o = s + i − s·i
    iand  o = i·(1 − s)        xor   o = i·(1 − s) + s·(1 − i)
    add   o = SN(s + i)             sum     o = s + i, a count of spikes

"sum" is the ADD of SEW ResNet (Fang et al. 2021, arXiv 2102.04159): behind n blocks of a stage a
neuron hears counts up to n + 1. "iand" without the AAP is SEW's IAND.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from snncc.nn.auxiliary import AuxiliaryPathway
from snncc.nn.neurons import IF, Neuron
from snncc.nn.over_time import OverTime

GateName = Literal["and", "iand", "or", "xor", "add", "sum"]
NeuronFactory = Callable[[], Neuron]

_GATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "and": lambda s, i: s * i,
    "iand": lambda s, i: i * (1 - s),
    "or": lambda s, i: s + i - s * i,
    "xor": lambda s, i: i * (1 - s) + s * (1 - i),
    "add": lambda s, i: s + i,
    "sum": lambda s, i: s + i,
}


class Gate(nn.Module):
    """g(s, i) on spikes of any one shape; "add" ends in a neuron of its own, `sn`."""

    def __init__(self, name: GateName, neuron: NeuronFactory = IF) -> None:
        super().__init__()
        if name not in _GATES:
            raise ValueError(f"gate must be one of {', '.join(_GATES)}, not {name!r}")
        self.name = name
        self.sn = neuron() if name == "add" else nn.Identity()

    def forward(self, s: Tensor, i: Tensor) -> Tensor:
        """Two spike tensors (T, N, …) to one."""
        o: Tensor = self.sn(_GATES[self.name](s, i))
        return o

    def extra_repr(self) -> str:
        return self.name


def _conv_norm(in_channels: int, kernel: int, stride: int, norm: nn.BatchNorm2d) -> OverTime:
    conv = nn.Conv2d(
        in_channels, norm.num_features, kernel, stride, padding=kernel // 2, bias=False
    )
    return OverTime(nn.Sequential(conv, norm))


class _Block(nn.Module):
    """Layers (kernel, width, stride) of conv → BN → neuron, then the gate and the AAP.

    With `zero_init` the last batch norm starts at γ = 0, and the block as the identity.
    """

    def __init__(
        self,
        in_channels: int,
        layers: list[tuple[int, int, int]],
        gate: GateName,
        auxiliary: bool,
        neuron: NeuronFactory,
        zero_init: bool,
    ) -> None:
        super().__init__()
        residual: OrderedDict[str, nn.Module] = OrderedDict()
        channels, total_stride = in_channels, 1
        for number, (kernel, width, stride) in enumerate(layers, start=1):
            last_norm, last_neuron = nn.BatchNorm2d(width), neuron()
            residual[f"conv{number}"] = _conv_norm(channels, kernel, stride, last_norm)
            residual[f"sn{number}"] = last_neuron
            channels, total_stride = width, total_stride * stride
        self.residual = nn.Sequential(residual)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != channels or total_stride != 1:
            norm = nn.BatchNorm2d(channels)
            self.downsample = nn.Sequential(
                OrderedDict(conv=_conv_norm(in_channels, 1, total_stride, norm), sn=neuron())
            )
        self.gate = Gate(gate, neuron)
        self.auxiliary = (
            AuxiliaryPathway(in_channels, channels, total_stride) if auxiliary else None
        )
        if zero_init:
            # s = 0 passes i through every gate but "and", which needs s = 1: exact for an IF.
            nn.init.zeros_(last_norm.weight)
            if gate == "and":
                nn.init.constant_(last_norm.bias, last_neuron.threshold)

    def forward(self, o: Tensor, a: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Both streams, (T, N, C, H, W) each; a may be None, and then stays None."""
        s = self.residual(o)
        if a is not None:
            if self.auxiliary is None:
                raise ValueError("an accumulation came in, but the block has auxiliary=False")
            a = self.auxiliary(a, s)
        return self.gate(s, self.downsample(o)), a


class DSTBlock(_Block):
    """The basic block: two 3×3 conv-BN-neuron; `stride` is the first conv's."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        gate: GateName = "iand",
        auxiliary: bool = True,
        neuron: NeuronFactory = IF,
        zero_init: bool = True,
    ) -> None:
        layers = [(3, width, stride), (3, width, 1)]
        super().__init__(in_channels, layers, gate, auxiliary, neuron, zero_init)


class DSTBottleneck(_Block):
    """The bottleneck block: 1×1, 3×3 (with the stride), 1×1 to 4·width, each conv-BN-neuron."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int = 1,
        gate: GateName = "iand",
        auxiliary: bool = True,
        neuron: NeuronFactory = IF,
        zero_init: bool = True,
    ) -> None:
        layers = [(1, width, 1), (3, width, stride), (1, width * self.expansion, 1)]
        super().__init__(in_channels, layers, gate, auxiliary, neuron, zero_init)
