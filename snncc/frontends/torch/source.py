"""Which line of the user's code is running: the innermost that is inside the recorded forward."""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import FrameType

import torch

from snncc.diagnostics import Location

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_CARRIERS = (_TORCH, _HERE, contextlib.__file__, "<")
_PACKAGE = str(Path(__file__).parents[2])
_LIBRARIES = frozenset(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib", "stdlib"))
_OUTSIDE = str(Path(__file__).with_name("runs.py"))
_WRAPPERS = {
    "spikingjelly": frozenset({"layer", "base", "neuron", "surrogate", "functional"}),
    "snntorch": frozenset({"_neurons", "_layers", "surrogate", "functional"}),
    "snncc": frozenset({"neurons", "over_time"}),
}
"""What libraries put around a user's layers; their networks are code like the user's."""


@cache
def _is_foreign(file: str) -> bool:
    """Frames that only carry the user's call: torch, this package, wrappers around layers."""
    return file.startswith(_CARRIERS) or _is_wrapper(Path(file).with_suffix("").parts)


def _is_wrapper(parts: tuple[str, ...]) -> bool:
    for library, names in _WRAPPERS.items():
        if library in parts:
            inside = parts[len(parts) - parts[::-1].index(library) :]
            return not names.isdisjoint(inside[:2])
    return False


def _shown(file: str) -> str:
    """From a library's name on, else relative to the current directory where it is inside."""
    roots = [str(Path(_PACKAGE).parent)] if file.startswith(_PACKAGE + os.sep) else []
    with contextlib.suppress(OSError):  # the current directory may be gone
        roots += [*_LIBRARIES, str(Path.cwd())]
    inside = [root for root in roots if file.startswith(root + os.sep)]
    return os.path.relpath(file, inside[0]) if inside else file


def _is_of_function(frame: FrameType) -> bool:
    """Whether it is ``forward`` of an `autograd.Function`."""
    code = frame.f_code
    if code.co_name != "forward" or not code.co_argcount:
        return False
    return isinstance(frame.f_locals.get(code.co_varnames[0]), torch.autograd.function.FunctionCtx)


_stated: ContextVar[Location | None] = ContextVar("stated", default=None)


@contextlib.contextmanager
def stated(place: Location) -> Iterator[None]:
    """What runs in here was written at ``place``: a node of a file, say, and no line of Python."""
    token = _stated.set(place)
    try:
        yield
    finally:
        _stated.reset(token)


def here(module: str, applied: bool = False) -> Location:
    """The innermost frame that is the user's own, and the module path that runs it.

    A forward of torch's own, as that of ``nn.Sequential``, has no such frame: whoever called the
    recording is not to blame. ``applied``: of an `autograd.Function` the line that applies it,
    which tells one neuron from another.
    """
    place = _stated.get()
    if place is not None:
        return replace(place, module=place.module or module)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _OUTSIDE:
        inside = applied and _is_of_function(frame)
        if not inside and not _is_foreign(frame.f_code.co_filename):
            return Location(module, _shown(frame.f_code.co_filename), frame.f_lineno)
        frame = frame.f_back
    return Location(module)


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
