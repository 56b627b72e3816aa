"""Damaged HDF5 files: bytes changed or cut off, and values that a sound file would not have."""

from __future__ import annotations

import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.checkpoints import open_model

VALUES = (0.0, -1.0, 0.5, 3.0, 1e9, 1e30, -(2.0**63), np.inf, np.nan)


def refused(path: Path, code: str, match: str) -> None:
    """Opening the file is refused, in one sentence."""
    with pytest.raises(SnnccError, match=match) as caught:
        open_model(str(path))
    assert caught.value.findings[0].code == code
    assert caught.value.exit_code == Exit.BAD_INPUT
    assert "\n" not in str(caught.value)


def mutated(seed: int, data: bytes) -> bytes:
    """``data`` cut off, or with some bytes changed, half of them near its start."""
    source, found = random.Random(seed), bytearray(data)
    if seed % 5 == 0:
        return bytes(found[: source.randrange(len(found))])
    for _ in range(source.choice([1, 3, 10, 50])):
        near = source.random() < 0.5
        found[source.randrange(4000 if near else len(found))] = source.randrange(256)
    return bytes(found)


def revalued(seed: int, path: Path) -> None:
    """Change some datasets of a sound file: other values, another shape, another type, or gone."""
    source = random.Random(seed)
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, each: names.append(name) if _is_dataset(each) else None)
        for name in source.sample(names, min(len(names), source.choice([1, 1, 2, 4]))):
            value = np.asarray(file[name][()])
            del file[name]
            way = source.randrange(5)
            if way == 0:
                continue
            if value.dtype.kind not in "biuf":
                file[name] = source.choice(["", "conv", "SDNN", "flatten", "\u00e4" * 300])
            elif way == 1:
                file[name] = value.ravel()[: source.randrange(value.size + 1)]
            elif way == 2:
                file[name] = "text"
            elif way == 3:
                file[name] = np.full(value.shape, source.choice(VALUES))
            else:
                one = value.astype(np.float64)
                one.ravel()[source.randrange(max(1, value.size))] = source.choice(VALUES)
                file[name] = one


def _is_dataset(each: object) -> bool:
    return isinstance(each, h5py.Dataset)


def outcome(path: Path) -> str:
    """The code with which a file is refused, or "opens". Anything else than a finding is raised."""
    try:
        open_model(str(path))
    except SnnccError as error:
        findings = error.findings
    else:
        return "opens"
    said = [str(finding) for finding in findings]
    assert all("\n" not in each and len(each) < 500 for each in said), said
    return str(findings[0].code)
