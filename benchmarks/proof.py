"""What it costs that the proof begins at the module: this checkout against an earlier commit.

    python benchmarks/proof.py --against COMMIT [--runs 7]

`compile` of examples/dst and of SpikingJelly's `sew_resnet18` (64×64, T = 4), both verified, and
`snncc check` of `sew_resnet18` at 224×224, in turn in both checkouts, each in a process of its own
that was warmed up. The ratios of the medians are to be at most 2.0, 1.5 and 1.0; exits with 1 where
they are not. SpikingJelly is the newest that ./run-tests installed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "proof.json"
VERSION = (ROOT / "tests" / "spikingjelly-versions").read_text().split()[0]
PATHS = (ROOT / "tests" / "stand_ins", ROOT / ".cache" / "spikingjelly" / VERSION)
BOUNDS = {"compile dst": 2.0, "compile sew_resnet18 64": 1.5, "check sew_resnet18 224": 1.0}
WORK = """
import sys, time, warnings
warnings.simplefilter("ignore")
import torch
import snncc
from snncc.cli.model import Options, open_model
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model.sew_resnet import sew_resnet18

def sew():
    torch.manual_seed(0)
    net = sew_resnet18(cnf="ADD", spiking_neuron=neuron.IFNode)
    functional.set_step_mode(net, "m")
    return net.eval()

options = Options(None, None, None, None, None, None, (), False)
dst, net = open_model(sys.argv[1], options), sew()
small, large = torch.rand(4, 1, 3, 64, 64), torch.rand(4, 1, 3, 224, 224)
work = {
    "compile dst": lambda: dst.compile("loihi", options),
    "compile sew_resnet18 64": lambda: snncc.compile(net, small, "loihi", layout="TN"),
    "check sew_resnet18 224": lambda: snncc.check(net, large, "loihi", layout="TN"),
}
for each in work.values():
    each()
print("ready", flush=True)
for line in sys.stdin:
    begin, cpu = time.perf_counter(), time.process_time()
    work[line.strip()]()
    print(time.perf_counter() - begin, time.process_time() - cpu, flush=True)
"""


def start(checkout: Path) -> subprocess.Popen[str]:
    """A process that does the work it is named and says how many seconds it took."""
    path = os.pathsep.join(map(str, (checkout, *PATHS)))
    model = str(ROOT / "examples" / "dst" / "nmnist.pt")
    return subprocess.Popen(
        [sys.executable, "-c", WORK, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env=os.environ | {"PYTHONPATH": path},
        cwd=checkout,
    )  # fmt: skip


def seconds(process: subprocess.Popen[str], work: str) -> tuple[float, float]:
    """Of the clock on the wall, and of all processors."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{work}\n")
    process.stdin.flush()
    wall, cpu = map(float, process.stdout.readline().split())
    return wall, cpu


def measure(before: Path, runs: int) -> dict[str, dict[str, float]]:
    """Medians of both checkouts, in turn, and their ratio."""
    sides = {"now": start(ROOT), "before": start(before)}
    for process in sides.values():
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
    found = {}
    for work in BOUNDS:
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(runs):
            for name, process in sides.items():
                taken[name].append(seconds(process, work))
        row: dict[str, float] = {"bound": BOUNDS[work]}
        for number, clock in enumerate(("", "cpu ")):
            each = {name: [times[number] for times in taken[name]] for name in sides}
            for name, times in each.items():
                row[f"{clock}seconds {name}"] = statistics.median(times)
            pairs = zip(each["now"], each["before"], strict=True)
            row[f"{clock}ratio"] = statistics.median(a / b for a, b in pairs)
        found[work] = row
    for process in sides.values():
        process.kill()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", required=True, metavar="COMMIT")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", str(before), options.against], check=True)
        try:
            found = measure(before, options.runs)
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)
    for work, row in found.items():
        print(
            f"{work:<26}{row['seconds now']:7.2f} s, before {row['seconds before']:6.2f} s, "
            f"ratio {row['ratio']:.2f} (of processor time {row['cpu ratio']:.2f}), "
            f"bound {row['bound']:g}"
        )
    RESULTS.write_text(json.dumps({"against": options.against, **found}, indent=1) + "\n")
    return int(any(row["ratio"] > row["bound"] for row in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
