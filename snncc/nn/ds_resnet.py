"""Residual networks of multi-level neurons (Feng et al. 2022, arXiv 2210.06386)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from snncc.nn.multi_level import MLF, THRESHOLDS, DSBlock, PlainBlock, TDBatchNorm
from snncc.nn.over_time import OverTime

_BLOCKS: dict[str, type[DSBlock] | type[PlainBlock]] = {"ds": DSBlock, "plain": PlainBlock}


class LevelConv2d(nn.Conv2d):
    """A convolution of a count that comes as levels: conv(Σ_k s_k) = Σ_k conv(s_k).

    The input (N, levels·C, H, W) has C channels of level 1, then C of level 2, and so on; all
    levels share the kernel ``weight`` (out_channels, C, kernel, kernel). With s_k = [c ≥ k] the
    result is that of a count c up to ``levels``, and nothing but spikes comes in.
    """

    def __init__(
        self, levels: int, in_channels: int, out_channels: int, kernel: int, stride: int
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        """(N, levels·C, H, W) to (N, out_channels, H', W')."""
        weight = self.weight.repeat(1, self.levels, 1, 1)
        return F.conv2d(x, weight, None, self.stride, self.padding)


class MLFResNet(nn.Module):
    """Stem, stages of residual blocks of multi-level neurons, and a classifier.

    in_channels, classes: of the input and of the logits.
    input_levels: 1 for counts (T, N, in_channels, H, W). L for counts that come as spikes of L
        levels, (T, N, L·in_channels, H, W), see `LevelConv2d`.
    widths, blocks: per stage, the width and the number of blocks; every stage but the first
        begins with stride 2.
    residual: "ds", the paper's dormant-suppressed blocks, or "plain", to compare with.
    thresholds: V_k of every neuron; one threshold makes a plain LIF network.
    stem_kernel, stem_stride: of the stem, MLF(tdBN(conv)).

    Readout: global average pool → fc in each step → mean over T. All sizes but the paper's blocks
    are free; its networks are ResNet-14 and ResNet-20. Raises ValueError on an unknown residual
    and on widths and blocks of different lengths.
    """

    def __init__(
        self,
        in_channels: int = 2,
        classes: int = 10,
        input_levels: int = 1,
        widths: Sequence[int] = (8, 16),
        blocks: Sequence[int] = (4, 4),
        residual: Literal["ds", "plain"] = "ds",
        thresholds: Sequence[float] = THRESHOLDS,
        stem_kernel: int = 5,
        stem_stride: int = 4,
    ) -> None:
        super().__init__()
        if residual not in _BLOCKS:
            raise ValueError(f"residual must be one of {', '.join(_BLOCKS)}, not {residual!r}")
        if not widths or len(widths) != len(blocks):
            raise ValueError(f"one width per stage: {len(widths)} widths, {len(blocks)} stages")
        channels = widths[0]
        conv = LevelConv2d(input_levels, in_channels, channels, stem_kernel, stem_stride)
        self.stem = nn.Sequential(OverTime(conv), TDBatchNorm(channels), MLF(thresholds=thresholds))
        stages = []
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = []
            for position in range(count):
                stride = 2 if number > 0 and position == 0 else 1
                stage.append(_BLOCKS[residual](channels, width, stride, thresholds))
                channels = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = OverTime(nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Input as above to logits (N, classes)."""
        counts = self.stages(self.stem(x))
        logits: Tensor = self.fc(self.pool(counts).flatten(2)).mean(0)
        return logits
