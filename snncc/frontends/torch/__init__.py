"""Tracing torch modules by one recorded run (design, *Recording a torch module*)."""

from snncc.frontends.torch.observing import (
    Observation,
    Witness,
    arrange,
    as_taken,
    check_bound,
    observe,
)
from snncc.frontends.torch.tracing import Reading, Recording, as_example, read, record, trace

__all__ = [
    "Observation", "Reading", "Recording", "Witness", "arrange", "as_example", "as_taken",
    "check_bound", "observe", "read", "record", "trace",
]  # fmt: skip
