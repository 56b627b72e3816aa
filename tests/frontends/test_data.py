"""DATA.npz: what is read, and what is refused."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import Exit, SnnccError
from snncc.frontends.data import read_data

SHAPE = (4, 1, 2, 3)  # T, N, two features; one sample in the example


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
    np.save(tmp_path / "objects.npy", objects)
    refused("SNN305", "not an .npz", tmp_path / "objects.npy")
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
    np.save(tmp_path / "one.npy", np.zeros((4, 1, 2, 3)))
    refused("SNN305", "not an .npz", tmp_path / "one.npy")
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
