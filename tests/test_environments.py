"""What the other tests stand on: the right SpikingJelly, with its model zoo, one per process."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def test_the_version_asked_for_is_the_one_imported(spikingjelly):
    import spikingjelly as package

    assert importlib.metadata.version("spikingjelly") == spikingjelly.version
    assert spikingjelly.version in package.__path__[0]


def test_a_child_process_imports_the_same_version(spikingjelly):
    command = "import importlib.metadata as m; print(m.version('spikingjelly'))"
    child = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert child.stdout.strip() == spikingjelly.version


def test_a_neuron_of_this_version_fires(spikingjelly):
    neuron = spikingjelly.module("neuron").IFNode(v_threshold=1.0)
    spikes = [float(neuron(torch.tensor([0.5]))) for _ in range(4)]
    assert spikes == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("zoo", ["sew_resnet", "spiking_resnet", "spiking_vgg"])
def test_the_model_zoo_needs_no_torchvision(spikingjelly, zoo):
    assert spikingjelly.module(f"model.{zoo}").__name__.endswith(zoo)


def test_a_file_with_tests_of_a_version_names_it():
    """The others are not read under another version: no fixture asks for one in their place."""
    tests = Path(__file__).parent
    named = [p for p in tests.rglob("conftest.py") if "spikingjelly" in p.read_text()]
    assert named == [tests / "conftest.py"]


@pytest.mark.lava
def test_a_test_marked_by_its_fixture(lava, request):
    assert {"lava", "slow"} <= {mark.name for mark in request.node.iter_markers()}
    child = subprocess.run(
        [lava, "-c", "import lava, sys; print(sys.version_info[:2])"],
        capture_output=True,
        text=True,
        env={},
    )
    assert child.stdout.strip() == "(3, 10)"
