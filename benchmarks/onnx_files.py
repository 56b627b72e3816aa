"""ONNX files of many networks, and many damaged files: record what came of them.

    python benchmarks/onnx_files.py round-trip 500 [--jobs 2] [--record FILE.json]
    python benchmarks/onnx_files.py onnxruntime 100
    python benchmarks/onnx_files.py damaged 2000

``round-trip``: Graph → ONNX → Graph, every spike. ``onnxruntime``: the program's file, in floats
and in whole numbers, in onnxruntime against ``program.run``. ``damaged``: mutated files are opened
and read as far as they can be. Prints a tally as JSON; exit code 1 if a spike differs, or if
anything but a finding comes out. The comparisons are those of ``tests``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).parents[1] / "tests"
for room in ("support", "frontends/onnx", "backends/onnx"):
    sys.path.insert(0, str(TESTS / room))

Tally = Counter[str]


def round_trip(seed: int) -> Tally:
    from test_round_trip import generated

    return Counter({"networks": 1, "spikes": generated(seed)})


def onnxruntime(seed: int) -> Tally:
    from test_export import generated

    tally: Tally = Counter({"networks": 1})
    for name, bits in (("float32", None), ("whole numbers", 8)):
        wrong, compared = generated(seed, bits)
        tally += Counter({f"{name}: spikes": compared, f"{name}: differ": wrong})
    return tally


def damaged(seed: int) -> Tally:
    import hostile_files

    files = sorted((TESTS / "frontends" / "onnx" / "files").glob("*.onnx"))
    data = files[seed % len(files)].read_bytes()
    found = hostile_files.outcome(hostile_files.mutated(data, seed))
    if found.seconds > hostile_files.SECONDS or hostile_files.memory() > hostile_files.MEGABYTES:
        raise AssertionError(f"{found.seconds:.0f} s, {hostile_files.memory():.0f} MB")
    return Counter({"files": 1, found.said: 1})


WAYS: dict[str, Callable[[int], Tally]] = {
    "round-trip": round_trip, "onnxruntime": onnxruntime, "damaged": damaged,
}  # fmt: skip


def one(task: tuple[str, int]) -> tuple[Tally, str]:
    import torch

    torch.set_num_threads(1)
    way, seed = task
    try:
        return WAYS[way](seed), ""
    except Exception as error:
        return Counter(), f"{way} {seed}: {type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("way", choices=list(WAYS))
    parser.add_argument("number", type=int)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--record", type=Path, help="write the result to this file")
    options = parser.parse_args()

    begin = time.perf_counter()
    tasks = [(options.way, seed) for seed in range(options.first, options.first + options.number)]
    tally: Tally = Counter()
    failures: list[str] = []
    with get_context("spawn").Pool(options.jobs) as pool:
        for part, failure in pool.imap_unordered(one, tasks, chunksize=10):
            tally += part
            if failure:
                failures.append(failure)
                print(failure, file=sys.stderr)
    result = {
        "way": options.way,
        "seeds": [options.first, options.first + options.number],
        **dict(sorted(tally.items())),
        "failures": failures,
        "seconds": round(time.perf_counter() - begin),
        "versions": {name: version(name) for name in ("snncc", "torch", "onnx", "onnxruntime")},
        "python": platform.python_version(),
    }
    print(json.dumps(result, indent=2))
    if options.record is not None:
        known = json.loads(options.record.read_text()) if options.record.exists() else {}
        known[options.way] = result
        options.record.write_text(json.dumps(known, indent=2) + "\n")
    return int(bool(failures) or any(tally[name] for name in tally if name.endswith("differ")))


if __name__ == "__main__":
    sys.exit(main())
