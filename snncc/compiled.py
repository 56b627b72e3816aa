"""Inner loops compiled by numba, and kept for the next process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from numba import njit
from numba.core.caching import FunctionCache


class Kept(FunctionCache):  # type: ignore[misc]
    """numba's cache, for one process at a time.

    numba writes the machine code of a signature to a file, after the index that names it, and
    chooses the name by the index it has read. Of two processes that compile for the first time one
    may so find the code of another signature, or of older source, and run it (numba issue 10128).
    """

    def _alone(self) -> FileLock:
        return FileLock(Path(self.cache_path) / ".lock")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with self._alone():
            return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        with self._alone():
            super().save_overload(sig, data)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function when it is called, once for each signature; ``options`` are njit's.

    What is compiled is kept beside the source or, where nothing can be written there, where numba
    finds a place; with none, each process compiles anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        with suppress(RuntimeError):
            dispatcher._cache = Kept(function)
        return dispatcher

    return decorate
