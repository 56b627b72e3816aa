"""DATA.npy: inputs without labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from snncc.diagnostics import SnnccError
from snncc.frontends.data import open_recordings

TAKES = {"TN": (4, 1, 2, 3)}


@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_samples_are_those_of_the_whole(tmp_path: Path, agrees, dtype: str, order) -> None:
    inputs = (np.arange(4 * 7 * 6) % 2).reshape(4, 7, 2, 3).astype(dtype)
    np.save(tmp_path / "data.npy", np.asarray(inputs, order=order))
    with open_recordings(tmp_path / "data.npy", TAKES, input="spike") as recordings:
        agrees(recordings, inputs.astype(inputs.dtype.newbyteorder("=")))


def test_values_are_checked(tmp_path: Path, refused) -> None:
    inputs = np.zeros((4, 7, 2, 3))
    inputs[2, 5, 0, 1] = 2
    np.save(tmp_path / "data.npy", inputs)
    said = r"1 of 168 inputs in .* neither 0 nor 1, the first at inputs\[2, 5, 0, 1\] = 2"
    refused("SNN312", said, tmp_path / "data.npy", input="spike")


def test_objects_are_not_unpickled(tmp_path: Path, refused) -> None:
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {canary}",)

    np.save(tmp_path / "data.npy", np.array([Attack()], dtype=object))
    refused("SNN312", "Python objects, which are never unpickled", tmp_path / "data.npy")
    assert not canary.exists()


def test_files_that_are_cut_short_or_lie(tmp_path: Path, refused) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.zeros((4, 7, 2, 3)))
    whole = path.read_bytes()
    for end in (8, 20, 100, 128, 200, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused("SNN305", "`inputs` in .* is damaged or cut short", path)
    path.write_bytes(whole.replace(b"(4, 7, 2, 3)", b"(4, 10**9,2)"))
    refused("SNN305", "damaged or cut short", path)
    path.write_bytes(whole.replace(b"(4, 7, 2, 3)", b"(4,97777777)"))
    refused("SNN305", "damaged or cut short", path)


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.zeros((4, 200, 2, 3)))
    with open_recordings(path, TAKES) as recordings:
        os.truncate(path, 2000)
        with pytest.raises(SnnccError, match="SNN305: `inputs` in .* is damaged or cut short"):
            recordings.take(100, 200)
