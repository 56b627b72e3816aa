"""Tracing torch modules by one recorded run (design, *Recording a torch module*)."""

from snncc.frontends.torch.observing import Observation, Witness, arrange, observe
from snncc.frontends.torch.tracing import Reading, as_example, read, trace

__all__ = ["Observation", "Reading", "Witness", "arrange", "as_example", "observe", "read", "trace"]
