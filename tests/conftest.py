"""The environments tests run in: one SpikingJelly version a process, and Lava's own interpreter.

A test that uses the fixture ``spikingjelly`` runs once for each version of
``tests/spikingjelly-versions``: ``./run-tests`` calls pytest again for each, because two versions
cannot be imported in one process. By hand: ``SNNCC_SPIKINGJELLY=0.0.0.0.12 pytest`` runs those
tests, and only those, under that version; plain ``pytest`` runs everything, under the first listed.

A test that uses the fixture ``lava`` runs where Lava's interpreter is, and is marked `lava` and
`slow` by that. What a missing environment skips, ``SNNCC_NO_SKIP=1`` fails.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import hypothesis
import pytest

TESTS = Path(__file__).parent
VERSIONS = (TESTS / "spikingjelly-versions").read_text().split()
CHOSEN = os.environ.get("SNNCC_SPIKINGJELLY", "")
VERSION = CHOSEN or VERSIONS[0]
INSTALLED = TESTS.parent / ".cache" / "spikingjelly" / VERSION

# Both ways, so that a process started by a test imports the same SpikingJelly.
for _path in (TESTS / "stand_ins", INSTALLED):
    sys.path.insert(0, str(_path))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(_path), os.environ.get("PYTHONPATH")])
    )

# The first call of a torch function may take a second: no limit on a single example.
hypothesis.settings.register_profile("snncc", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("snncc")


@dataclass(frozen=True)
class SpikingJelly:
    """The one version of this process.

    ``module("neuron")`` is ``spikingjelly.clock_driven.neuron`` up to 0.0.0.0.12 and
    ``spikingjelly.activation_based.neuron`` after it.
    """

    version: str

    @property
    def package(self) -> str:
        return "clock_driven" if self.version == "0.0.0.0.12" else "activation_based"

    def module(self, name: str) -> ModuleType:
        return importlib.import_module(f"spikingjelly.{self.package}.{name}")


@pytest.fixture(scope="session")
def spikingjelly() -> SpikingJelly:
    """SpikingJelly, in the version this process tests."""
    if not (INSTALLED / "spikingjelly").is_dir():
        missing(f"SpikingJelly {VERSION} is not installed; ./run-tests installs it")
    return SpikingJelly(VERSION)


@pytest.fixture(scope="session")
def lava() -> Path:
    """Lava's interpreter; fails where it could be made and is not."""
    from snncc.backends.loihi import interpreter

    if python := interpreter.ready():
        return python
    if interpreter.find_python():
        pytest.fail("Lava's interpreter is not set up; ./run-tests sets it up")
    missing("no Python 3.10, which Lava needs, on PATH or in pyenv, uv or conda")


@pytest.fixture(scope="session")
def nir_tools() -> Path:
    """The folder with the frameworks that read NIR files, for a process of its own."""
    folder = Path(os.environ.get("SNNCC_NIR_TOOLS", TESTS.parent / ".cache" / "nir-tools"))
    if not (folder / "nirtorch").is_dir():
        missing("the frameworks that read NIR files are not installed; ./run-tests installs them")
    return folder


@pytest.fixture(scope="session")
def mkdocs() -> None:
    """The generator of the documentation site is installed."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        missing("mkdocs-material is not installed; ./run-tests installs it")


@pytest.fixture
def data_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """tonic and Pillow can be imported while the test runs."""
    folder = Path(os.environ.get("SNNCC_DATA_TOOLS", TESTS.parent / ".cache" / "data-tools"))
    if not (folder / "tonic").is_dir():
        missing("tonic and Pillow are not installed; ./run-tests installs them")
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A tab of a headless Chromium."""
    import chromium

    if chromium.found() is None:
        missing(f"no browser is installed: one of {', '.join(chromium.NAMES)}")
    with chromium.tab(tmp_path_factory.mktemp("browser")) as found:
        yield found


def missing(reason: str) -> NoReturn:
    if os.environ.get("SNNCC_NO_SKIP"):
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Under another version only files that name the fixture are read."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if CHOSEN and is_test and "spikingjelly" not in collection_path.read_text(encoding="utf-8"):
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CHOSEN:
        config.hook.pytest_deselected(
            items=[item for item in items if "spikingjelly" not in fixtures(item)]
        )
        items[:] = [item for item in items if "spikingjelly" in fixtures(item)]
    for item in items:
        if "lava" in fixtures(item):
            item.add_marker("lava")
            item.add_marker("slow")
            # They count each other's processes and shared memory.
            if config.getoption("loadgroup", default=False):
                item.add_marker(pytest.mark.xdist_group("lava"))
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


def fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def pytest_report_header() -> str:
    return f"SpikingJelly {VERSION}"
