"""`snncc simulate` on whole test sets: time against the module's own evaluation, and peak memory.

    python benchmarks/test_sets.py [--samples 10000] [--images 2000] [--record FILE.json]

1. examples/dst, compiled for loihi1 in floats and in 8 bits, on 10,000 recordings: those of the
   example, shifted by up to 2 pixels and thinned at random. Against the trained module in PyTorch,
   float32, batches of 64, its auxiliary path included.
2. SpikingJelly's `spiking_resnet18` and `sew_resnet18` (IAND), 3×32×32, T = 4, on 2,000 images,
   against their own multi-step evaluation in batches of 64.

Every run is a process of its own on all cores. Its time is that of the whole process less that of
the same command on one sample; of the module's evaluation the start is left out. Peak memory is
that of the process. Exits with 1 where a bound is not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "test_sets.json"
VERSION = (ROOT / "tests" / "spikingjelly-versions").read_text().split()[0]
SPIKINGJELLY = (ROOT / "tests" / "stand_ins", ROOT / ".cache" / "spikingjelly" / VERSION)
STEPS, BATCH = 4, 64

EVALUATE = """
import sys, time
import numpy as np
import torch
sys.path[:0] = sys.argv[3:]
spec, data = sys.argv[1:3]
from snncc.cli.model import Options, open_model
module = open_model(spec, Options(None, None, None, None, None, None, (), False)).module.float()
inputs = np.load(data)["inputs"]
axis = 1

@torch.inference_mode()
def evaluate(inputs):
    answers = []
    for start in range(0, inputs.shape[axis], 64):
        batch = inputs.take(range(start, min(start + 64, inputs.shape[axis])), axis)
        answers.append(module(torch.from_numpy(batch).float()))
    return answers

evaluate(inputs.take(range(64), axis))
begin = time.perf_counter()
evaluate(inputs)
print(time.perf_counter() - begin)
"""

COMPILE = """
import sys
sys.path[:0] = sys.argv[2:]
import torch
import snncc
import test_set_models
module = getattr(test_set_models, sys.argv[1].partition(":")[2])()
generator = torch.Generator().manual_seed(1)
example = torch.rand(2, 3, 32, 32, generator=generator)
snncc.compile(module, example, "reference", layout="N").save(sys.argv[1].replace(":", "-"))
"""

MODELS = f"""
import torch
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.model import sew_resnet, spiking_resnet
from torch import nn


class Repeated(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.unsqueeze(0).repeat({STEPS}, 1, 1, 1, 1)).mean(0)


def made(net):
    functional.set_step_mode(net, "m")
    whole = Repeated(net)
    for norm in net.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = None
    whole.train()
    with torch.no_grad():
        for _ in range(2):
            functional.reset_net(net)
            whole(torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(2)))
    functional.reset_net(net)
    return whole.eval()


def spiking():
    torch.manual_seed(0)
    return made(spiking_resnet.spiking_resnet18(spiking_neuron=neuron.IFNode, num_classes=10))


def sew():
    torch.manual_seed(0)
    net = sew_resnet.sew_resnet18(cnf="IAND", spiking_neuron=neuron.IFNode, num_classes=10)
    return made(net)

"""


def shifted_and_thinned(recordings: np.ndarray, samples: int) -> np.ndarray:
    """(T, samples, C, H, W) of (T, N, C, H, W): moved by up to 2 pixels, a tenth of events lost."""
    rng = np.random.default_rng(0)
    steps, count, channels, height, width = recordings.shape
    result = np.empty((steps, samples, channels, height, width), np.uint8)
    padded = np.pad(recordings, ((0, 0), (0, 0), (0, 0), (2, 2), (2, 2)))
    for number in range(samples):
        y, x = rng.integers(0, 5, 2)
        one = padded[:, number % count, :, y : y + height, x : x + width]
        result[:, number] = one * (rng.random(one.shape) < 0.9)
    return result


def timed(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Seconds and peak MiB of a process, and what it said."""
    path = os.pathsep.join([str(folder), str(ROOT), *map(str, SPIKINGJELLY)])
    environment = os.environ | {"PYTHONPATH": path}
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
        out.seek(0)
        said = out.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return seconds, usage.ru_maxrss / unit, said


def simulated(folder: Path, program: str, data: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "snncc", "simulate", program, "--input", data, *options]
    first, _, _ = timed([*command, "--samples", "1"], folder)
    seconds, memory, said = timed(command, folder)
    return {"seconds": seconds - first, "start-up": first, "peak MiB": memory, "said": said}


