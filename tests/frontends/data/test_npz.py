"""DATA.npz: what is read, and what is refused."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.data import npz, open_recordings, values
from snncc.frontends.layout import sample_axis

SHAPE = (4, 1, 2, 3)  # T, N, two features; one sample in the example


def read_data(path, *, shape, layout, **more):
    """All recordings of a file."""
    with open_recordings(path, {layout: shape}, **more) as recordings:
        return SimpleNamespace(
            inputs=recordings.take(0, recordings.samples), labels=recordings.labels
        )


def written(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def refused(code: str, match: str, path: Path, **options: Any) -> None:
    given: dict[str, Any] = {"shape": SHAPE, "layout": "TN"} | options
    with pytest.raises(SnnccError, match=match) as caught:
        read_data(path, **given)
    assert [finding.code for finding in caught.value.findings] == [code]
    assert caught.value.exit_code == Exit.BAD_INPUT
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layout", "shape", "found"),
    [("TN", (4, 1, 2), (4, 7, 2)), ("N", (1, 2), (7, 2)), ("NT", (1, 4, 2), (7, 4, 2))],
)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32, np.float64])
def test_the_number_of_samples_is_free(
    tmp_path: Path, layout: Any, shape: tuple[int, ...], found: tuple[int, ...], dtype: type
) -> None:
    inputs = (np.arange(np.prod(found)) % 2).reshape(found).astype(dtype)
    labels = np.arange(7)
    data = read_data(
        written(tmp_path, inputs=inputs, labels=labels), shape=shape, layout=layout, input="spike"
    )
    assert data.inputs.dtype == dtype
    np.testing.assert_array_equal(data.inputs, inputs)
    np.testing.assert_array_equal(data.labels, labels)


def test_labels_are_optional(tmp_path: Path) -> None:
    path = written(tmp_path, inputs=np.zeros((4, 2, 2, 3)))
    assert read_data(path, shape=SHAPE, layout="TN").labels is None


@pytest.mark.parametrize(
    "found", [(5, 2, 2, 3), (4, 2, 3, 2), (4, 2, 2), (4, 2, 2, 3, 1), (4,), (), (4, 2, 2, 0)]
)
def test_a_wrong_shape_names_both(tmp_path: Path, found: tuple[int, ...]) -> None:
    path = written(tmp_path, inputs=np.zeros(found))
    refused("SNN306", r"shape \(.*\) and the model takes \(4, N, 2, 3\)", path)


def test_no_samples(tmp_path: Path) -> None:
    refused("SNN312", "holds no samples", written(tmp_path, inputs=np.zeros((4, 0, 2, 3))))


def test_no_inputs(tmp_path: Path) -> None:
    refused("SNN312", "no `inputs`; it holds `x`, `labels`", written(tmp_path, x=[1], labels=[1]))
    np.savez(tmp_path / "data.npz")
    refused("SNN312", "no `inputs`; it holds nothing", tmp_path / "data.npz")


def test_inputs_that_are_no_numbers(tmp_path: Path) -> None:
    inputs = np.zeros((4, 1, 2, 3))
    refused("SNN312", "are complex128", written(tmp_path, inputs=inputs.astype(complex)))
    refused("SNN312", "are <U", written(tmp_path, inputs=inputs.astype(str)))


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {canary}",)

    objects = np.array([Attack()], dtype=object)
    refused("SNN312", "`inputs` .* Python objects", written(tmp_path, inputs=objects))
    path = written(tmp_path, inputs=np.zeros((4, 1, 2, 3)), labels=objects)
    refused("SNN312", "`labels` .* Python objects", path)
    assert not canary.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    inputs = np.zeros((4, 2, 2, 3), dtype=np.float32)
    inputs[1, 0, 1, 2] = inputs[3, 1, 1, 2] = value
    refused(
        "SNN312",
        r"2 of 48 inputs in .* not finite, the first at inputs\[1, 0, 1, 2\] = ",
        written(tmp_path, inputs=inputs),
        input="analog",
    )


def test_values_that_are_no_spikes_or_counts(tmp_path: Path) -> None:
    inputs = np.zeros((4, 2, 2, 3))
    inputs[0, 1, 0, 0], inputs[2, 0, 0, 0] = 3, 1
    path = written(tmp_path, inputs=inputs)
    refused(
        "SNN312",
        r"1 of 48 inputs .* neither 0 nor 1, the first at inputs\[0, 1, 0, 0\] = 3.0; declare",
        path,
        input="spike",
    )
    for kind in ("count", "analog", None):
        assert read_data(path, shape=SHAPE, layout="TN", input=kind).inputs.max() == 3
    for value in (-1, 0.5):
        inputs[0, 1, 0, 0] = value
        refused("SNN312", "no counts", written(tmp_path, inputs=inputs), input="count")


def test_counts_beyond_what_is_proved(tmp_path: Path) -> None:
    inputs = np.zeros((4, 2, 2, 3), dtype=np.int16)
    inputs[0, 1, 0, 0] = 255
    path = written(tmp_path, inputs=inputs)
    data = read_data(path, shape=SHAPE, layout="TN", input="count", largest=255)
    assert data.inputs.max() == 255
    inputs[1, 0, 0, 2], inputs[3, 1, 1, 1] = 256, 400
    path = written(tmp_path, inputs=inputs)
    refused(
        "SNN312",
        r"2 of 48 inputs in .* are above 255, up to which counts are proved; the largest is 400, "
        r"the first at inputs\[1, 0, 0, 2\] = 256; give counts of at most 255",
        path,
        input="count",
        largest=255,
    )
    assert read_data(path, shape=SHAPE, layout="TN", input="analog", largest=255).inputs.any()


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([0, 1, 2], r"labels in .* have shape \(3,\) for 2 samples"),
        ([[0], [1]], r"have shape \(2, 1\) for 2 samples"),
        (1, r"have shape \(\) for 2 samples"),
        ([0.0, 1.0], "float64, not whole numbers"),
        (["a", "b"], "not whole numbers"),
        ([0, -1], r"labels\[1\] in .* is -1; they go from 0 to 9"),
        ([10, 0], r"labels\[0\] in .* is 10; they go from 0 to 9"),
    ],
)
def test_labels_that_do_not_match(tmp_path: Path, labels: Any, match: str) -> None:
    path = written(tmp_path, inputs=np.zeros((4, 2, 2, 3)), labels=np.array(labels))
    refused("SNN312", match, path, classes=10)


def test_labels_without_a_known_number_of_classes(tmp_path: Path) -> None:
    path = written(tmp_path, inputs=np.zeros((4, 2, 2, 3)), labels=np.array([7, 999]))
    assert read_data(path, shape=SHAPE, layout="TN").labels.tolist() == [7, 999]
    path = written(tmp_path, inputs=np.zeros((4, 2, 2, 3)), labels=np.array([-7, 9]))
    refused("SNN312", "they go from 0 up", path)


def test_files_that_are_not_there_or_something_else(tmp_path: Path) -> None:
    refused("SNN305", "does not exist", tmp_path / "absent.npz")
    refused("SNN305", "is not a file", tmp_path)
    for name, data in (("empty", b""), ("text", b"inputs\n"), ("png", b"\x89PNG\r\n\x1a\n")):
        (tmp_path / name).write_bytes(data)
        refused("SNN305", "not an .npz", tmp_path / name)
    with zipfile.ZipFile(tmp_path / "inputs.npz", "w") as file:
        file.writestr("inputs", "not an array")
    refused("SNN312", "no `inputs`", tmp_path / "inputs.npz")


def whole() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=np.zeros((4, 2, 2, 3)), labels=np.array([0, 1]))
    return buffer.getvalue()


WHOLE = whole()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
@settings(max_examples=300, deadline=None)
def test_damage_is_refused_or_harmless(folder: Path, place: int, byte: int, end: int) -> None:
    path = folder / "data.npz"
    damaged = bytearray(WHOLE)
    damaged[place] = byte
    path.write_bytes(WHOLE[:end])
    if end < len(WHOLE):
        refused("SNN305", "not an .npz", path)
    path.write_bytes(bytes(damaged))
    error: SnnccError | None = None
    try:
        data = read_data(path, shape=SHAPE, layout="TN", input="spike")
    except SnnccError as raised:
        error = raised
    if error is None:
        assert data.inputs.shape == (4, 2, 2, 3)
    else:
        assert error.exit_code == Exit.BAD_INPUT


# -- a few samples at a time ---------------------------------------------------------------------

DTYPES = ("?", "u1", "i2", ">i2", "<u4", ">i8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8")


@st.composite
def stored(draw: Any) -> tuple[Any, npt.NDArray[Any]]:
    """A layout, and recordings in any order in memory."""
    layout = draw(st.sampled_from(["TN", "N", "NT", "NFT", "FN"]))
    sizes = st.integers(1, 4)
    shape = draw(st.lists(sizes, min_size=len(layout), max_size=len(layout) + 2))
    shape[sample_axis(layout, len(shape))] = draw(st.integers(1, 9))
    values = draw(st.lists(st.integers(0, 1), min_size=math.prod(shape), max_size=math.prod(shape)))
    inputs = np.array(values).astype(draw(st.sampled_from(DTYPES))).reshape(shape)
    return layout, np.asfortranarray(inputs) if draw(st.booleans()) else inputs


def as_example(layout: Any, inputs: npt.NDArray[Any]) -> dict[Any, tuple[int, ...]]:
    shape = list(inputs.shape)
    shape[sample_axis(layout, len(shape))] = 1
    return {layout: tuple(shape)}


@given(
    stored(),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(1, 12),
    st.lists(st.tuples(st.integers(-10, 12), st.integers(-10, 12)), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_any_samples_are_those_of_the_whole(
    folder: Path, found: Any, compressed: bool, spilt: bool, samples: int | None, ranges: Any
) -> None:
    layout, inputs = found
    axis, path = sample_axis(layout, inputs.ndim), folder / "any.npz"
    labels = np.arange(inputs.shape[axis])[::-1]
    write: Any = np.savez_compressed if compressed else np.savez
    write(path, more=np.ones(3), inputs=inputs, labels=labels)
    with np.load(path) as file:
        whole = file["inputs"]
    first = np.take(whole, range(min(samples or 99, whole.shape[axis])), axis)
    with pytest.MonkeyPatch.context() as patch:
        if spilt:  # unpacked in a file, and checked a sample at a time
            patch.setattr(npz, "_IN_MEMORY", 0)
            patch.setattr(values, "CHECKED", 1)
        with open_recordings(
            path, as_example(layout, inputs), input="spike", samples=samples
        ) as recordings:
            assert recordings.shape == first.shape
            assert recordings.samples == first.shape[axis]
            assert recordings.dtype == whole.dtype.newbyteorder("=")
            np.testing.assert_array_equal(recordings.labels, labels[: recordings.samples])
            for start, stop in (*ranges, (0, recordings.samples)):
                taken = recordings.take(start, stop)
                wanted = first[(slice(None),) * axis + (slice(start, stop),)]
                assert taken.dtype == recordings.dtype
                np.testing.assert_array_equal(taken, wanted)


@given(stored(), st.data())
@settings(max_examples=100, deadline=None)
def test_blocks_say_what_the_whole_says(folder: Path, found: Any, data: Any) -> None:
    layout, inputs = found
    if inputs.dtype == bool:
        inputs = inputs.astype("u1")
    path = folder / "blocks.npz"
    for _ in range(data.draw(st.integers(1, 4))):
        at = tuple(data.draw(st.integers(0, size - 1)) for size in inputs.shape)
        inputs[at] = data.draw(st.integers(3, 9))
    np.savez(path, inputs=inputs)
    wrong = np.argwhere(inputs > 3)
    hypothesis.assume(len(wrong))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "CHECKED", 1)
        with pytest.raises(SnnccError) as caught:
            open_recordings(path, as_example(layout, inputs), input="count", largest=3)
    first = tuple(int(i) for i in wrong[0])
    assert (
        f"{len(wrong)} of {inputs.size} inputs in {path} are above 3, up to which counts are "
        f"proved; the largest is {inputs.max():g}, the first at "
        f"inputs[{', '.join(map(str, first))}] = {inputs[first]}; "
    ) in str(caught.value)


def test_samples_that_are_left_out_are_not_checked(tmp_path: Path) -> None:
    inputs = np.zeros((4, 5, 2, 3))
    inputs[0, 3, 0, 0] = inputs[1, 1, 0, 0] = 7
    path = written(tmp_path, inputs=inputs, labels=np.array([0, 1, 2, -3, 4]))
    takes: Any = {"TN": SHAPE}
    with open_recordings(path, takes, input="spike", classes=10, samples=1) as recordings:
        assert recordings.shape == (4, 1, 2, 3)
        assert recordings.labels is not None
        assert recordings.labels.tolist() == [0]
    with pytest.raises(SnnccError, match=r"1 of 72 inputs .* inputs\[1, 1, 0, 0\] = 7"):
        open_recordings(path, takes, input="spike", samples=3)
    with pytest.raises(SnnccError, match=r"labels\[3\] in .* is -3"):
        open_recordings(path, takes, input="analog", samples=4)
    written(tmp_path, inputs=inputs, labels=np.array([0, 1]))
    with pytest.raises(SnnccError, match=r"have shape \(2,\) for 5 samples"):
        open_recordings(path, takes, samples=2)


def test_the_first_layout_that_fits_counts(tmp_path: Path) -> None:
    takes: Any = {"N": (1, 2), "TN": (4, 1, 2)}
    with open_recordings(written(tmp_path, inputs=np.zeros((7, 2))), takes) as recordings:
        assert (recordings.axis, recordings.samples) == (0, 7)
    with open_recordings(written(tmp_path, inputs=np.zeros((4, 6, 2))), takes) as recordings:
        assert (recordings.axis, recordings.samples) == (1, 6)
    with pytest.raises(SnnccError, match=r"\(7, 3\) and the model takes \(4, N, 2\)"):
        open_recordings(written(tmp_path, inputs=np.zeros((7, 3))), takes)


def lying(folder: Path, header: str, data: bytes, compression: int) -> Path:
    """Inputs with a header of one's own."""
    path = folder / "lying.npz"
    line = header.encode() + b"\n"
    member = np.lib.format.magic(1, 0) + len(line).to_bytes(2, "little") + line + data
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("inputs.npy", member)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    "shape",
    [
        "(4, 3, 2, 3)",
        "(4, 1000000000000, 2, 3)",
        f"({2**40}, {2**40}, 2, 3)",
        "(4, -1, 2, 3)",
        "(4, 1.0, 2, 3)",
        "(4, 'x', 2, 3)",
        "4",
    ],
)
def test_headers_that_lie(tmp_path: Path, shape: str, compression: int) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
    path = lying(tmp_path, header, bytes(48), compression)
    refused("SNN305", "`inputs` in .* is damaged or cut short", path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_bytes_that_are_no_truth_values(tmp_path: Path, compression: int) -> None:
    header = "{'descr': '|b1', 'fortran_order': False, 'shape': (4, 1, 2, 3)}"
    path = lying(tmp_path, header, bytes([0, 1, 2, 255] * 6), compression)
    with open_recordings(path, {"TN": SHAPE}, input="spike") as recordings:
        assert set(recordings.take(0, 1).view(np.uint8).ravel()) == {0, 1}


def test_a_checksum_that_is_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, inputs=np.zeros((4, 2, 2, 3), np.uint8), labels=np.array([0, 1]))
    data = bytearray(path.read_bytes())
    data[data.index(b"}") + 100] = 1  # a spike more
    path.write_bytes(data)
    refused("SNN305", "`inputs` in .* is damaged", path, input="spike")


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    path = written(tmp_path, inputs=np.zeros((4, 200, 2, 3)))
    with open_recordings(path, {"TN": SHAPE}) as recordings:
        os.truncate(path, 2000)
        with pytest.raises(SnnccError, match="SNN305: `inputs` in .* is damaged or cut short"):
            recordings.take(100, 200)


