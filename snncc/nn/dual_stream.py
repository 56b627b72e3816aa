"""A residual spiking network for small images, trained with two streams (arXiv 2301.11929)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from snncc.nn.neurons import IF
from snncc.nn.over_time import OverTime
from snncc.nn.residual import DSTBlock, DSTBottleneck, GateName, NeuronFactory

_BLOCKS: dict[str, type[DSTBlock] | type[DSTBottleneck]] = {
    "basic": DSTBlock,
    "bottleneck": DSTBottleneck,
}


class DualStreamResNet(nn.Module):
    """Stem, stages of DST blocks, and one `fc` that reads both streams.

    in_channels, classes: of the input and of the logits.
    widths, blocks: per stage, the block width and the number of blocks; every stage but the
        first begins with stride 2.
    gate, block, neuron, zero_init: of the blocks, see `snncc.nn.residual`.
    auxiliary: with the AAP the network returns (y_spike, y_aap), without it y_spike alone.
    time_steps: None for an input with a time axis, (T, N, C, H, W); T for a static image
        (N, C, H, W), whose stem convolution runs once and is repeated over T steps.
    stem_kernel, stem_stride, stem_pool: the stem is conv → BN → neuron, then, if `stem_pool`,
        a 3×3 max pool of stride 2 on its spikes.

    Readout, of both streams: global average pool → mean over T → fc. Raises ValueError on
    unknown names, on widths and blocks of different lengths, and on an input of another rank.
    """

    def __init__(
        self,
        in_channels: int = 2,
        classes: int = 10,
        widths: Sequence[int] = (16, 32, 64),
        blocks: Sequence[int] = (1, 1, 1),
        gate: GateName = "iand",
        block: Literal["basic", "bottleneck"] = "basic",
        auxiliary: bool = True,
        time_steps: int | None = None,
        stem_kernel: int = 3,
        stem_stride: int = 1,
        stem_pool: bool = False,
        neuron: NeuronFactory = IF,
        zero_init: bool = True,
    ) -> None:
        super().__init__()
        if block not in _BLOCKS:
            raise ValueError(f"block must be one of {', '.join(_BLOCKS)}, not {block!r}")
        if not widths or len(widths) != len(blocks):
            raise ValueError(f"one width per stage: {len(widths)} widths, {len(blocks)} stages")
        if time_steps is not None and time_steps < 1:
            raise ValueError(f"time_steps must be at least 1, not {time_steps}")
        self.auxiliary = auxiliary
        self.time_steps = time_steps
        channels = widths[0]
        stem = nn.Sequential(
            nn.Conv2d(
                in_channels, channels, stem_kernel, stem_stride, stem_kernel // 2, bias=False
            ),
            nn.BatchNorm2d(channels),
        )
        self.stem: nn.Module = OverTime(stem) if time_steps is None else stem
        self.stem_sn = neuron()
        self.stem_pool: nn.Module = (
            OverTime(nn.MaxPool2d(3, stride=2, padding=1)) if stem_pool else nn.Identity()
        )
        self.stages = nn.ModuleList()
        kind = _BLOCKS[block]
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            stage = nn.ModuleList()
            for position in range(count):
                stride = 2 if number > 0 and position == 0 else 1
                stage.append(kind(channels, width, stride, gate, auxiliary, neuron, zero_init))
                channels = width * kind.expansion
            self.stages.append(stage)
        self.pool = OverTime(nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Input as above to logits (N, classes), or to a pair of them."""
        if x.dim() != (5 if self.time_steps is None else 4):
            layout = "(T, N, C, H, W)" if self.time_steps is None else "(N, C, H, W)"
            raise ValueError(f"the input must be {layout}, not of shape {tuple(x.shape)}")
        current = self.stem(x)
        if self.time_steps is not None:
            current = current.unsqueeze(0).repeat(self.time_steps, 1, 1, 1, 1)
        o = self.stem_pool(self.stem_sn(current))
        a = o if self.auxiliary else None
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                o, a = block(o, a)
        return self._readout(o) if a is None else (self._readout(o), self._readout(a))

    def _readout(self, stream: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.pool(stream).flatten(2).mean(0))
        return logits
