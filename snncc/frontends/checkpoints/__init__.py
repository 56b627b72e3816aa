"""Networks as users keep them: opened without executing anything that a file holds."""

from snncc.frontends.checkpoints.checkpoint import Checkpoint, open_model, save_model

__all__ = ["Checkpoint", "open_model", "save_model"]
