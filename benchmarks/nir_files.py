"""NIR files of many networks, and many damaged files: record what came of them.

    python benchmarks/nir_files.py round-trip 500 [--jobs 2] [--record FILE.json]
    python benchmarks/nir_files.py damaged 2000

``round-trip``: Graph → NIR → Graph, every spike; where NIR has no form for a Graph, its Network.
``damaged``: files with wrong bytes are opened. Prints a tally as JSON; exit code 1 if a spike
differs, or if anything but a finding comes out. The comparisons are those of ``tests``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).parents[1] / "tests"
for room in ("generators", "frontends/nir"):
    sys.path.insert(0, str(TESTS / room))

SECONDS = 90.0
"""No file may take longer: 60 s are the limit of the process that reads it."""

MEGABYTES = 4096
"""What all files together may add to the memory of the process."""

Tally = Counter[str]


def round_trip(seed: int) -> Tally:
    from test_round_trip import generated

    with tempfile.TemporaryDirectory() as folder:
        said, spikes = generated(seed, Path(folder))
    if said in ("graph", "network"):
        return Counter({"networks": 1, f"written as {said}": 1, "spikes": spikes})
    return Counter({"networks": 1, f"refused: {said}": 1})


def damaged(seed: int) -> Tally:
    from test_hostile import FILES, mutated

    from snncc.diagnostics import SnnccError
    from snncc.frontends.checkpoints import open_model

    files = sorted(path for path in FILES.glob("*.nir") if path.name != "never-ends.nir")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.nir"
        path.write_bytes(mutated(seed, files[seed % len(files)].read_bytes()))
        try:
            open_model(str(path))
            said = "opened"
        except SnnccError as error:
            said = ",".join(dict.fromkeys(finding.code for finding in error.findings))
            if "\n" in str(error) or "Traceback" in str(error):
                raise ValueError(f"no sentence: {error}") from error
    seconds = time.monotonic() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if seconds > SECONDS or memory > MEGABYTES:
        raise AssertionError(f"{seconds:.0f} s, {memory:.0f} MB")
    return Counter({"files": 1, said: 1})


WAYS: dict[str, Callable[[int], Tally]] = {"round-trip": round_trip, "damaged": damaged}


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
        "versions": {name: version(name) for name in ("snncc", "torch", "nir", "h5py")},
        "python": platform.python_version(),
    }
    print(json.dumps(result, indent=2))
    if options.record is not None:
        known = json.loads(options.record.read_text()) if options.record.exists() else {}
        known[options.way] = result
        options.record.write_text(json.dumps(known, indent=2) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
