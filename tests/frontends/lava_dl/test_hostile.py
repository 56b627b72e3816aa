"""Lava-DL files that ask for other files, lie or are damaged: one sentence a finding, no more.

For more damaged files see ``benchmarks/net_files.py``.
"""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
from hostile_hdf5 import mutated, outcome, refused, revalued
from net_files import even, neuron, write
from net_references import unpacked

from snncc.frontends import hdf5
from snncc.frontends.checkpoints import open_model


def plain(path) -> h5py.File:
    """A file of one layer, still open."""
    layer = {"type": "dense", "inFeatures": 2, "weight": even(1, 2, 2), "neuron": neuron()}
    write(path, [layer])
    return h5py.File(path, "r+")


def test_the_plain_file_opens(tmp_path):
    plain(tmp_path / "a.net").close()
    assert open_model(str(tmp_path / "a.net")).features == (2,)


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("b.net", "/w"), h5py.SoftLink("/layer/0/inFeatures")]
)
def test_values_elsewhere_are_refused(tmp_path, link):
    with plain(tmp_path / "a.net") as opened:
        del opened["layer/0/weight"]
        opened["layer/0/weight"] = link
    refused(tmp_path / "a.net", "SNN304", "`weight` .* lies elsewhere")


@pytest.mark.parametrize("name", ["layer/1", "layer/0/neuron"])
def test_groups_that_hold_themselves_are_refused(tmp_path, name):
    with plain(tmp_path / "a.net") as opened:
        if name in opened:
            del opened[name]
        opened[name] = opened["layer"]
    refused(tmp_path / "a.net", "SNN305", "is damaged: `.*` has no `type`")


def test_a_size_that_lies_takes_no_memory(tmp_path):
    with plain(tmp_path / "a.net") as opened:
        del opened["layer/0/weight"]
        opened.create_dataset("layer/0/weight", (1 << 20, 1 << 20), float, chunks=(64, 64))
    refused(tmp_path / "a.net", "SNN305", "more than 268,435,456 values")


def test_values_that_are_not_finite_are_refused(tmp_path):
    with plain(tmp_path / "a.net") as opened:
        opened["layer/0/weight"][0, 0] = np.nan
    refused(tmp_path / "a.net", "SNN307", "`weight` of `layer 0`")


def test_layers_without_numbers_are_refused(tmp_path):
    with plain(tmp_path / "a.net") as opened:
        opened.move("layer/0", "layer/1")
    refused(tmp_path / "a.net", "SNN305", "not numbered from 0 on")


def test_a_window_that_would_fill_the_memory_is_refused(tmp_path):
    conv = {
        "type": "conv", "weight": even(1, 64, 2, 1, 1), "padding": [30_000, 30_000],
        "neuron": neuron(),
    }  # fmt: skip
    first = {"type": "input", "shape": [2, 4, 4]}
    write(tmp_path / "a.net", [first, conv])
    refused(tmp_path / "a.net", "SNN330", "does not fit on an input")


def test_a_file_that_takes_too_long(tmp_path, monkeypatch):
    plain(tmp_path / "a.net").close()
    monkeypatch.setattr(hdf5, "SECONDS", 0.01)
    monkeypatch.setattr(hdf5, "SECONDS_PER_MEGABYTE", 0.0)
    refused(tmp_path / "a.net", "SNN305", "takes longer than 0.01 s")
    monkeypatch.setattr(hdf5, "SECONDS_PER_MEGABYTE", 1000.0)  # more time for a larger file
    open_model(str(tmp_path / "a.net"))


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n", b"no HDF5 at all" * 100])
def test_what_is_no_hdf5_is_refused(tmp_path, data):
    (tmp_path / "a.net").write_bytes(data)
    refused(tmp_path / "a.net", "SNN305", "is no Lava-DL file")


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "a.net", "SNN305", "does not exist")


@pytest.mark.slow
@pytest.mark.parametrize("block", range(2))
def test_damaged_files_open_or_are_refused_in_sentences(tmp_path, block, monkeypatch):
    monkeypatch.setattr(hdf5, "SECONDS", 10.0)
    whole, path = unpacked("tiny", tmp_path), tmp_path / "a.net"
    data = (tmp_path / "tiny.net").read_bytes()
    found = []
    for seed in range(block * 25, block * 25 + 25):
        if seed % 2:
            path.write_bytes(mutated(seed, data))
        else:
            shutil.copy(whole, path)
            revalued(seed, path)
        found.append(outcome(path))
    assert len(found) - found.count("opens") > 5
