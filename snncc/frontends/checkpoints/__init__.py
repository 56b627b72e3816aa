"""Networks as users keep them: opened without executing anything that a file holds."""

from snncc.frontends.checkpoints.checkpoint import Checkpoint, Said, open_model, save_model

__all__ = ["Checkpoint", "Said", "open_model", "save_model"]
