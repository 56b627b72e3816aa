"""snncc check and snncc --help as whole processes, start-up included.

    python benchmarks/check.py [--runs 5] [--target loihi]

``snncc check`` of SpikingJelly's ``sew_resnet18`` (ADD) at 224×224, T = 4, is to take less than
15 s, ``snncc --help`` less than 0.3 s; exits with 1 when the smallest of the runs does not. The
time of the CPU is that of the run in the middle. SpikingJelly is the newest that ./run-tests
installed, unless PYTHONPATH has another.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTALLED = ROOT / ".cache" / "spikingjelly"
VERSION = (ROOT / "tests" / "spikingjelly-versions").read_text().split()[0]
PATHS = (ROOT, ROOT / "tests" / "stand_ins", INSTALLED / VERSION)
MODEL = """
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model.sew_resnet import sew_resnet18


def make():
    net = sew_resnet18(cnf="ADD", spiking_neuron=neuron.IFNode)
    functional.set_step_mode(net, "m")
    return net.eval()
"""
CHECK = ("check", "bench_net:make", "--input-shape", "3,224,224", "--time-steps", "4",
         "--layout", "TN")  # fmt: skip


def run(arguments: tuple[str, ...], folder: str) -> tuple[float, float]:
    """Seconds of wall time and of the CPU."""
    path = [os.environ.get("PYTHONPATH", ""), *map(str, PATHS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "snncc", *arguments], cwd=folder, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user
    return wall, cpu + after.children_system - before.children_system


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--target", default="loihi")
    options = parser.parse_args()
    bounds = {("--help",): 0.3, (*CHECK, "--target", options.target): 15.0}
    broken = False
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench_net.py").write_text(MODEL)
        for arguments, bound in bounds.items():
            taken = sorted(run(arguments, folder) for _ in range(options.runs))
            least, _ = taken[0]
            median, cpu = taken[len(taken) // 2]
            print(
                f"snncc {arguments[0]:<8}{least:6.2f} s at least, {median:6.2f} s median of "
                f"{len(taken)} ({cpu:.2f} s of the CPU), bound {bound:g} s"
            )
            broken |= least > bound
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
