"""The documentation site: it is built without a warning, and its reference is whole."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from snncc import registry
from snncc.cli import COMMANDS
from snncc.cli.compile import command as compile
from snncc.diagnostics import RULES
from snncc.passes import base
from snncc.targets import targets

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def build(folder, to):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(to)],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(mkdocs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def read(site):
    """The words of a page of the reference."""

    def words(name):
        page = (site / "reference" / f"{name}.html").read_text("utf-8")
        article = re.search(r"<article.*?</article>", page, re.DOTALL)[0]
        in_code = re.sub(r"</?span[^>]*>", "", article)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", in_code)).split())

    return words


def headings(site, name, level):
    page = (site / "reference" / f"{name}.html").read_text("utf-8")
    return re.findall(rf'<h{level} id="[^"]*">(.*?)<a', page)


def test_every_rule_is_there(site, read):
    assert headings(site, "rules", 3) == [f"{rule.code} {rule.name}" for rule in RULES.values()]
    text = read("rules")
    for rule in RULES.values():
        assert " ".join(rule.example.split()) in text, rule.code


def test_every_pass_is_there_with_its_options(site, read):
    assert headings(site, "passes", 2) == list(base.names())
    text = read("passes")
    for name in base.names():
        for field in base.options(base.find(name)):
            default = field.default if field.default != "" else "none"
            assert f" {field.name.replace('_', '-')} {default} " in text, name


def test_every_command_is_there_with_its_options(site, read):
    shown = headings(site, "commands", 2)
    assert {line.split()[1] for line in shown} == set(COMMANDS)
    text = read("commands")
    for option in compile.params:
        assert option.param_type_name == "argument" or option.opts[0] in text


def test_every_constant_is_there_with_its_source(site, read):
    assert headings(site, "targets", 2)[1:] == [target.name for target in targets()]
    text = read("targets")
    for target in targets():
        for known in target.constants:
            value = f" {known.name} {known.value:,.10g} {known.unit} "
            assert value in text, known
            assert " ".join(known.source.split()) in text, known


def test_every_backend_is_there(site):
    assert headings(site, "backends", 2) == list(registry.names(registry.BACKENDS))


def test_the_pages_fetch_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        fetched = re.findall(r'<(?:script|img|link)[^>]* (?:src|href)="(https?:[^"]*)"', text)
        assert fetched == [], page


@pytest.fixture
def copied(mkdocs, tmp_path):
    """The site's sources in a folder of their own, to be changed."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for name in ("examples", "benchmarks", "snncc", "CONTRIBUTING.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("target", ["glossery.md", "glossary.md#no-such-part", "../examples/none"])
def test_a_broken_link_is_an_error(copied, target):
    page = copied / "docs" / "faq.md"
    page.write_text(f"{page.read_text('utf-8')}\n[more]({target})\n", "utf-8")
    done = build(copied, copied / "built")
    assert done.returncode != 0
    assert target.rpartition("#")[2].rpartition("/")[2] in done.stderr


def test_links_out_of_the_pages_lead_to_the_repository(copied, monkeypatch):
    monkeypatch.setenv("SNNCC_REPOSITORY", "https://git.example/snncc/")
    assert build(copied, copied / "built").returncode == 0
    page = (copied / "built" / "numbers.html").read_text("utf-8")
    assert 'href="https://git.example/snncc/blob/HEAD/examples/dst/README.md"' in page
