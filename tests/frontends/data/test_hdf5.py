"""DATA.h5: read in another process, in parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from snncc.diagnostics import SnnccError
from snncc.frontends.data import hdf5, open_recordings

TAKES = {"TN": (4, 1, 2, 3)}
INPUTS = (np.arange(4 * 7 * 6) % 2).reshape(4, 7, 2, 3).astype(np.uint8)


def written(folder: Path, inputs=INPUTS, labels=None, **how) -> Path:
    path = folder / "data.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("inputs", data=inputs, **how)
        if labels is not None:
            file["labels"] = labels
    return path


@pytest.mark.parametrize("how", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_any_samples_are_those_of_the_whole(tmp_path: Path, agrees, how) -> None:
    labels = np.arange(7)
    with open_recordings(written(tmp_path, labels=labels, **how), TAKES) as recordings:
        agrees(recordings, INPUTS, labels)


@pytest.mark.parametrize("dtype", ["?", ">i2", "<f4", ">f8", "f2"])
def test_numbers_of_each_kind(tmp_path: Path, agrees, dtype: str) -> None:
    inputs = INPUTS.astype(dtype)
    with open_recordings(written(tmp_path, inputs), TAKES, input="spike") as recordings:
        agrees(recordings, inputs.astype(inputs.dtype.newbyteorder("=")))


def test_values_and_labels_are_checked(tmp_path: Path, refused) -> None:
    refused("SNN312", "neither 0 nor 1", written(tmp_path, 2 * INPUTS), input="spike")
    refused("SNN312", "shape .* for 7 samples", written(tmp_path, labels=np.arange(6)))
    refused("SNN312", "not whole numbers", written(tmp_path, labels=np.ones(7)))
    refused("SNN306", r"\(4, 7, 3, 2\)", written(tmp_path, INPUTS.reshape(4, 7, 3, 2)))
    with h5py.File(tmp_path / "none.h5", "w"):
        pass
    refused("SNN312", "has no `inputs`", tmp_path / "none.h5")


def test_no_other_file_is_read(tmp_path: Path, refused) -> None:
    other = written(tmp_path)
    other.rename(tmp_path / "other.h5")
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["inputs"] = h5py.ExternalLink("other.h5", "inputs")
    refused("SNN304", "in another file or under another name", path)
    with h5py.File(path, "w") as file:
        file["hidden"] = INPUTS
        file["inputs"] = h5py.SoftLink("/hidden")
    refused("SNN304", "in another file or under another name", path)
    (tmp_path / "raw").write_bytes(INPUTS.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "inputs", INPUTS.shape, "u1", external=[(str(tmp_path / "raw"), 0, INPUTS.size)]
        )
    refused("SNN304", "in another file", path)
    layout = h5py.VirtualLayout(INPUTS.shape, "u1")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "inputs", INPUTS.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("inputs", layout)
    refused("SNN304", "in another file", path)


def test_datasets_that_hold_no_numbers(tmp_path: Path, refused) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["inputs"] = ["a", "b"]
    refused("SNN312", "`inputs` holds object, not numbers", path)
    with h5py.File(path, "w") as file:
        file.create_group("inputs")
    refused("SNN312", "`inputs` is a group", path)


def test_a_file_that_says_it_holds_more_than_it_can(tmp_path: Path, refused) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("inputs", (4, 10**10, 2, 3), "u1", chunks=(4, 1, 2, 3))
    refused("SNN305", "`inputs` in .* is damaged", path)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    whole = written(tmp_path, labels=np.arange(7), compression="gzip").read_bytes()
    path = tmp_path / "damaged.h5"
    rng = np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 20):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)]))
        code = ""
        try:
            with open_recordings(path, TAKES, input="spike") as recordings:
                assert recordings.take(0, 7).shape == INPUTS.shape
        except SnnccError as error:
            code = error.findings[0].code
        assert code in ("", "SNN304", "SNN305", "SNN306", "SNN312")


def test_a_process_that_is_silent_or_ends(tmp_path: Path, monkeypatch) -> None:
    path = written(tmp_path, np.zeros((4, 7, 2, 3)))
    with open_recordings(path, TAKES) as recordings:
        reader = recordings._inputs.reader.process
        assert reader.poll() is None
        reader.kill()
        with pytest.raises(SnnccError, match="SNN305: `inputs` in .* is damaged"):
            recordings.take(0, 3)
    assert reader.poll() is not None
    monkeypatch.setattr(hdf5, "SECONDS", 0.2)
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    popen = subprocess.Popen
    monkeypatch.setattr(hdf5.subprocess, "Popen", lambda command, **how: popen(waits, **how))
    with pytest.raises(SnnccError, match="SNN305: .* is not an HDF5 file, or is damaged"):
        open_recordings(path, TAKES)


def test_other_bytes_and_a_missing_package(tmp_path: Path, refused, monkeypatch) -> None:
    (tmp_path / "data.h5").write_bytes(b"no HDF5")
    refused("SNN305", "is not an HDF5 file, or is damaged", tmp_path / "data.h5")
    monkeypatch.setattr(hdf5.importlib.util, "find_spec", lambda name: None)
    refused("SNN317", "the package h5py", tmp_path / "data.h5")
    assert os.listdir(tmp_path) == ["data.h5"]
