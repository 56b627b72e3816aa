"""SpikingJelly's model zoo, unmodified, with weights that make every neuron fire now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

STEPS = 4
CLASSES = 10

SEW = [f"sew_resnet{depth}" for depth in (18, 34, 50, 101, 152)]
SEW += ["sew_resnext50_32x4d", "sew_wide_resnet50_2"]
RESNET = [f"spiking_resnet{depth}" for depth in (18, 34, 50, 101, 152)]
RESNET += ["spiking_resnext50_32x4d", "spiking_wide_resnet50_2"]
VGG = [f"spiking_vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
PLIF = ["MNISTNet", "FashionMNISTNet", "NMNISTNet", "CIFAR10Net", "CIFAR10DVSNet", "DVSGestureNet"]

SHAPES = {
    "MNISTNet": (1, 28, 28), "FashionMNISTNet": (1, 28, 28), "NMNISTNet": (2, 34, 34),
    "CIFAR10Net": (3, 32, 32), "CIFAR10DVSNet": (2, 128, 128), "DVSGestureNet": (2, 128, 128),
}  # fmt: skip


def shape(name: str, size: int = 32) -> tuple[int, int, int]:
    """Channels, height and width of one step of the input."""
    return SHAPES.get(name, (3, size, size))


class Zoo:
    """The models of one version of SpikingJelly; ``spikingjelly`` is the tests' fixture."""

    def __init__(self, spikingjelly: Any) -> None:
        self._spikingjelly = spikingjelly
        self._old = spikingjelly.package == "clock_driven"

    def _module(self, name: str) -> Any:
        return self._spikingjelly.module(name)

    def neuron(self, kind: str, multi_step: bool = True) -> Callable[..., nn.Module]:
        """IF, LIF or ParametricLIF."""
        prefix = "MultiStep" if self._old and multi_step else ""
        cls: Callable[..., nn.Module] = getattr(self._module("neuron"), f"{prefix}{kind}Node")
        return cls

    def __call__(
        self, name: str, kind: str = "IF", multi_step: bool = True, **options: Any
    ) -> nn.Module:
        """A model by its own name; ``options`` go to its function or its neurons."""
        neuron = self.neuron(kind, multi_step)
        if name in PLIF:
            nets = self._module("model.parametric_lif_net")
            key = "single_step_neuron" if self._old else "spiking_neuron"
            net: nn.Module = getattr(nets, name)(channels=8, **{key: neuron}, **options)
        else:
            file = (
                "sew_resnet" if name in SEW else "spiking_vgg" if name in VGG else "spiking_resnet"
            )
            models = self._module(f"model.{file}")
            options = {"num_classes": CLASSES} | options
            if self._old and multi_step:
                make = partial(getattr(models, f"multi_step_{name}"), T=STEPS)
                net = make(multi_step_neuron=neuron, **options)
            else:
                key = "single_step_neuron" if self._old else "spiking_neuron"
                net = getattr(models, name)(**{key: neuron}, **options)
        if not self._old:
            self._module("functional").set_step_mode(net, "m" if multi_step else "s")
        return net

    def lively(self, module: nn.Module, x: torch.Tensor, calls: int = 1) -> nn.Module:
        """``module`` with weights and statistics that let no layer fall silent on ``x``."""
        lively(module, x, calls)
        self._module("functional").reset_net(module)
        return module


def narrowed(module: nn.Module, width: int = 64) -> nn.Module:
    """A VGG whose classifier has layers of ``width`` neurons, not of 4,096."""
    layers = [layer for layer in module.classifier.modules() if isinstance(layer, nn.Linear)]
    for layer in layers[:-1]:
        layer.out_features = width
        layer.weight, layer.bias = (nn.Parameter(p.data[:width]) for p in layer.parameters())
    for layer in layers[1:]:
        layer.in_features = width
        layer.weight = nn.Parameter(layer.weight.data[:, :width])
    return module


def lively(module: nn.Module, x: torch.Tensor, calls: int = 1) -> None:
    """Random weights and statistics near those of what really arrives.

    Half of the norms' scales are negative and some zero. Layers without a norm behind them are
    scaled to currents of deviation 1. ``x`` is run through the module, ``calls`` times.
    """
    generator = torch.Generator().manual_seed(0)
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        size = norm.weight.shape
        with torch.no_grad():
            norm.weight.copy_(torch.randn(size, generator=generator))
            norm.weight[:: max(2, len(norm.weight) // 8)] = 0
            norm.bias.copy_(0.35 + 0.4 * torch.randn(size, generator=generator))
        norm.momentum = 1.0
    module.eval()
    with torch.no_grad(), _measured(module, bool(norms)):
        for norm in norms:
            norm.train()
        for _ in range(calls):
            module(x)
    for norm in norms:
        with torch.no_grad():  # away from the exact statistics
            spread = torch.rand(norm.running_var.shape, generator=generator)
            norm.running_var.mul_(0.5 + spread)
            norm.running_mean.add_(0.2 * spread * norm.running_var.sqrt())
    module.eval()


@contextmanager
def _measured(module: nn.Module, normed: bool) -> Iterator[None]:
    """Scale layers to outputs of deviation 1 and mean 0.3 as the data comes by."""

    def scale(layer: nn.Module, given: Any, y: torch.Tensor) -> torch.Tensor:
        factor = 1 / float(y.std().clamp(min=1e-6))
        with torch.no_grad():
            layer.weight.mul_(factor)
            if layer.bias is None:
                return y * factor
            layer.bias.mul_(factor).add_(0.3)
        return y * factor + 0.3

    kinds = (nn.Linear,) if normed else (nn.Linear, nn.Conv2d)
    hooks = [m.register_forward_hook(scale) for m in module.modules() if isinstance(m, kinds)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
