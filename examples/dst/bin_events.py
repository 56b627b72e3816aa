"""Bins a file of event recordings into frames for `snncc simulate`.

    python -m examples.dst.bin_events RECORDINGS.npz FRAMES.npz [--limit N]

FRAMES.npz holds `inputs` (T, N, 2, 34, 34) uint8, values 0 and 1, and `labels` (N,) int64.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from examples.events import TIME_STEPS, frames, load


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--time-steps", type=int, default=TIME_STEPS)
    parser.add_argument("--limit", type=int, help="the first so many recordings")
    options = parser.parse_args()
    if not options.recordings.is_file():
        raise SystemExit(f"{options.recordings} is missing: name a file of event recordings")
    recordings = load(options.recordings)
    np.savez_compressed(
        options.frames,
        inputs=frames(recordings, options.time_steps)[:, : options.limit],
        labels=recordings.labels[: options.limit].astype(np.int64),
    )


if __name__ == "__main__":
    main()
