"""The examples as tests open them, and the comparison with Lava, are modules beside tests."""

import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path[:0] = [
    str(HERE), str(HERE.parent / "backends" / "loihi"), str(HERE.parent / "generators"),
    str(HERE.parents[1] / "examples" / "plugin_backend"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def one_threshold(tmp_path_factory):
    """A chip with one threshold a layer, as Lava-DL's NetX has them."""
    text = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")
    text = text.replace('name = "loihi1"', 'name = "netx"')
    path = tmp_path_factory.mktemp("chip") / "netx.toml"
    path.write_text(
        text.replace('thresholds = { value = "neuron"', 'thresholds = { value = "layer"')
    )
    return str(path)
