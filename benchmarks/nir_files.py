"""NIR files of many networks: record what came of them.

    python benchmarks/nir_files.py round-trip 500 [--jobs 2] [--record FILE.json]
    python benchmarks/nir_files.py zoo 28 --jobs 1
    python benchmarks/nir_files.py examples 18 --jobs 1

``round-trip``: Graph → NIR → Graph, every spike; where NIR has no form for a Graph, its Network.
``zoo``: the same of all models of SpikingJelly's zoo, as ./run-tests installs it. ``examples``: of
the trained networks of examples/, on four of their test samples.
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
for room in ("support", "frontends/nir", ""):
    sys.path.insert(0, str(TESTS / room))


def tallied(name: str, said: str, spikes: int) -> Tally:
    if said in ("graph", "network"):
        return Counter({"networks": 1, f"written as {said}": 1, "spikes": spikes})
    return Counter({"networks": 1, f"refused: {name}{said}": 1})


def round_trip(seed: int) -> Tally:
    from test_round_trip import generated

    with tempfile.TemporaryDirectory() as folder:
        return tallied("", *generated(seed, Path(folder)))


def zoo(number: int) -> Tally:
    from conftest import VERSION, SpikingJelly
    from test_round_trip import zoo_network
    from zoo import PLIF, RESNET, SEW, VGG, Zoo

    name = [*SEW, *RESNET, *VGG, *PLIF][number]
    with tempfile.TemporaryDirectory() as folder:
        said = zoo_network(Zoo(SpikingJelly(VERSION)), name, Path(folder))
    return tallied(f"{name}: ", *said)


def examples(number: int) -> Tally:
    from test_round_trip import trained

    root = TESTS.parent / "examples"
    path = sorted(root.glob("*/**/*.pt"))[number].relative_to(root)
    name = path.parts[0]
    checkpoint = None if name == "mnist" else str(path.relative_to(name))  # not a whole module
    with tempfile.TemporaryDirectory() as folder:
        return tallied(f"{path}: ", *trained(name, checkpoint, Path(folder), 4))


WAYS: dict[str, Way] = {"round-trip": round_trip, "zoo": zoo, "examples": examples}


if __name__ == "__main__":
    sys.exit(main(__doc__, WAYS, ["snncc", "torch", "nir", "h5py"]))
