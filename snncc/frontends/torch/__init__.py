"""Tracing torch modules by one recorded run (design, *Recording a torch module*)."""

from snncc.frontends.torch.observing import Observation, Witness, arrange, check_bound, observe
from snncc.frontends.torch.tracing import Reading, as_example, read, trace

__all__ = [
    "Observation", "Reading", "Witness", "arrange", "as_example", "check_bound", "observe", "read",
    "trace",
]  # fmt: skip
