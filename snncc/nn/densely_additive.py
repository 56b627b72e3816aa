"""Densely additive connections (DANet, arXiv 2311.05171), SEW blocks and a plain spiking ResNet.

What the paper's abstract says: residual topologies of spiking networks are compared, and the best
of them are abstracted into the densely additive connection; DANet-50, -101 and -152 reach 73.71,
76.13 and 77.22 % on ImageNet with T = 4. Neither its equations nor its code are public. What is
here is inferred: from those words, and from public code of others that says to follow the paper
(AndreaLolli2912/Spiking-ResNet), where the output of each stage gets the sum of all earlier stage
outputs, each through its own strided conv1×1 → BN → LIF.

With o_0 the spikes of the stem, f_{s,b} the spikes of block b of stage s (conv3×3 → BN → LIF,
twice) and P_{i→s} the projection of stage output o_i to the shape of stage s:

    P_{i→s} = LIF(BN(conv1×1)), with a stride; the identity where both shapes are equal
    S_{s,0} = Σ_{i<s} P_{i→s}(o_i)
    S_{s,1} = S_{s,0} + f_{s,1}(o_{s−1})           its first conv has the stride
    S_{s,b} = S_{s,b−1} + f_{s,b}(S_{s,b−1})       b = 2 … B
    o_s = S_{s,B}

So each block from the second on reads the sum of everything before it: all blocks of its stage
and all earlier stages. Inside a stage, "a block reads the sum of all earlier outputs" and "a block
adds its spikes to what it read" are the same: it is the SEW block with ADD (Fang et al. 2021,
arXiv 2102.04159). The two differ between stages, where SEW projects stage s−1 alone,

    S_{s,0} = P_{s−1→s}(o_{s−1})

and all else is the same. "plain" is the spiking ResNet, whose neuron comes after the sum:

    o = LIF(BN(conv2(LIF(BN(conv1 x)))) + shortcut(x))      shortcut: identity or BN(conv1×1)

Other than in that code of others, sums are not divided by their number of terms, and the blocks'
shortcuts carry no currents (its blocks are BN → LIF → conv with a real-valued identity). Here only
spikes are added, so that sums are counts of spikes; divided sums or currents on the way between
blocks would be no spikes. Nor does a stage project its own output and add it to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from snncc.nn.neurons import LIF, Neuron
from snncc.nn.over_time import OverTime

Connections = Literal["dense", "sew", "plain"]


def _lif() -> Neuron:
    return LIF(tau=2.0, decay_input=False)


def _conv_norm(in_channels: int, channels: int, kernel: int, stride: int) -> OverTime:
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
    return OverTime(nn.Sequential(conv, nn.BatchNorm2d(channels)))


class SpikingBranch(nn.Sequential):
    """f = SN(BN(conv3×3(SN(BN(conv3×3 x))))); the first conv has the stride.

    Counts (T, N, in_channels, H, W) to spikes (T, N, channels, H', W').
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, neuron: Callable[[], Neuron] = _lif
    ) -> None:
        super().__init__(
            _conv_norm(in_channels, channels, 3, stride),
            neuron(),
            _conv_norm(channels, channels, 3, 1),
            neuron(),
        )


class AdditiveStage(nn.Module):
    """One stage of DANet: blocks, and projections from earlier stage outputs, all added.

    sources: (channels, stride to this stage) of each earlier stage output that is added, the
        nearest last; the first block reads the nearest.
    """

    def __init__(
        self,
        sources: Sequence[tuple[int, int]],
        channels: int,
        blocks: int,
        neuron: Callable[[], Neuron] = _lif,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Identity()
            if (width, stride) == (channels, 1)
            else nn.Sequential(_conv_norm(width, channels, 1, stride), neuron())
            for width, stride in sources
        )
        nearest, stride = sources[-1]
        self.blocks = nn.ModuleList(
            SpikingBranch(
                nearest if b == 0 else channels, channels, stride if b == 0 else 1, neuron
            )
            for b in range(blocks)
        )

    def forward(self, earlier: Sequence[Tensor]) -> Tensor:
        """Counts (T, N, …) of each source to counts (T, N, channels, H', W')."""
        projected = [p(o) for p, o in zip(self.projections, earlier, strict=True)]
        total: Tensor = sum(projected[1:], start=projected[0])
        for number, block in enumerate(self.blocks):
            total = total + block(earlier[-1] if number == 0 else total)
        return total


