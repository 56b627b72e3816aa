"""Fixed point, measured: the examples on all their test samples, and random networks in Lava.

    python benchmarks/fixed_point.py [--networks 100] [--record FILE.json]

For each example, with thresholds by channel and one a layer, with and without calibration: accuracy
and flipped spikes against floating point. Then the emitted packages in Lava's fixed-point models:
all recordings and images back to back, 20 recordings each by itself, and so many random networks of
two kinds each; every spike, u and v must be ours, or it ends with what is not. The networks and
comparisons are those of ``tests``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

BLOCK = 20
ALONE = 20


def main() -> int:
    import torch
    from bit_for_bit import Case, Tally, agree
    from drawn import drawn, generated
    from trained import NAMES, PER_NEURON, example, measure

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--record", type=Path, help="write the result to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.perf_counter()
    result: dict[str, object] = {}

    def say(name: str, value: object) -> None:
        result[name] = value
        print(f"{name}: {json.dumps(value)}", flush=True)

    def compare(name: str, cases: dict[str, Case]) -> None:
        total, each = Tally(), list(cases.items())
        for first in range(0, len(each), BLOCK):
            with tempfile.TemporaryDirectory() as folder:
                total += agree(dict(each[first : first + BLOCK]), Path(folder), timeout=3600)
        say(f"in Lava, bit for bit: {name}", vars(total))

    with tempfile.TemporaryDirectory() as folder:
        netx = Path(folder, "netx.toml")
        text = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")
        netx.write_text(re.sub(r'(thresholds = { value = )"neuron"', r'\1"layer"', text))
        for name in NAMES:
            of = example(name)
            targets = ["loihi"] if name in PER_NEURON else ["loihi", str(netx)]
            for target in targets:
                for calibration in (of.calibration, None):
                    program = of.compile(target, weight_bits=8, calibration=calibration)
                    found = measure(of, program)
                    of_layer = "one a layer" if target != "loihi" else "by channel"
                    data = "weights" if calibration is None else "calibration"
                    row = {**vars(found), "points lost": found.points, "kept": found.kept}
                    say(f"{name}, thresholds {of_layer}, scales from {data}", row)
    for name in NAMES:
        of = example(name)
        program = of.compile(weight_bits=8, calibration=of.calibration)
        assert program.scheduled is not None
        given = program.arrange(of.inputs)
        compare(f"{name}, all samples back to back", {name: (program.scheduled, given)})
        if name == "dst":
            ((source, recordings),) = given.items()
            alone = {
                f"alone{n}": (program.scheduled, {source: recordings[:, n : n + 1]})
                for n in range(ALONE)
            }
            compare(f"{name}, {ALONE} recordings each by itself", alone)
    seeds = range(1000, 1000 + options.networks)
    compare("drawn networks", {f"drawn{seed}": drawn(seed)[:2] for seed in seeds})
    compare("generated modules", {f"module{seed}": generated(seed) for seed in seeds})
    say("seconds", round(time.perf_counter() - begin))
    if options.record:
        options.record.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
