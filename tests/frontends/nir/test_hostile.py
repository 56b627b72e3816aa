"""NIR files that ask for other files, lie or are damaged: one sentence, and nothing is opened.

For more damaged files see ``benchmarks/net_files.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snncc.frontends import hdf5
from snncc.frontends.checkpoints import open_model

h5py = pytest.importorskip("h5py")
from hostile_hdf5 import mutated, outcome, refused  # noqa: E402

FILES = Path(__file__).parent / "files"


def plain(path: Path) -> h5py.File:
    """A file of one linear layer, still open."""
    file = h5py.File(path, "w")
    file["version"] = "1.0"
    node = file.create_group("node")
    node["type"] = "NIRGraph"
    node["edges"] = [["input", "fc"], ["fc", "output"]]
    for name, kind in (("input", "Input"), ("fc", "Linear"), ("output", "Output")):
        node[f"nodes/{name}/type"] = kind
    for name in ("input", "output"):
        node[f"nodes/{name}/shape"] = np.array([2])
    node["nodes/fc/weight"] = np.eye(2)
    return file


def test_the_plain_file_opens(tmp_path):
    plain(tmp_path / "a.nir").close()
    assert open_model(str(tmp_path / "a.nir")).features == (2,)


@pytest.mark.parametrize(
    "link", [lambda: h5py.ExternalLink("b.nir", "/w"), lambda: h5py.SoftLink("/version")]
)
def test_values_elsewhere_are_refused(tmp_path, link):
    with h5py.File(tmp_path / "b.nir", "w") as other:
        other["w"] = np.eye(2)
    with plain(tmp_path / "a.nir") as opened:
        del opened["node/nodes/fc/weight"]
        opened["node/nodes/fc/weight"] = link()
    refused(tmp_path / "a.nir", "SNN304", "`weight` .* lies elsewhere")


def test_raw_data_of_another_file_is_refused(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(32))
    with plain(tmp_path / "a.nir") as opened:
        del opened["node/nodes/fc/weight"]
        opened.create_dataset(
            "node/nodes/fc/weight", (2, 2), float, external=[(str(tmp_path / "raw"), 0, 32)]
        )
    refused(tmp_path / "a.nir", "SNN304", "lies elsewhere")


def test_a_size_that_lies_takes_no_memory(tmp_path):
    with plain(tmp_path / "a.nir") as opened:
        del opened["node/nodes/fc/weight"]
        opened.create_dataset("node/nodes/fc/weight", (1 << 20, 1 << 20), float, chunks=(64, 64))
    refused(tmp_path / "a.nir", "SNN305", "more than 268,435,456 values")


def test_values_that_are_not_finite_are_refused(tmp_path):
    with plain(tmp_path / "a.nir") as opened:
        opened["node/nodes/fc/weight"][0, 0] = np.nan
    refused(tmp_path / "a.nir", "SNN307", "`weight` of `fc`")


def test_graphs_that_hold_themselves_are_refused(tmp_path):
    with plain(tmp_path / "a.nir") as opened:
        opened["node/nodes/self"] = opened["node"]
    refused(tmp_path / "a.nir", "SNN305", "lie inside one another")


def test_a_file_on_which_hdf5_never_ends(monkeypatch):
    monkeypatch.setattr(hdf5, "SECONDS", 3.0)
    monkeypatch.setattr(hdf5, "SECONDS_PER_MEGABYTE", 0.0)
    refused(FILES / "never-ends.nir", "SNN305", "takes longer than 3 s")


def test_a_file_on_which_the_process_ends(tmp_path, monkeypatch):
    plain(tmp_path / "a.nir").close()
    monkeypatch.setattr(hdf5, "MEMORY", 1 << 20)
    refused(tmp_path / "a.nir", "SNN305", "HDF5 ends where it is read")


@pytest.mark.parametrize("data", [b"", b"\x89HDF\r\n\x1a\n", b"no HDF5 at all" * 100])
def test_what_is_no_hdf5_is_refused(tmp_path, data):
    (tmp_path / "a.nir").write_bytes(data)
    refused(tmp_path / "a.nir", "SNN305", "is no NIR file")


def test_a_file_that_is_not_there(tmp_path):
    refused(tmp_path / "a.nir", "SNN305", "does not exist")


@pytest.mark.slow
@pytest.mark.parametrize("block", range(2))
def test_damaged_files_open_or_are_refused_in_one_sentence(tmp_path, block, monkeypatch):
    monkeypatch.setattr(hdf5, "SECONDS", 10.0)
    data, path = (FILES / "braille.nir").read_bytes(), tmp_path / "a.nir"
    found = []
    for seed in range(block * 25, block * 25 + 25):
        path.write_bytes(mutated(seed, data))
        found.append(outcome(path))
    assert len(found) - found.count("opens") > 5
