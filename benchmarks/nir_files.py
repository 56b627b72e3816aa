"""NIR files of many networks: record what came of them.

    python benchmarks/nir_files.py round-trip 500 [--jobs 2] [--record FILE.json]

``round-trip``: Graph → NIR → Graph, every spike; where NIR has no form for a Graph, its Network.
Prints a tally as JSON; exit code 1 if a spike differs, or if anything but a finding comes out. The
comparisons are those of ``tests``. Damaged files: ``benchmarks/net_files.py``.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from many_seeds import Tally, Way, main

TESTS = Path(__file__).parents[1] / "tests"
for room in ("support", "frontends/nir"):
    sys.path.insert(0, str(TESTS / room))


def round_trip(seed: int) -> Tally:
    from test_round_trip import generated

    with tempfile.TemporaryDirectory() as folder:
        said, spikes = generated(seed, Path(folder))
    if said in ("graph", "network"):
        return Counter({"networks": 1, f"written as {said}": 1, "spikes": spikes})
    return Counter({"networks": 1, f"refused: {said}": 1})


WAYS: dict[str, Way] = {"round-trip": round_trip}


if __name__ == "__main__":
    sys.exit(main(__doc__, WAYS, ["snncc", "torch", "nir", "h5py"]))
