"""ONNX files of many networks, and many damaged files: record what came of them.

    python benchmarks/onnx_files.py round-trip 500 [--jobs 2] [--record FILE.json]
    python benchmarks/onnx_files.py onnxruntime 100
    python benchmarks/onnx_files.py damaged 2000
    python benchmarks/onnx_files.py zoo 28 --jobs 1

``round-trip``: Graph → ONNX → Graph, every spike. ``zoo``: the same of all models of SpikingJelly's
zoo, as ./run-tests installs it. ``onnxruntime``: the program's file, in floats
and in whole numbers, in onnxruntime against ``program.run``. ``damaged``: mutated files are opened
and read as far as they can be. Prints a tally as JSON; exit code 1 if a spike differs, or if
anything but a finding comes out. The comparisons are those of ``tests``.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from many_seeds import Tally, Way, main

TESTS = Path(__file__).parents[1] / "tests"
for room in ("support", "frontends/onnx", "backends/onnx"):
    sys.path.insert(0, str(TESTS / room))


def round_trip(seed: int) -> Tally:
    from test_round_trip import generated

    return Counter({"networks": 1, "spikes": generated(seed)})


def zoo(number: int) -> Tally:
    from conftest import VERSION, SpikingJelly
    from test_round_trip import zoo_network
    from zoo import PLIF, RESNET, SEW, VGG, Zoo

    name = [*SEW, *RESNET, *VGG, *PLIF][number]
    spikes = zoo_network(Zoo(SpikingJelly(VERSION)), name)
    return Counter({"networks": 1, "spikes": spikes})


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


WAYS: dict[str, Way] = {
    "round-trip": round_trip, "zoo": zoo, "onnxruntime": onnxruntime, "damaged": damaged,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(__doc__, WAYS, ["snncc", "torch", "onnx", "onnxruntime"]))
