"""The tutorials and how-to pages: their files and commands do what the pages show."""

from __future__ import annotations

import importlib.util

import pages
import pytest

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
