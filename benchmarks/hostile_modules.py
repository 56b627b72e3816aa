"""Compile many hostile modules, compare each program with its module, and record the verdicts.

    python benchmarks/hostile_modules.py [--draws 20000] [--first 0] [--jobs 2] [--record FILE.json]

Prints the counts by verdict and kind as JSON, and every program that is another network or whose
compilation crashed. Exit code 1 if there is one. The modules and the comparison are those of
``tests/support``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".cache" / "spikingjelly"
VERSION = (ROOT / "tests" / "spikingjelly-versions").read_text().split()[0]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(INSTALLED / VERSION)]

BLOCK = 48
RESULTS = Path(__file__).parent / "results" / "hostile_modules.json"


def block(seeds: range) -> Any:
    import torch
    from hostility import judge_all

    torch.set_num_threads(1)
    return judge_all(seeds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path, default=RESULTS, help="where the result is written")
    options = parser.parse_args()

    begin, end = time.perf_counter(), options.first + options.draws
    blocks = [range(i, min(i + BLOCK, end)) for i in range(options.first, end, BLOCK)]
    counts: Counter[tuple[str, str]] = Counter()
    harmless: Counter[str] = Counter()
    bad: list[str] = []
    with get_context("spawn").Pool(options.jobs) as pool:
        for done, tally in enumerate(pool.imap_unordered(block, blocks), 1):
            counts.update(tally.counts)
            harmless.update(tally.harmless)
            bad += tally.bad
            for program in tally.bad:
                print(program, file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{done}/{len(blocks)} blocks", end="", file=sys.stderr)

    import torch

    verdicts: Counter[str] = Counter()
    kinds: dict[str, dict[str, int]] = {}
    for (kind, what), count in sorted(counts.items()):
        verdicts[what] += count
        kinds.setdefault(kind, {})[what] = count
    result = {
        "seeds": [options.first, end],
        "verdicts": dict(verdicts),
        "harmless": dict(harmless),
        "kinds": kinds,
        "seconds": round(time.perf_counter() - begin),
        "jobs": options.jobs,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    text = json.dumps(result, indent=2)
    print(text)
    options.record.write_text(text + "\n")
    return bool(bad)


if __name__ == "__main__":
    raise SystemExit(main())