class PlainSpikingBlock(nn.Module):
    """The block of a plain spiking ResNet: SN(BN(conv2(SN(BN(conv1 x)))) + shortcut(x)).

    The shortcut is the identity or, where the shape changes, BN(conv1×1). Spikes
    (T, N, in_channels, H, W) to spikes (T, N, channels, H', W').
    """

    def __init__(
        self, in_channels: int, channels: int, stride: int, neuron: Callable[[], Neuron] = _lif
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _conv_norm(in_channels, channels, 3, stride),
            neuron(),
            _conv_norm(channels, channels, 3, 1),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = _conv_norm(in_channels, channels, 1, stride)
        self.sn = neuron()

    def forward(self, x: Tensor) -> Tensor:
        """Spikes to spikes, shapes as above."""
        out: Tensor = self.sn(self.residual(x) + self.shortcut(x))
        return out


class DANet(nn.Module):
    """A residual spiking network for small images with densely additive connections.

    in_channels, classes: of the input (T, N, in_channels, H, W) and of the logits (N, classes).
    widths, blocks: per stage, the width and the number of blocks; every stage but the first
        begins with stride 2.
    connections: "dense", or "sew" or "plain" to compare with; the equations of all three are in
        the docstring of this module.
    stem_kernel, stem_stride: of the stem, SN(BN(conv)).
    neuron: LIF with tau = 2 that does not divide its input by tau, unless another is given.

    Readout: global average pool → mean over T → fc. Raises ValueError on unknown connections and
    on widths and blocks of different lengths.
    """

    def __init__(
        self,
        in_channels: int = 2,
        classes: int = 10,
        widths: Sequence[int] = (8, 16, 32),
        blocks: Sequence[int] = (2, 2, 2),
        connections: Connections = "dense",
        stem_kernel: int = 3,
        stem_stride: int = 2,
        neuron: Callable[[], Neuron] = _lif,
    ) -> None:
        super().__init__()
        if connections not in ("dense", "sew", "plain"):
            raise ValueError(f"connections must be dense, sew or plain, not {connections!r}")
        if not widths or len(widths) != len(blocks):
            raise ValueError(f"one width per stage: {len(widths)} widths, {len(blocks)} stages")
        self.connections = connections
        self.stem = nn.Sequential(
            _conv_norm(in_channels, widths[0], stem_kernel, stem_stride), neuron()
        )
        self.stages = nn.ModuleList()
        sources = [(widths[0], 1)]
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            if number > 0:
                sources = [(channels, 2 * stride) for channels, stride in sources]
            if connections == "plain":
                first = PlainSpikingBlock(*_shape(sources[-1], width), neuron)
                rest = (PlainSpikingBlock(width, width, 1, neuron) for _ in range(count - 1))
                self.stages.append(nn.Sequential(first, *rest))
            else:
                added = sources if connections == "dense" else sources[-1:]
                self.stages.append(AdditiveStage(added, width, count, neuron))
            sources.append((width, 1))
        self.pool = OverTime(nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes (T, N, in_channels, H, W) to logits (N, classes)."""
        earlier = [self.stem(x)]
        for stage in self.stages:
            if self.connections == "dense":
                earlier.append(stage(earlier))
            elif self.connections == "sew":
                earlier.append(stage(earlier[-1:]))
            else:
                earlier.append(stage(earlier[-1]))
        logits: Tensor = self.fc(self.pool(earlier[-1]).flatten(2).mean(0))
        return logits


def _shape(source: tuple[int, int], width: int) -> tuple[int, int, int]:
    channels, stride = source
    return channels, width, stride
