"""Time and peak memory of recordings, by source: opened, checked, and read once in parts of 64.

    python benchmarks/data_sources.py [--samples 20000] [--record FILE.json]

The recordings are spikes of N-MNIST's shape, (10, N, 2, 34, 34) uint8, each pixel on with
probability 0.07; of the encoder, images (N, 2, 34, 34) in float32 that become such spikes. Each
source is read by a process of its own on one core; its memory is the peak
less that of the imports, without the process that reads HDF5. Exits with 1 where a source takes
more than 200 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "data_sources.json"
STEPS, FEATURES, RATE, BLOCK = 10, (2, 34, 34), 0.07, 500
MOST = 200
"""MiB."""

READ = """
import sys, time
import h5py, torch, torch.utils.data
from snncc.frontends.checkpoints import factory
from snncc.frontends.data import open_recordings
from snncc.frontends.data.encoders import Poisson

def peak():
    (line,) = [row for row in open("/proc/self/status") if row.startswith("VmHWM")]
    return int(line.split()[1]) / 1024  # of this process; ru_maxrss begins at the parent's

source, encode = sys.argv[1], Poisson() if sys.argv[1] == "images.npy" else None
before, begin = peak(), time.perf_counter()
takes = {"TN": (10, 1, 2, 34, 34)}
with open_recordings(source, takes, input="spike", encode=encode) as recordings:
    opened = time.perf_counter() - begin
    for start in range(0, recordings.samples, 64):
        recordings.take(start, start + 64)
    print(opened, time.perf_counter() - begin, peak() - before)
"""

DATA_SET = """
import numpy as np
import torch

class Frames(torch.utils.data.Dataset):
    def __init__(self):
        self.frames = np.load("frames.npy", mmap_mode="r")

    def __len__(self):
        return self.frames.shape[1]

    def __getitem__(self, number):
        if number % 500 == 0:  # what was mapped would count as memory of this process
            self.frames = np.load("frames.npy", mmap_mode="r")
        return np.array(self.frames[:, number]), number % 10
"""

SOURCES = {
    ".npz": "frames.npz",
    ".npz, compressed": "packed.npz",
    ".npy": "frames.npy",
    "HDF5": "frames.h5",
    "data set": "of_frames:Frames",
    "encoded by poisson": "images.npy",
}


def write(folder: Path, samples: int) -> None:
    """All sources, made in blocks."""
    rng = np.random.default_rng(0)
    shape = (STEPS, samples, *FEATURES)
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
    images = np.lib.format.open_memmap(
        folder / "images.npy", "w+", np.float32, (samples, *FEATURES)
    )
    with h5py.File(folder / "frames.h5", "w") as file:
        chunks = (STEPS, min(samples, 16), *FEATURES)
        stored = file.create_dataset("inputs", shape, "u1", chunks=chunks, compression="gzip")
        for start in range(0, samples, BLOCK):
            stop = min(start + BLOCK, samples)
            part = rng.random((STEPS, stop - start, *FEATURES), np.float32) < RATE
            frames[:, start:stop] = stored[:, start:stop] = part
            images[start:stop] = 2 * RATE * rng.random((stop - start, *FEATURES), np.float32)
    np.savez(folder / "frames.npz", inputs=frames)
    np.savez_compressed(folder / "packed.npz", inputs=frames)
    (folder / "of_frames.py").write_text(DATA_SET)


def measured(folder: Path, source: str) -> dict[str, float]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", READ, source],
        cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    opened, whole, peak = map(float, done.stdout.split())
    return {"opened s": round(opened, 2), "read s": round(whole, 2), "peak MiB": round(peak)}


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--record", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, options.samples)
        size = (folder / "frames.npy").stat().st_size
        rows: dict[str, Any] = {}
        for title, source in SOURCES.items():
            rows[title] = measured(folder, source)
            print(f"{title:<22}{rows[title]}", flush=True)
    record = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "samples": options.samples,
        "MB of spikes": round(size / 1e6),
        "sources": rows,
    }
    options.record.write_text(json.dumps(record, indent=1) + "\n")
    sys.exit(any(row["peak MiB"] > MOST for row in rows.values()))


if __name__ == "__main__":
    main()
