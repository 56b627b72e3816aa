"""Progress bars on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from snncc.cli.errors import is_told

Tell = Callable[[int, int], None]
"""Is told how many of how many are done."""


@contextmanager
def bars(*titles: str) -> Iterator[list[Tell]]:
    """A bar for each title, seen from the first time that it is told something.

    It says how many are done, how many a second and how long the others will take.
    """
    if is_told("quiet") or not sys.stderr.isatty():
        yield [lambda done, total: None for _ in titles]
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskID,
        TextColumn,
    )
    from rich.text import Text

    class Pace(ProgressColumn):
        def render(self, task: Task) -> Text:
            done, total = int(task.completed), int(task.total or 0)
            return Text(pace(done, total, task.fields["spent"], monotonic() - task.fields["told"]))

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Pace(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:

        def telling(task: TaskID) -> Tell:
            began: float | None = None

            def tell(done: int, total: int) -> None:
                nonlocal began
                told = monotonic()
                began = began or told
                progress.update(
                    task, completed=done, total=total, visible=True, spent=told - began, told=told
                )

            return tell

        yield [
            telling(progress.add_task(title, total=None, visible=False, spent=0.0, told=0.0))
            for title in titles
        ]


def pace(done: int, total: int, spent: float, since: float) -> str:
    """How many a second and the time left, ``since`` seconds after ``done`` had taken ``spent``."""
    if not done or not spent:
        return ""
    rate = done / spent
    left = timedelta(seconds=round(max(0.0, (total - done) / rate - since)))
    return f"{rate:,.0f}/s, {left} left" if rate >= 100 else f"{rate:.3g}/s, {left} left"


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
