"""A compiler that takes a trained full-spike network to neuromorphic hardware.

``import snncc`` imports no torch; the first use of a name does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snncc import nn
    from snncc.compiler import Report, check, compile
    from snncc.diagnostics import Finding, SnnccError
    from snncc.frontends.checkpoints import save_model
    from snncc.frontends.neurons import NeuronModule, register_neuron
    from snncc.frontends.torch import trace
    from snncc.ir.ops import Ref, Spiking
    from snncc.program import Program, Result, load
    from snncc.simulation import Simulation, simulate
    from snncc.verification import Comparison, compare

__all__ = [
    "Comparison",
    "Finding",
    "NeuronModule",
    "Program",
    "Ref",
    "Report",
    "Result",
    "Simulation",
    "SnnccError",
    "Spiking",
    "check",
    "compare",
    "compile",
    "load",
    "nn",
    "register_neuron",
    "save_model",
    "simulate",
    "trace",
]

_HOMES = {
    "Comparison": "snncc.verification",
    "Finding": "snncc.diagnostics",
    "NeuronModule": "snncc.frontends.neurons",
    "Program": "snncc.program",
    "Ref": "snncc.ir.ops",
    "Report": "snncc.compiler",
    "Result": "snncc.program",
    "Simulation": "snncc.simulation",
    "SnnccError": "snncc.diagnostics",
    "Spiking": "snncc.ir.ops",
    "check": "snncc.compiler",
    "compare": "snncc.verification",
    "compile": "snncc.compiler",
    "load": "snncc.program",
    "register_neuron": "snncc.frontends.neurons",
    "save_model": "snncc.frontends.checkpoints",
    "simulate": "snncc.simulation",
    "trace": "snncc.frontends.torch",
}


def __getattr__(name: str) -> Any:
    if name == "nn":
        return importlib.import_module("snncc.nn")
    if name == "__version__":
        from importlib.metadata import version

        return version("snncc")
    if name not in _HOMES:
        raise AttributeError(f"module 'snncc' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