def test_no_room_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, inputs=np.zeros((4, 2, 2, 3)))
    monkeypatch.setattr(npz, "_IN_MEMORY", 0)
    with open("/dev/full", "wb", 0) as full:
        monkeypatch.setattr(npz.tempfile, "TemporaryFile", lambda **given: full)
        refused(
            "SNN305", "`inputs` in .* cannot be unpacked: No space left on device; make room", path
        )


@pytest.mark.slow
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("layout", "shape"), [("TN", (10, 20000, 1500)), ("NT", (20000, 10, 1500))]
)
def test_memory_is_bounded(
    tmp_path: Path, layout: str, shape: tuple[int, ...], compressed: bool
) -> None:
    """300 MB of spikes in less than 100 MB."""
    inputs = np.zeros(shape, np.uint8)
    inputs[..., ::7] = 1
    (np.savez_compressed if compressed else np.savez)(tmp_path / "data.npz", inputs=inputs)
    takes = as_example(layout, inputs)
    code = f"""
        from snncc.frontends.data import open_recordings

        def peak():
            (line,) = [row for row in open("/proc/self/status") if row.startswith("VmHWM")]
            return int(line.split()[1]) // 1024  # of this process; ru_maxrss begins at the parent's

        before = peak()
        with open_recordings("data.npz", {takes}, input="spike") as recordings:
            for start in range(0, recordings.samples, 64):
                recordings.take(start, start + 64)
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 100
