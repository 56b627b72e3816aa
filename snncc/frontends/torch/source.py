"""Which line of the user's code is running."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from types import FrameType

import torch

from snncc.diagnostics import Location

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_LAYERS = frozenset({"layer.py", "base.py", "neuron.py", "surrogate.py", "functional.py"})


@cache
def _is_foreign(file: str) -> bool:
    """Frames that only carry the user's call: torch, this package, SpikingJelly's wrappers."""
    path = Path(file)
    wrapper = "spikingjelly" in path.parts and path.name in _LAYERS
    return file.startswith((_TORCH, _HERE, "<")) or wrapper


@cache
def _shown(file: str) -> str:
    """Relative to the current directory where that is shorter."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def here(module: str) -> Location:
    """The innermost frame that is the user's own, and the module path that runs it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_foreign(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return Location(module)
    return Location(module, _shown(frame.f_code.co_filename), frame.f_lineno)


def raised(error: BaseException, module: str) -> Location:
    """The user's innermost line in the traceback of ``error``."""
    place = Location(module)
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not _is_foreign(file):
            place = Location(module, _shown(file), trace.tb_lineno)
        trace = trace.tb_next
    return place
