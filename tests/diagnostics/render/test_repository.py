"""Files as the server of a repository finds them."""

from __future__ import annotations

import pytest

from snncc.diagnostics import Finding, Location
from snncc.diagnostics.render.repository import in_repository


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "repository" / "src").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository" / "src")
    return tmp_path / "repository"


def shown(file, root, origin=""):
    (finding,) = in_repository([Finding("SNN113", "x", Location("m", file, 3))], root, origin)
    assert (finding.location.module, finding.location.line) == ("m", 3)
    return finding.location.file


def test_a_file_inside_is_relative_to_the_root(root):
    assert shown(str(root / "src" / "net.py"), root) == "src/net.py"


def test_a_file_relative_to_the_current_folder_is_too(root):
    assert shown("net.py", root) == "src/net.py"


def test_a_file_outside_keeps_its_name(root):
    assert shown("/elsewhere/net.py", root) == "/elsewhere/net.py"
    assert shown(str(root.parent / "net.py"), root) == str(root.parent / "net.py")


def test_what_has_no_file_is_anchored_to_the_models(root):
    assert shown("", root, str(root / "src" / "net.pt")) == "src/net.pt"
    assert shown("", root) == ""


def test_a_root_behind_a_link(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert shown(str(root / "src" / "net.py"), tmp_path / "link") == "src/net.py"
