"""Event-camera recordings and their binning into frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 34
TIME_STEPS = 10


@dataclass(frozen=True)
class Recordings:
    """Events of many recordings, one after the other; recording i is offsets[i]:offsets[i+1].

    x, y: pixel; polarity: 0 or 1; time_us: microseconds since the recording began; offsets
    (N+1,); labels (N,).
    """

    x: NDArray[np.uint8]
    y: NDArray[np.uint8]
    polarity: NDArray[np.uint8]
    time_us: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)


def load(path: Path) -> Recordings:
    """Reads the arrays of an .npz file; raises FileNotFoundError or KeyError if there are none."""
    with np.load(path, allow_pickle=False) as arrays:
        return Recordings(*(arrays[name] for name in Recordings.__dataclass_fields__))


def frames(recordings: Recordings, time_steps: int = TIME_STEPS) -> NDArray[np.uint8]:
    """Binary frames (T, N, 2, 34, 34): 1 where a pixel saw an event of that polarity.

    Each recording (about 0.3 s) is cut into T equal windows from 0 to its own last event.
    """
    return np.minimum(counts(recordings, time_steps), 1)


def counts(recordings: Recordings, time_steps: int = TIME_STEPS) -> NDArray[np.uint8]:
    """How many events a pixel saw, (T, N, 2, 34, 34), at most 255, in the windows of `frames`."""
    binned = np.zeros((time_steps, len(recordings), 2, SIZE, SIZE), dtype=np.uint8)
    for i, (start, stop) in enumerate(
        zip(recordings.offsets[:-1], recordings.offsets[1:], strict=True)
    ):
        event = slice(start, stop)
        time = recordings.time_us[event].astype(np.int64)
        step = time * time_steps // (time.max() + 1)
        place = (step, recordings.polarity[event], recordings.y[event], recordings.x[event])
        of_one = np.zeros((time_steps, 2, SIZE, SIZE), dtype=np.int64)
        np.add.at(of_one, place, 1)
        binned[:, i] = np.minimum(of_one, 255)
    return binned


def levels(binned: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """Counts (T, N, C, H, W) as spikes of `most` levels, (T, N, most·C, H, W).

    Level k, 1 to `most`, is 1 where the count is at least k; the levels add up to the count, or to
    `most` where there were more events.
    """
    return np.concatenate([(binned >= k).astype(np.uint8) for k in range(1, most + 1)], axis=2)


def read(folder: Path, name: str) -> Recordings:
    """The recordings of one file of the folder given as ``--data``; ends where it is missing."""
    path = folder / name
    if not path.is_file():
        raise SystemExit(f"{path} is missing: --data needs a folder with train.npz and test.npz")
    return load(path)
