"""Progress bars on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[int, int], None]
"""Is told how many of how many are done."""


@contextmanager
def bars(*titles: str) -> Iterator[list[Tell]]:
    """A bar for each title, seen from the first time that it is told something."""
    if not sys.stderr.isatty():
        yield [lambda done, total: None for _ in titles]
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as progress:

        def telling(task: TaskID) -> Tell:
            return lambda done, total: progress.update(
                task, completed=done, total=total, visible=True
            )

        yield [telling(progress.add_task(title, total=None, visible=False)) for title in titles]


def adding(tell: Tell, total: int) -> Callable[[int], None]:
    """Is told how many more are done, and tells ``tell`` how many of ``total``."""
    done = 0

    def more(number: int) -> None:
        nonlocal done
        done += number
        tell(done, total)

    more(0)
    return more


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how many more of ``total`` are done."""
    with bars(what) as (tell,):
        yield adding(tell, total)
