"""What a user may name as MODEL. Imports no torch: what is not there is said at once."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

from snncc.diagnostics import refuse

FACTORY = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""``package.module:factory``."""

_MODELS = ".pt, .pth, .pt2, .onnx, .nir, .net or package.module:factory"


def check_named(spec: str) -> None:
    """Look whether MODEL is a file that is there, of a kind that is read, or names a factory.

    Opens and imports nothing. Raises SnnccError (SNN305) where it is neither.
    """
    ending = Path(spec).suffix.lower()[1:]
    is_read = bool(entry_points(group="snncc.frontends", name=ending))
    if Path(spec).exists() if is_read else FACTORY.fullmatch(spec):
        return
    reason = "is not a kind of model snncc reads" if Path(spec).exists() else "does not exist"
    raise refuse("SNN305", f"{spec} {reason}", help=f"give {_MODELS}")
