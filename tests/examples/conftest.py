"""One thread, and a chip with one threshold per layer."""

from importlib.resources import files

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def one_threshold(tmp_path_factory):
    """A chip with one threshold per layer, as Lava-DL's NetX has them."""
    text = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")
    text = text.replace('name = "loihi1"', 'name = "netx"')
    path = tmp_path_factory.mktemp("chip") / "netx.toml"
    path.write_text(
        text.replace('thresholds = { value = "neuron"', 'thresholds = { value = "layer"')
    )
    return str(path)
