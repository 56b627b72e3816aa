"""Spikes that are written while a run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc import rasters
from snncc.diagnostics import SnnccError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rasters")


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


NAMES = st.sampled_from(
    ["fc", "layer1.0.sn1", "layer1.0.sn1/2", "a b", "λ", "in", "file", "/x/../y"]
)
TYPES = st.sampled_from([np.uint8, np.bool_, np.int64, np.float32, np.float64, torch.float64])


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_added_is_read(folder: Path, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shapes = data.draw(
        st.dictionaries(NAMES, st.lists(st.integers(0, 5), max_size=3).map(tuple), max_size=4)
    )
    counts = data.draw(st.sets(st.sampled_from([*shapes, "another"])))
    steps = data.draw(st.integers(1, 4))
    whole: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in shapes}
    path = folder / "spikes.npz"
    with rasters.writing(path, counts) as add:
        sizes = data.draw(st.lists(st.integers(0, 9), max_size=4))
        for samples in sizes:
            chunk: dict[str, Any] = {}
            for name, shape in shapes.items():
                most = data.draw(st.sampled_from([1, 255, 256, 2**20])) if name in counts else 1
                values = rng.integers(0, most + 1, (steps, samples, *shape))
                whole[name].append(values)
                dtype = data.draw(TYPES) if most == 1 else np.float64
                if dtype is torch.float64:
                    chunk[name] = torch.tensor(values, dtype=dtype)
                else:
                    chunk[name] = np.asfortranarray(values.astype(dtype))
            add(chunk)
    found = read(path)
    assert list(found) == (list(shapes) if sizes else [])
    for name, values in found.items():
        assert values.dtype == (np.uint32 if name in counts else np.uint8)
        np.testing.assert_array_equal(values, np.concatenate(whole[name], axis=1))
    assert os.listdir(folder) == ["spikes.npz"]


SPIKES = {"a": np.ones((3, 2, 4))}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit, ZeroDivisionError])
def test_an_exception_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "spikes.npz"

    def fail() -> None:
        with rasters.writing(path) as add:
            add(SPIKES)
            raise error

    for there in (b"", b"something else"):
        if there:
            path.write_bytes(there)
        with pytest.raises(error):
            fail()
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == (
            {"spikes.npz": there} if there else {}
        )


def test_an_interrupt_that_is_caught_keeps_the_samples_so_far(tmp_path: Path) -> None:
    with rasters.writing(tmp_path / "spikes.npz") as add:
        try:
            add(SPIKES)
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    np.testing.assert_array_equal(read(tmp_path / "spikes.npz")["a"], SPIKES["a"])


def test_an_interrupt_within_a_chunk_drops_that_chunk(tmp_path: Path) -> None:
    class Interrupting:
        def __array__(self, *given: Any, **more: Any) -> Any:
            raise KeyboardInterrupt

    with rasters.writing(tmp_path / "spikes.npz") as add:
        add({"a": np.ones((3, 2, 4)), "b": np.ones((3, 2))})
        with pytest.raises(KeyboardInterrupt):
            add({"a": np.ones((3, 5, 4)), "b": Interrupting()})
        add({"a": np.zeros((3, 1, 4)), "b": np.zeros((3, 1))})
    found = read(tmp_path / "spikes.npz")
    assert found["a"][..., 0].tolist() == found["b"].tolist() == [[1, 1, 0]] * 3


def test_an_interrupt_while_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rasters, "_write_place", interrupted)
    with pytest.raises(KeyboardInterrupt), rasters.writing(tmp_path / "spikes.npz") as add:
        add(SPIKES)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there.npz").write_bytes(b"something else")
    (tmp_path / "link.npz").symlink_to("there.npz")
    with rasters.writing(tmp_path / "link.npz") as add:
        add(SPIKES)
        assert (tmp_path / "there.npz").read_bytes() == b"something else"
    assert (tmp_path / "link.npz").is_symlink()
    assert set(read(tmp_path / "there.npz")) == {"a"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [("absent/spikes.npz", "No such file or directory"), (".", "it is not a file")],
)
def test_a_place_that_cannot_be_written_is_refused_at_once(
    tmp_path: Path, path: str, reason: str
) -> None:
    with (
        pytest.raises(SnnccError, match=f"SNN305: {tmp_path / path} cannot be written: {reason}"),
        rasters.writing(tmp_path / path),
    ):
        pytest.fail("nothing is to run")
    assert not list(tmp_path.iterdir())


def test_no_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "wb", 0) as full:
        monkeypatch.setattr(rasters.tempfile, "TemporaryFile", lambda **given: full)
        with (
            pytest.raises(SnnccError, match="SNN305: .* cannot be written: No space left"),
            rasters.writing(tmp_path / "spikes.npz") as add,
        ):
            add(SPIKES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan, np.inf, 256, 257])
def test_values_that_are_no_spikes(tmp_path: Path, value: float) -> None:
    with rasters.writing(tmp_path / "spikes.npz") as add:
        with pytest.raises(ValueError, match="what a sent is no spikes"):
            add({"a": np.full((3, 2, 4), value)})
        add(SPIKES)
    assert read(tmp_path / "spikes.npz")["a"].shape == (3, 2, 4)


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf, 2.0**32])
def test_values_that_are_no_counts(tmp_path: Path, value: float) -> None:
    with rasters.writing(tmp_path / "spikes.npz", ["a"]) as add:
        with pytest.raises(ValueError, match="what a sent is no counts"):
            add({"a": np.full((3, 2, 4), value)})
        add({"a": np.full((3, 2, 4), 2**32 - 1)})
    assert read(tmp_path / "spikes.npz")["a"].max() == 2**32 - 1


@pytest.mark.parametrize(
    "other",
    [{}, {"b": np.ones((3, 2, 4))}, {"a": np.ones((4, 2, 4))}, {"a": np.ones((3, 2, 5))}],
)
def test_chunks_that_do_not_go_together(tmp_path: Path, other: Any) -> None:
    with rasters.writing(tmp_path / "spikes.npz") as add:
        add(SPIKES)
        with pytest.raises(ValueError, match="after"):
            add(other)


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """300 MB of spikes in less than 30 MB beside the chunk."""
    code = """
        import resource
        import numpy as np
        from snncc import rasters

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

        chunk = {"a": np.tile(np.float32([0, 0, 1, 0, 1]), (10, 20, 3000)), "b": np.ones((10, 20))}
        before = peak()
        with rasters.writing("spikes.npz") as add:
            for _ in range(100):
                add(chunk)
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 30
