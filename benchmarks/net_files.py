"""Damaged HDF5 files, of NIR and of Lava-DL: record what came of them.

    python benchmarks/net_files.py 2000 [--jobs 2] [--record FILE.json]

So many mutated files of each format are opened: bytes changed or cut off, and, for Lava-DL, other
values in a sound file. Prints a tally as JSON; exit code 1 if anything but a finding comes out, or
if one takes too long or too much memory.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "support"))

SECONDS = 15.0
MEGABYTES = 1500.0
FORMATS = ("nir", "net")


def opened(kind: str, seed: int) -> Counter[str]:
    """What came of one file."""
    import hostile_hdf5

    from snncc.frontends import hdf5

    hdf5.SECONDS = SECONDS - 5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        if kind == "nir":
            data = (TESTS / "frontends/nir/files/braille.nir").read_bytes()
        else:
            data = lzma.decompress((TESTS / "frontends/lava_dl/files/tiny.net.xz").read_bytes())
        if kind == "net" and seed % 2:
            whole = Path(folder) / "whole"
            whole.write_bytes(data)
            shutil.copy(whole, path)
            hostile_hdf5.revalued(seed, path)
        else:
            path.write_bytes(hostile_hdf5.mutated(seed, data))
        begin = time.monotonic()
        said = hostile_hdf5.outcome(path)
        seconds = time.monotonic() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if seconds > SECONDS or memory > MEGABYTES:
        raise AssertionError(f"{seconds:.0f} s, {memory:.0f} MB")
    return Counter({"files": 1, said: 1})


def guarded(kind: str, seed: int) -> tuple[Counter[str], str]:
    try:
        return opened(kind, seed), ""
    except Exception as error:
        return Counter({"files": 1, "wrong": 1}), f"{kind} {seed}: {type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    tallies: dict[str, dict[str, int]] = {}
    with get_context("spawn").Pool(given.jobs) as pool:
        for kind in FORMATS:
            tally: Counter[str] = Counter()
            for found, fault in pool.imap_unordered(partial(guarded, kind), range(given.count)):
                tally += found
                if fault:
                    print(fault, file=sys.stderr)
            tallies[kind] = dict(sorted(tally.items()))
    text = json.dumps(tallies, indent=2)
    print(text)
    if given.record:
        given.record.write_text(text + "\n")
    return int(any("wrong" in tally for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
