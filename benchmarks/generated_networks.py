"""Compare PyTorch, Graph and Network on many random networks, and record the result.

    python benchmarks/generated_networks.py 20000 [--first 0] [--jobs 2] [--record FILE.json]

Prints the tally as JSON, and every network that failed, made as small as it gets. Exit code 1 if
one did. The generator and the comparison are those of ``tests/support``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

SIZE = 8
BLOCK = 50


def block(seeds: range) -> tuple[dict[str, int], list[str]]:
    import torch
    from agreement import Parted, Tally, check

    torch.set_num_threads(1)
    total, failures = Tally(), []
    for seed in seeds:
        try:
            total += check(seed, SIZE)
        except Parted as problem:
            failures.append(str(problem))
    return vars(total), failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graphs", type=int)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path, help="write the result to this file")
    options = parser.parse_args()

    begin, end = time.perf_counter(), options.first + options.graphs
    blocks = [range(i, min(i + BLOCK, end)) for i in range(options.first, end, BLOCK)]
    tally: dict[str, int] = {}
    failures: list[str] = []
    with get_context("spawn").Pool(options.jobs) as pool:
        for done, (part, failed) in enumerate(pool.imap_unordered(block, blocks), 1):
            tally = {key: tally.get(key, 0) + value for key, value in part.items()}
            failures += failed
            for failure in failed:
                print(failure, file=sys.stderr)
            if sys.stderr.isatty():
                print(f"\r{done}/{len(blocks)} blocks", end="", file=sys.stderr)

    import torch

    result = {
        "seeds": [options.first, end],
        "size": SIZE,
        **tally,
        "failed": len(failures),
        "seconds": round(time.perf_counter() - begin),
        "jobs": options.jobs,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.record:
        options.record.write_text(text + "\n")
    return bool(failures)


if __name__ == "__main__":
    raise SystemExit(main())
