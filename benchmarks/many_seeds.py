"""Runs one function on many seeds, adds up what they return, and writes it down."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

Tally = Counter[str]
Way = Callable[[int], Tally]


def one(task: tuple[Way, int]) -> tuple[Tally, str]:
    import torch

    torch.set_num_threads(1)
    way, seed = task
    try:
        return way(seed), ""
    except Exception as error:
        return Counter(), f"{way.__name__} {seed}: {type(error).__name__}: {error}"


def main(about: str, ways: Mapping[str, Way], packages: Sequence[str]) -> int:
    """Read the command line and do what it says; exit code 1 if a spike differs or a seed fails.

    ``packages``: those whose versions belong to the record.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("way", choices=list(ways))
    parser.add_argument("number", type=int)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path, help="write the result to this file")
    options = parser.parse_args()

    begin = time.perf_counter()
    first, behind = options.first, options.first + options.number
    tasks = [(ways[options.way], seed) for seed in range(first, behind)]
    tally: Tally = Counter()
    failures: list[str] = []
    with get_context("spawn").Pool(options.jobs) as pool:
        for part, failure in pool.imap_unordered(one, tasks, chunksize=1):
            tally += part
            if failure:
                failures.append(failure)
                print(failure, file=sys.stderr)
    result = {
        "way": options.way,
        "seeds": [first, behind],
        **dict(sorted(tally.items())),
        "failures": failures,
        "seconds": round(time.perf_counter() - begin),
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
    }
    print(json.dumps(result, indent=2))
    if options.record is not None:
        known = json.loads(options.record.read_text()) if options.record.exists() else {}
        known[options.way] = result
        options.record.write_text(json.dumps(known, indent=2) + "\n")
    return int(bool(failures) or any(tally[name] for name in tally if name.endswith("differ")))
