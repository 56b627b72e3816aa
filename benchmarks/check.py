"""snncc check and snncc --help as whole processes, start-up included.

    PYTHONPATH=FOLDER_OF_SPIKINGJELLY python benchmarks/check.py [--runs 5]

``snncc check`` of SpikingJelly's ``sew_resnet18`` (ADD) at 224×224, T = 4, is to take less than
15 s, ``snncc --help`` less than 0.3 s; exits with 1 when the smallest of the runs does not.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAND_INS = Path(__file__).parents[1] / "tests" / "stand_ins"
MODEL = """
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model.sew_resnet import sew_resnet18


def make():
    net = sew_resnet18(cnf="ADD", spiking_neuron=neuron.IFNode)
    functional.set_step_mode(net, "m")
    return net.eval()
"""
CHECK = ("check", "bench_net:make", "--input-shape", "3,224,224", "--time-steps", "4",
         "--layout", "TN", "--target", "reference")  # fmt: skip
BOUNDS = {("--help",): 0.3, CHECK: 15.0}


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    path = os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), str(STAND_INS), str(Path(__file__).parents[1])])
    )
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "snncc", *arguments], cwd=folder, check=True,
        stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    broken = False
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench_net.py").write_text(MODEL)
        for arguments, bound in BOUNDS.items():
            taken = [seconds(arguments, folder) for _ in range(options.runs)]
            least, median = min(taken), statistics.median(taken)
            print(f"snncc {arguments[0]:<8} {least:6.2f} s at least, {median:6.2f} s median of "
                  f"{len(taken)}, bound {bound:g} s")  # fmt: skip
            broken |= min(taken) > bound
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
