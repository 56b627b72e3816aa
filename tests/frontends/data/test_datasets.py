"""``package.module:factory``: data sets and loaders of torch, and what has their protocol."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from examples.events import load
from snncc.diagnostics import SnnccError
from snncc.frontends.data import open_recordings

EXAMPLES = Path(__file__).parents[3] / "examples"
TAKES = {"TN": (4, 1, 2, 3)}
FIRST = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

inputs = torch.arange(4 * 7 * 6).reshape(7, 4, 2, 3).float()
labels = torch.arange(7)

class Frames(Dataset):  # as torchvision's: (x, int)
    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return 7

    def __getitem__(self, number):
        x = inputs[number]
        return (x if self.transform is None else self.transform(x)), int(labels[number])

class Stream(IterableDataset):
    def __iter__(self):
        return ((inputs[number], labels[number]) for number in range(7))
"""
FRAMES = np.arange(4 * 7 * 6).reshape(7, 4, 2, 3).astype(np.float32)


@pytest.fixture
def factory(tmp_path: Path, monkeypatch):
    """Write a module with a function ``made`` that returns this; the name of that function."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    count = 0

    def write(returned: str, more: str = "") -> str:
        nonlocal count
        count += 1
        code = f"{FIRST}\n{textwrap.dedent(more)}\ndef made():\n    return {returned}\n"
        (tmp_path / f"sets_{tmp_path.name}_{count}.py").write_text(code)
        return f"sets_{tmp_path.name}_{count}:made"

    return write


@pytest.mark.parametrize(
    "returned",
    [
        "Frames()",
        "Stream()",
        "TensorDataset(inputs, labels)",
        "[(inputs[n].numpy(), labels[n]) for n in range(7)]",
        "DataLoader(Frames(), batch_size=3)",
        "DataLoader(Stream(), batch_size=3)",
        "DataLoader(Frames(), batch_size=None)",
        "(inputs.transpose(0, 1), labels)",
    ],
)
def test_any_samples_are_those_of_the_whole(factory, agrees, returned: str) -> None:
    with open_recordings(factory(returned), TAKES, input="count", classes=7) as recordings:
        agrees(recordings, FRAMES.transpose(1, 0, 2, 3), np.arange(7))


@pytest.mark.parametrize(
    "returned", ["TensorDataset(inputs)", "list(inputs)", "DataLoader(inputs, 4)"]
)
def test_labels_are_optional(factory, agrees, returned: str) -> None:
    with open_recordings(factory(returned), TAKES) as recordings:
        agrees(recordings, FRAMES.transpose(1, 0, 2, 3))


def test_samples_and_layouts(factory) -> None:
    with open_recordings(factory("Frames()"), {"NT": (1, 4, 2, 3)}, samples=5) as recordings:
        np.testing.assert_array_equal(recordings.take(0, 9), FRAMES[:5])
        assert recordings.labels.tolist() == [0, 1, 2, 3, 4]
    with open_recordings(factory("inputs.numpy()"), {"NT": (1, 4, 2, 3)}) as recordings:
        np.testing.assert_array_equal(recordings.take(2, 4), FRAMES[2:4])


def test_values_labels_and_shapes_are_checked(factory, refused) -> None:
    bad = "inputs %= 2; inputs[5, 2, 0, 1] = 2"
    said = r"1 of 168 inputs in .*:made are neither 0 nor 1, the first at inputs\[2, 5, 0, 1\] = 2"
    refused("SNN312", said, factory("Frames()", bad), input="spike")
    refused(
        "SNN312", r"labels\[3\] in .* is 3; they go from 0 to 2", factory("Frames()"), classes=3
    )
    refused("SNN306", r"a sample of .* \(4, 2, 3\) and the model takes \(5, 2, 3\)",
            factory("Frames()"), {"TN": (5, 1, 2, 3)})  # fmt: skip
    refused("SNN306", r"sample 1 of .* shape \(3, 2, 3\), and sample 0",
            factory("[inputs[0], inputs[1, :3]]"))  # fmt: skip
    refused("SNN312", "label of sample 0 of .* 'cat'", factory("[(inputs[0], 'cat')]"))
    some = factory("[(inputs[0], 1), (inputs[1], None)]")
    refused("SNN312", "sample 1 of .* has no label, and others have", some)
    refused("SNN312", "tuple of 3", factory("[(inputs[0], 1, 2)]"))
    refused("SNN312", "holds no samples", factory("[]"))
    refused("SNN312", "returned a dict, which is no data set", factory("{}"))
    refused("SNN312", "sample 0 of .* is a str, not numbers", factory("['word']"))
    events = "[(np.zeros(5, [('x', 'i2'), ('y', 'i2'), ('t', 'i8'), ('p', '?')]), 1)]"
    refused("SNN312", "list of events, not frames; .*ToFrame", factory(events))


def test_what_the_users_code_raises(factory, refused) -> None:
    refused("SNN313", "has no `other`", factory("1").replace("made", "other"))
    refused("SNN314", "calling `.*` failed: ZeroDivisionError", factory("1 / 0"))
    broken = """
        class Broken(Frames):
            def __getitem__(self, number):
                if number == 5:
                    raise RuntimeError("no such image")
                return super().__getitem__(number)
    """
    said = "reading sample 5 of .* failed: RuntimeError: no such image"
    refused("SNN314", said, factory("Broken()", broken))


def test_data_that_cannot_be_read_twice(factory, refused) -> None:
    refused("SNN340", "a loader that shuffles", factory("DataLoader(Frames(), 2, shuffle=True)"))
    refused("SNN340", "can be read only once", factory("iter(inputs)"))
    said = "a loader with its own collate_fn"
    refused("SNN312", said, factory("DataLoader(Frames(), 2, collate_fn=lambda items: items)"))
    random = factory("Frames(lambda x: x + torch.rand(1))")
    said = "SNN340: sample 0 of .* has other values than when"
    with open_recordings(random, TAKES) as recordings, pytest.raises(SnnccError, match=said):
        recordings.take(0, 3)
    sampler = "torch.utils.data.SubsetRandomSampler(range(7))"
    subset = factory(f"DataLoader(Frames(), 2, sampler={sampler})", "torch.manual_seed(0)")
    with open_recordings(subset, TAKES) as recordings, pytest.raises(SnnccError, match="SNN340"):
        recordings.take(0, 7)
    shorter = """
        class Shorter(Frames):
            asked = 0

            def __len__(self):
                self.asked += 1
                return 7 if self.asked == 2 else 4
    """
    said = "SNN340: sample 4 of .* is not there any more"
    shrinks = factory("Shorter()", shorter)
    with open_recordings(shrinks, TAKES) as recordings, pytest.raises(SnnccError, match=said):
        recordings.take(0, 7)


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", FRAMES.transpose(1, 0, 2, 3))
    os.rename("data.npy", "data:made")
    with open_recordings("data:made", TAKES) as recordings:
        assert recordings.samples == 7


def test_events_of_tonic_become_frames(tmp_path: Path, data_tools, factory, agrees) -> None:
    """tonic's own N-MNIST, on files in its format, with tonic's own transforms and cache."""
    events = load(EXAMPLES / "dst" / "recordings.npz")
    for number in range(4):
        folder = tmp_path / "Few" / "Test" / str(events.labels[number])
        folder.mkdir(parents=True, exist_ok=True)
        of_one = slice(events.offsets[number], events.offsets[number + 1])
        when, polarity = events.time_us[of_one], events.polarity[of_one]
        packed = [events.x[of_one], events.y[of_one], (polarity << 7) | (when >> 16)]
        packed += [(when >> 8) & 255, when & 255]
        np.stack(packed, 1).astype(np.uint8).tofile(folder / f"{number:05}.bin")
    more = """
        import tonic

        class Few(tonic.datasets.NMNIST):
            def _check_exists(self):  # which asks for 10,000 files
                return True

        def frames():
            cut = tonic.transforms.ToFrame(tonic.datasets.NMNIST.sensor_size, n_time_bins=10)
            return Few(".", train=False, transform=cut)
    """
    name = factory("frames()", more)
    found = importlib.import_module(name.partition(":")[0]).frames()
    wanted = np.stack([values for values, _ in found], 1)
    assert wanted.sum() > 10_000
    for made in (name, factory("tonic.MemoryCachedDataset(frames())", more)):
        with open_recordings(made, {"TN": (10, 1, 2, 34, 34)}, input="count") as recordings:
            agrees(recordings, wanted, found.targets)
    loader = factory("DataLoader(frames(), 3)", more)
    with open_recordings(loader, {"NT": (1, 10, 2, 34, 34)}, input="count") as recordings:
        agrees(recordings, wanted.swapaxes(0, 1), found.targets)


def test_images_as_torchvision_gives_them(data_tools, factory) -> None:
    """An image of Pillow and a whole number, or what a transform makes of the image."""
    more = """
        from PIL import Image

        class Images(Dataset):
            def __init__(self, transform=None):
                self.transform = transform

            def __len__(self):
                return 6

            def __getitem__(self, number):
                image = Image.fromarray(np.full((5, 4), 40 * number, np.uint8), mode="L")
                return (image if self.transform is None else self.transform(image)), number

        def to_tensor(image):
            return torch.from_numpy(np.array(image)).float().div(255).unsqueeze(0)
    """
    with open_recordings(factory("Images(to_tensor)", more), {"N": (1, 1, 5, 4)}) as recordings:
        assert recordings.range == (0, np.float32(200) / np.float32(255))
    with open_recordings(factory("Images()", more), {"N": (1, 5, 4)}) as recordings:
        assert recordings.range == (0, 200)
        assert recordings.labels.tolist() == list(range(6))


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """400 MB of samples, which the data set makes one by one, in less than 100 MB."""
    (tmp_path / "sets.py").write_text(
        textwrap.dedent("""
        import torch

        class Many(torch.utils.data.Dataset):
            def __len__(self):
                return 2000

            def __getitem__(self, number):
                return torch.full((50, 1000), number % 7 / 7), number % 10

        made = Many
        """)
    )
    code = """
        import torch.utils.data
        from snncc.frontends.checkpoints import factory
        from snncc.frontends.data import open_recordings

        def peak():
            (line,) = [row for row in open("/proc/self/status") if row.startswith("VmHWM")]
            return int(line.split()[1]) // 1024  # of this process; ru_maxrss begins at the parent's

        torch.ones(1000, 50).sum()
        before = peak()
        with open_recordings("sets:made", {"TN": (50, 1, 1000)}, input="analog") as recordings:
            for start in range(0, recordings.samples, 64):
                recordings.take(start, start + 64)
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )  # fmt: skip
    assert int(done.stdout) < 100
