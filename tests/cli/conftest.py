"""A small trained-looking network on disk, with data for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import snncc
from snncc.cli import main

STEPS, SHAPE, CLASSES = 5, (2, 8, 8), 4


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Call snncc in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return call


def on_disk(folder):
    """When each file was written; what Python keeps of an import does not count."""
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


@pytest.fixture
def refused(run, tmp_path):
    """Call snncc and see that it refuses with one sentence and leaves nothing on disk."""

    def call(*arguments, said, code=2):
        before = on_disk(tmp_path)
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert said in result.stderr
        assert "Traceback" not in result.stderr
        lines = result.stderr.strip().splitlines()
        if not lines[0].startswith("Usage:"):
            assert len(lines) == 1
            assert lines[0].startswith("error[")
        after = on_disk(tmp_path)
        assert after == before
        return result

    return call


def _fetched(attributes):
    """What is not on the page itself."""
    links = [v for k, v in attributes if k in ("src", "href", "xlink:href")]
    return [link for link in links if not link.startswith("#")]


class Page(HTMLParser):
    """Tags that stay open, and what a page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.said = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self.open.append(tag)
        self.fetched += _fetched(attributes)

    def handle_startendtag(self, tag, attributes):
        self.fetched += _fetched(attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture
def read_page():
    """See that a page is whole, fetches nothing and runs nothing; its words."""

    def read(text):
        page = Page(text)
        assert page.open == page.fetched == []
        assert "<script" not in text
        assert not re.search(r"url\((?!#)", text)
        return " ".join(" ".join(page.said).split())

    return read


def small_network():
    torch.manual_seed(0)
    network = snncc.nn.DualStreamResNet(
        in_channels=2, classes=CLASSES, widths=[4, 6], blocks=[1, 1], gate="or"
    )
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.fill_(1.5)
            part.bias.data.fill_(0.2)
    return network.eval()


@pytest.fixture
def other_model(tmp_path):
    """The same network with other weights in its last layer."""
    network = small_network()
    network.fc.bias.data += 0.125
    snncc.save_model(network, tmp_path / "other.pt", torch.zeros(STEPS, 2, *SHAPE), input="spike")
    return tmp_path / "other.pt"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.pt"
    example = torch.zeros(STEPS, 2, *SHAPE)
    snncc.save_model(small_network(), path, example, input="spike")
    return path


def recordings(samples=6, seed=0):
    return (np.random.default_rng(seed).random((STEPS, samples, *SHAPE)) < 0.4).astype(np.uint8)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.npz"
    inputs = recordings()
    with torch.no_grad():
        logits, _ = small_network().double()(torch.tensor(inputs).double())
    labels = logits.argmax(1).numpy()
    labels[0] = (labels[0] + 1) % CLASSES  # so that the accuracy is 5 of 6
    np.savez(path, inputs=inputs, labels=labels)
    return path


@pytest.fixture(scope="session")
def program(model, tmp_path_factory):
    """A compiled program; not to be changed."""
    folder = tmp_path_factory.mktemp("program") / "small"
    result = CliRunner().invoke(main, ["compile", str(model), "-o", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


FIRST = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def interrupt(code, folder, *arguments):
    """Run Python until it says "ready", and interrupt it; its exit code, stdout and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST + textwrap.dedent(code), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), *sys.path]))},
    )
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture
def interrupted():
    return interrupt
