"""Data sets and encoders that training scripts use, by the names of their classes.

Sizes are those of the recordings as they are published; time is no part of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snncc.options import InputKind


@dataclass(frozen=True)
class DataSet:
    """Shape of one sample at one step, and what its values are."""

    shape: tuple[int, ...]
    kind: InputKind

    @property
    def events(self) -> bool:
        return self.kind == "count"


_GREY, _COLOUR = DataSet((1, 28, 28), "analog"), DataSet((3, 32, 32), "analog")
_SACCADES, _GESTURES = DataSet((2, 34, 34), "count"), DataSet((2, 128, 128), "count")

DATA_SETS: Mapping[str, DataSet] = {
    "MNIST": _GREY,
    "FashionMNIST": _GREY,
    "KMNIST": _GREY,
    "QMNIST": _GREY,
    "CIFAR10": _COLOUR,
    "CIFAR100": _COLOUR,
    "SVHN": _COLOUR,
    "ImageNet": DataSet((3, 224, 224), "analog"),
    "NMNIST": _SACCADES,
    "CIFAR10DVS": _GESTURES,
    "DVS128Gesture": _GESTURES,
    "DVSGesture": _GESTURES,
    "NCaltech101": DataSet((2, 180, 240), "count"),
    "NCARS": DataSet((2, 100, 120), "count"),
    "ASLDVS": DataSet((2, 180, 240), "count"),
    "SHD": DataSet((700,), "count"),
    "SSC": DataSet((700,), "count"),
    "SpikingHeidelbergDigits": DataSet((700,), "count"),
    "SpikingSpeechCommands": DataSet((700,), "count"),
}
"""By class name, without underscores."""

ENCODERS = (
    *("PoissonEncoder", "LatencyEncoder", "WeightedPhaseEncoder", "bernoulli"),
    *("spikegen.rate", "spikegen.latency", "spikegen.delta"),
)
"""What makes spikes of real numbers."""


def data_set(name: str) -> DataSet | None:
    return DATA_SETS.get(name.replace("_", ""))
