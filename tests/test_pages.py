"""The tutorials and how-to pages: their files and commands do what the pages show."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib

import click
import pages
import pytest

from snncc.cli import main
from snncc.diagnostics import RULES
from snncc.targets.chip import parse_chip

DOCS = pages.ROOT / "docs"
TUTORIALS = ("pytorch", "snntorch", "spikingjelly")
NAMES = sorted(
    str(path.relative_to(DOCS))
    for folder in ("tutorials", "how-to")
    for path in (DOCS / folder).glob("*.md")
    if any(language == "console" for language, _ in pages.blocks(path.read_text("utf-8")))
)


def test_the_pages_are_there():
    assert {f"tutorials/{name}.md" for name in TUTORIALS} <= set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_page_prints_what_it_shows(name, tmp_path, lava):
    framework = name.partition("/")[2].removesuffix(".md")
    if framework in ("snntorch", "spikingjelly") and not importlib.util.find_spec(framework):
        pytest.fail(f"{framework} is not installed; ./run-tests installs it")
    page = (DOCS / name).read_text("utf-8")
    typed = list(pages.run(page, tmp_path))
    assert any("--backend lava" in command for command, _, _ in typed)
    for command, shown, said in typed:
        assert pages.same_everywhere(said) == pages.same_everywhere(shown), command
        if "--backend lava" in command:
            assert ", 0 differ; " in said


def test_only_learnt_numbers_may_differ():
    def same(left, right):
        return pages.same_everywhere(left) == pages.same_everywhere(right)

    assert same("loss 0.402\n", "loss 0.398\n")
    assert same("  AC     4,091    4,051", "  AC   14,090   4,050")
    assert same("  energy of AC, MAC  3.7 nJ  3.65 nJ", "  energy of AC, MAC  1.07 µJ  3 nJ")
    assert not same("  MAC       4       0", "  MAC       0       0")
    assert not same("  accuracy   96.00%  (96 of 100)", "  accuracy   96.00%")
    assert not same("  verified     0 of 16,960 differ", "  verified     1 of 16,960 differ")


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_commands_options_and_rules_of_a_page_are_there(path):
    page = path.read_text("utf-8")
    assert set(re.findall(r"SNN\d{3}", page)) <= set(RULES)
    lines = [line for _, block in pages.blocks(page) for line in block.splitlines()]
    spans = re.findall(r"`(snncc [^`]*)`", re.sub(r"\s+", " ", page))
    for line in [*(line.removeprefix("$ ") for line in lines), *spans]:
        if not (found := re.match(r"snncc ([a-z]+)(?= |$)", line)):
            continue
        command = main.get_command(click.Context(main), found[1])
        assert command is not None, line
        known = {name for option in command.params for name in option.opts}
        given = re.findall(r"(?<=[ \[])--?[a-z][a-z-]*", line.partition("#")[0])
        assert set(given) <= known | {"--help", "-h"}, line


def test_the_chip_of_the_page_is_read():
    (ours,) = (text for language, text in pages.blocks(page_of("targets.md")) if language == "toml")
    given = tomllib.loads(ours)
    file = tomllib.loads((pages.ROOT / "snncc/targets/loihi1.toml").read_text("utf-8"))
    changed = {**file["constants"], **given["constants"]}
    lines = [f"{key} = {json.dumps(given[key])}" for key in ("name", "title")]
    for table, values in (("sources", {**file["sources"], **given["sources"]}), ("constants", {})):
        lines += [f"[{table}]", *(f"{key} = {json.dumps(text)}" for key, text in values.items())]
    for key, each in changed.items():
        parts = (f"{part} = {json.dumps(value)}" for part, value in each.items())
        lines.append(f"{key} = {{ {', '.join(parts)} }}")
    chip = parse_chip("\n".join(lines), "mine.toml")
    assert (chip.name, chip.neurons, chip.synapse_j) == ("mine", 2048, 12.5e-12)
    assert "synapse_j" in chip.assumed


def test_the_backend_of_the_page_is_that_of_the_example():
    toml = dict(pages.blocks(page_of("how-to/backend.md")))["toml"]
    example = tomllib.loads((pages.ROOT / "examples/plugin_backend/pyproject.toml").read_text())
    assert tomllib.loads(toml)["project"]["entry-points"] == example["project"]["entry-points"]


def page_of(name):
    return (DOCS / name).read_text("utf-8")