def evaluated(folder: Path, spec: str, data: str) -> float:
    command = [sys.executable, "-c", EVALUATE, spec, data, str(folder)]
    return float(timed(command, folder)[2].split()[-1])


def recordings(folder: Path, samples: int) -> dict[str, Any]:
    """The example on many recordings."""
    dst = ROOT / "examples" / "dst"
    given = np.load(dst / "test.npz")
    labels = np.resize(given["labels"], samples)
    np.savez_compressed(
        folder / "recordings.npz",
        inputs=shifted_and_thinned(given["inputs"], samples),
        labels=labels,
    )
    model = str(dst / "nmnist.pt")
    compiling = [sys.executable, "-m", "snncc", "compile", model, "--target", "loihi1", "-o"]
    whole = ["--weight-bits", "8", "--calibrate", str(dst / "calibration.npz")]
    timed([*compiling, "floats"], folder)
    timed([*compiling, "whole", *whole], folder)
    module = evaluated(folder, model, "recordings.npz")
    rows: dict[str, Any] = {"module": {"seconds": module}}
    bounds = {"floats": 1.5, "whole numbers": 3.0, "count level": 3.0, "cycle level": None}
    chip = ("--backend", "cycle", "--level")
    options = {
        "floats": ("floats",), "whole numbers": ("whole",),
        "count level": ("floats", *chip, "count"), "cycle level": ("floats", *chip, "cycle"),
    }  # fmt: skip
    for name, (program, *more) in options.items():
        if name == "cycle level":
            more += ["--samples", str(samples // 10)]
            more += ["--timing", "timing.json"]
        row = simulated(folder, program, "recordings.npz", *more)
        if name == "cycle level":
            packets = json.loads((folder / "timing.json").read_text())["total"]["packets"]
            row["ns a packet"] = 1e9 * row["seconds"] / packets
        else:
            row["times the module"] = row["seconds"] / module
        bound = bounds[name]
        row["kept"] = row["peak MiB"] <= 1024 and (
            bound is None or row["times the module"] <= bound
        )
        rows[name] = row
        print(name, {key: value for key, value in row.items() if key != "said"}, flush=True)
    return rows


def images(folder: Path, count: int) -> dict[str, Any]:
    """SpikingJelly's networks on many images."""
    (folder / "test_set_models.py").write_text(MODELS, encoding="utf-8")
    rng = np.random.default_rng(0)
    np.savez(folder / "images.npz", inputs=rng.random((count, 3, 32, 32), np.float32))
    rows: dict[str, Any] = {}
    for name in ("spiking", "sew"):
        spec = f"test_set_models:{name}"
        timed([sys.executable, "-c", COMPILE, spec, str(folder)], folder)
        module = timed([sys.executable, "-c", EVALUATE_IMAGES, name], folder)[2]
        row = simulated(folder, spec.replace(":", "-"), "images.npz")
        row["SpikingJelly seconds"] = float(module.split()[-1])
        row["times as fast"] = row["SpikingJelly seconds"] / row["seconds"]
        row["kept"] = row["times as fast"] >= 2 and row["peak MiB"] <= 1536
        rows[name] = row
        print(name, {key: value for key, value in row.items() if key != "said"}, flush=True)
    return rows


EVALUATE_IMAGES = f"""
import sys, time
import numpy as np
import torch
import test_set_models
from spikingjelly.activation_based import functional
module = getattr(test_set_models, sys.argv[1])()
inputs = torch.from_numpy(np.load("images.npz")["inputs"])

@torch.inference_mode()
def evaluate(inputs):
    for start in range(0, len(inputs), {BATCH}):
        functional.reset_net(module)
        module(inputs[start : start + {BATCH}])

evaluate(inputs[:{BATCH}])
begin = time.perf_counter()
evaluate(inputs)
print(time.perf_counter() - begin)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--record", type=Path, default=RESULTS, help="where the result is written")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as name:
        found = {
            "recordings": recordings(Path(name), options.samples),
            "images": images(Path(name), options.images),
        }
    kept = all(row.get("kept", True) for rows in found.values() for row in rows.values())
    about = {
        "samples": options.samples, "images": options.images, "cores": os.cpu_count(),
        "machine": platform.machine(), "python": platform.python_version(),
    }  # fmt: skip
    options.record.write_text(json.dumps({**about, **found}, indent=1) + "\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
