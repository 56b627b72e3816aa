"""Surrogate gradients: an exact step forward, a smooth derivative backward."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(v)
        ctx.surrogate = surrogate
        return (v >= 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return grad[0] * ctx.surrogate.derivative(v), None


class Surrogate(ABC):
    """The step `v >= 0` in the dtype of v, with `derivative` as its gradient."""

    @abstractmethod
    def derivative(self, v: Tensor) -> Tensor:
        """The gradient used in place of the step's, at v (any shape; same shape and dtype out)."""

    def __call__(self, v: Tensor) -> Tensor:
        """Spikes {0, 1}, of the shape and dtype of v (membrane minus threshold)."""
        spikes: Tensor = _Fire.apply(v, self)  # type: ignore[no-untyped-call]
        return spikes


@dataclass(frozen=True)
class ATan(Surrogate):
    """d/dv of arctan(π α v / 2) / π: (α/2) / (1 + (π α v / 2)²)."""

    alpha: float = 2.0

    def derivative(self, v: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * v) ** 2)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """d/dv of the logistic function σ(α v): α σ(α v) (1 − σ(α v))."""

    alpha: float = 4.0

    def derivative(self, v: Tensor) -> Tensor:
        sigma = torch.sigmoid(self.alpha * v)
        return self.alpha * sigma * (1 - sigma)


@dataclass(frozen=True)
class Rectangular(Surrogate):
    """1/width where |v| < width/2, else 0. (Wu et al. 2018, STBP.)"""

    width: float = 1.0

    def derivative(self, v: Tensor) -> Tensor:
        return (v.abs() < self.width / 2).to(v.dtype) / self.width
