"""The record of a proof: what was compared with what, so that anybody can run it again."""

from __future__ import annotations

import hashlib
import inspect
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from snncc.frontends.torch.states import digest
from snncc.verification.module import Agreement
from snncc.verification.passes import Check

LIBRARIES = ("snncc", "torch", "numpy", "spikingjelly", "snntorch")


def record_of(
    module: nn.Module, agreed: Agreement, checks: Iterable[Check], samples: Iterable[int]
) -> dict[str, Any]:
    """Plain values for the manifest; ``samples`` are those of the recording."""
    return {
        "module": {
            **fingerprint(module),
            "calls": [
                {
                    "input": call.probe.name,
                    "samples": call.probe.samples,
                    "seed": call.probe.seed,
                    "sha256": call.probe.sha256,
                    "dtype": str(call.dtype).removeprefix("torch."),
                    "neuron-steps": call.compared,
                    "ties": call.ties,
                }
                for call in agreed.calls
            ],
            "populations": populations(agreed),
            "samples": sorted(samples),
        },
        "passes": [
            {"pass": check.applied, "neuron-steps": check.compared, "ties": check.ties}
            for check in checks
        ],
        "versions": versions(),
    }


def populations(agreed: Agreement) -> dict[str, int]:
    """How many neuron-steps of each population were compared with the module's."""
    total: dict[str, int] = {}
    for call in agreed.calls:
        for name, count in call.populations.items():
            total[name] = total.get(name, 0) + count
    return total


def fingerprint(module: nn.Module) -> dict[str, str]:
    """SHA-256 of the source of the module's classes, and of its parameters and buffers."""
    classes = {type(part) for part in module.modules()}
    own = sorted((c for c in classes if not _of_library(c)), key=lambda c: c.__qualname__)
    source = hashlib.sha256()
    for cls in own:
        source.update(f"{cls.__qualname__}\n{_source(cls)}\n".encode())
    weights = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            weights.update(f"{name} {digest(tensor)}\n".encode())
    return {"source": source.hexdigest(), "weights": weights.hexdigest()}


def _of_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in LIBRARIES


def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return "(no source)"


def versions() -> dict[str, str]:
    """Of Python and of the libraries that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
