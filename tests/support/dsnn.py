"""Dual-stream networks written as the authors of arXiv 2301.11929 write theirs.

Not ours to imitate in style: a list travels between blocks, ``unsqueeze_`` in place, ``repeat``
over T, one ``fc`` for both heads, an ``fc_acc`` that nobody calls. ``package`` is SpikingJelly's
``clock_driven`` or ``activation_based``.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import nn

GATES = {
    "AND": lambda s, i: s * i,
    "IAND": lambda s, i: i * (1.0 - s),
    "OR": lambda s, i: s + i - s * i,
    "XOR": lambda s, i: i * (1.0 - s) + s * (1.0 - i),
}


class Parts:
    """Neurons and containers under the names the version has them by."""

    def __init__(self, neuron: ModuleType, layer: ModuleType) -> None:
        self._neuron, self._layer = neuron, layer

    def IF(self) -> nn.Module:
        if hasattr(self._neuron, "MultiStepIFNode"):
            return self._neuron.MultiStepIFNode()
        return self._neuron.IFNode(step_mode="m")

    def seq(self, *layers: nn.Module) -> nn.Module:
        return self._layer.SeqToANNContainer(*layers)


class Block(nn.Module):
    def __init__(self, parts: Parts, inplanes: int, planes: int, stride: int, g: str, deep: bool):
        super().__init__()
        self.g = g
        out = planes * (4 if deep else 1)
        shapes = (
            [(inplanes, planes, 1, 1), (planes, planes, 3, stride), (planes, out, 1, 1)]
            if deep
            else [(inplanes, planes, 3, stride), (planes, planes, 3, 1)]
        )
        self.conv_bn = nn.ModuleList(
            parts.seq(nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o))
            for i, o, k, s in shapes
        )
        self.sn = nn.ModuleList(parts.IF() for _ in shapes)
        self.sn_add = parts.IF() if g == "ADD" else None
        self.downsample = None
        self.p = None
        if stride != 1 or inplanes != out:
            self.downsample = nn.Sequential(
                parts.seq(nn.Conv2d(inplanes, out, 1, stride, bias=False), nn.BatchNorm2d(out)),
                parts.IF(),
            )
            spatial = [nn.Conv2d(inplanes, inplanes, 3, stride, 1, groups=inplanes)]
            self.p = parts.seq(
                *(spatial if stride != 1 else []),
                nn.Conv2d(inplanes, out, 1),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            )

    def forward(self, streams):
        x, aap = streams
        s = x
        for conv_bn, sn in zip(self.conv_bn, self.sn, strict=True):
            s = sn(conv_bn(s))
        identity = x if self.downsample is None else self.downsample(x)
        if self.p is not None:
            aap = self.p(aap)
        aap = aap + s
        out = self.sn_add(s + identity) if self.g == "ADD" else GATES[self.g](s, identity)
        return [out, aap]


class DSNN(nn.Module):
    """18 layers with ``deep=False`` and blocks (2, 2, 2, 2), 50 with bottlenecks (3, 4, 6, 3)."""

    def __init__(
        self, parts: Parts, g: str, deep: bool, blocks: tuple[int, ...], width: int, T: int = 4
    ):
        super().__init__()
        self.T = T
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.sn1 = parts.IF()
        self.maxpool = parts.seq(nn.MaxPool2d(3, 2, 1))
        inplanes, layers = width, []
        for stage, count in enumerate(blocks):
            planes = width * 2**stage
            for i in range(count):
                stride = 2 if stage and not i else 1
                layers.append(Block(parts, inplanes, planes, stride, g, deep))
                inplanes = planes * (4 if deep else 1)
        self.layers = nn.Sequential(*layers)
        self.avgpool = parts.seq(nn.AdaptiveAvgPool2d((1, 1)))
        self.fc = nn.Linear(inplanes, 10)
        self.fc_acc = nn.Linear(inplanes, 10)

    def forward(self, x):
        x = self.bn1(self.conv1(x))
        x.unsqueeze_(0)
        x = self.sn1(x.repeat(self.T, 1, 1, 1, 1))
        x = self.maxpool(x)
        outs = []
        for stream in self.layers([x, x]):
            stream = torch.flatten(self.avgpool(stream), 2)
            outs.append(self.fc(stream.mean(dim=0)))
        return tuple(outs)


def randomise(net: nn.Module, seed: int) -> nn.Module:
    """Random weights and statistics: half of the γ negative, every eighth zero, neurons alive."""
    source = torch.Generator().manual_seed(seed)

    def uniform(tensor: torch.Tensor, low: float, high: float) -> None:
        with torch.no_grad():
            tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=source))

    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            fan_in = part.weight[0].numel()
            uniform(part.weight, -(fan_in**-0.5) * 2, fan_in**-0.5 * 2)
        if isinstance(part, nn.BatchNorm2d):
            uniform(part.weight, -1.5, 1.5)
            part.weight.data[::8] = 0.0
            uniform(part.bias, -0.2, 0.9)
            uniform(part.running_mean, -0.3, 0.3)
            uniform(part.running_var, 0.1, 0.6)
    return net.eval()
