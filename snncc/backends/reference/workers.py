"""Work on several threads, each of which computes alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Found = TypeVar("Found")


def cores() -> int:
    """Cores this process may use, and no more than torch is to use (``torch.set_num_threads``)."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(allowed, torch.get_num_threads())


def together(body: Callable[[], Found], threads: int) -> list[Found]:
    """What ``body`` returns in each of so many threads, this one first.

    Within it torch uses one thread, so that what it computes is the same for any number. torch
    keeps that setting in each thread (OpenMP does), and in one place for threads that have not
    computed yet: each sets its own, and at the end this thread sets back both. A thread of someone
    else's that first computes with torch meanwhile finds one thread and keeps it.
    """
    before = torch.get_num_threads()

    def alone() -> Found:
        torch.set_num_threads(1)
        return body()

    try:
        if threads == 1:
            return [alone()]
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(alone) for _ in range(threads - 1)]
            return [alone(), *(each.result() for each in others)]
    finally:
        torch.set_num_threads(before)
