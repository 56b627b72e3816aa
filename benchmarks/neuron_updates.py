"""Compile many drawn neurons, hold each program against its module, and record the verdicts.

    python benchmarks/neuron_updates.py [--draws 20000] [--first 0] [--jobs 2] [--record FILE.json]

Prints the counts by place as JSON, and every program that is another network. Exit code 1 if there
is one. The neurons, their places and the comparison are those of ``tests/support``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

BLOCK = 50
RESULTS = Path(__file__).parent / "results" / "neuron_updates.json"


def block(work: tuple[str, range]) -> Any:
    import torch
    from neuron_verdicts import Tally, judge_all

    torch.set_num_threads(1)
    place, seeds = work
    try:
        return place, judge_all(seeds, place)
    except Exception:  # one draw that ends in an error must not lose the hours before it
        return place, Tally(wrong=[f"{place}, {seeds}: {traceback.format_exc()}"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000, help="of each place")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path, default=RESULTS, help="where the result is written")
    options = parser.parse_args()

    import torch
    from neuron_updates import PLACES
    from neuron_verdicts import Tally

    begin, end = time.perf_counter(), options.first + options.draws
    starts = range(options.first, end, BLOCK)
    work = [(place, range(i, min(i + BLOCK, end))) for place in PLACES for i in starts]
    tallies = {place: Tally() for place in PLACES}
    with get_context("spawn").Pool(options.jobs) as pool:
        for done, (place, tally) in enumerate(pool.imap_unordered(block, work), 1):
            tallies[place].add(tally)
            for program in tally.wrong:
                print(program, file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{done}/{len(work)} blocks", end="", file=sys.stderr)

    result = {
        "seeds": [options.first, end],
        "places": {
            place: {
                "verdicts": dict(sorted(tally.verdicts.items())),
                "wrong": len(tally.wrong),
                "have a normal form": tally.formed,
                "read of these": tally.read,
                "refusals": summed(tally.refusals),
            }
            for place, tally in tallies.items()
        },
        "seconds": round(time.perf_counter() - begin),
        "jobs": options.jobs,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    print(text)
    options.record.write_text(text + "\n")
    return any(tally.wrong for tally in tallies.values())


def summed(refusals: dict[str, int]) -> dict[str, int]:
    """By code and reason, the names of nodes and the numbers of steps left out."""
    return dict(sorted(refusals.items(), key=lambda item: (-item[1], item[0])))


if __name__ == "__main__":
    raise SystemExit(main())
