"""Tracing torch modules by one recorded run (design, *Recording a torch module*)."""

from snncc.frontends.torch.observing import Observation, arrange, observe
from snncc.frontends.torch.tracing import as_example, trace, unread

__all__ = ["Observation", "arrange", "as_example", "observe", "trace", "unread"]
