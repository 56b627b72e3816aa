"""The files that describe chips: ours, and every mistake in a user's."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import Finding, SnnccError
from snncc.targets.chip import (
    BUILT_IN,
    CONSTANTS,
    board,
    board_for,
    built_in,
    load_chip,
    parse_chip,
)

OURS = pytest.mark.parametrize("name", BUILT_IN)
LOIHI1 = (files("snncc.targets") / "loihi1.toml").read_text(encoding="utf-8")


def test_every_file_of_ours_has_a_name():
    ours = {path.name for path in files("snncc.targets").iterdir()}
    assert {name for name in ours if name.endswith(".toml")} == {f"{n}.toml" for n in BUILT_IN}


@OURS
def test_every_constant_has_a_unit_and_says_where_it_is_published(name):
    chip = built_in(name)
    numbers = [f.name for f in fields(chip) if f.metadata]
    assert chip.sources.keys() == set(numbers)
    for constant in chip.constants:
        assert constant.unit
        assert re.search(r"\b20\d\d\b|^assumed: .", constant.source), constant


def test_the_constants_are_the_published_ones():
    one, two = built_in("loihi1"), built_in("loihi2")
    assert (one.cores, one.neurons, one.synapse_words * one.word_bits) == (128, 1024, 2**20)
    assert (one.synapse_j, one.synapse_s, one.hop_ns_s) == (23.6e-12, 3.5e-9, 6.5e-9)
    assert (two.cores, two.neurons, two.chips) == (128, 8192, 1152)
    assert two.synapse_s == one.synapse_s / 5
    assert two.synapse_words * two.word_bits == 192 * 1024 * 8


def test_the_barrier_grows_with_the_tiles_and_the_board():
    chip = built_in("loihi1")
    assert (chip.barrier_s(1), chip.barrier_s(32)) == (113e-9, 465e-9)
    assert chip.barrier_s(8) == pytest.approx(113e-9 + (465 - 113) * 1e-9 * 7 / 31)
    assert chip.barrier_s(32, 1) < chip.barrier_s(64, 2) < chip.barrier_s(640, 20)


@pytest.mark.parametrize(
    ("chips", "size"), [(1, (1, 1)), (2, (2, 1)), (13, (13, 1)), (20, (5, 4)), (1152, (36, 32))]
)
def test_a_board_is_as_square_as_it_can_be(chips, size):
    assert board(chips) == size


@pytest.mark.parametrize(
    ("chips", "most", "size"),
    [(1, 1, 1), (2, 9, 2), (3, 9, 4), (3, 3, 3), (13, 99, 15), (13, 14, 13), (78, 1152, 80),
     (1152, 1152, 1152), (1151, 1152, 1152)],
)  # fmt: skip
def test_a_board_has_idle_chips_where_else_it_would_be_a_strip(chips, most, size):
    assert board_for(chips, most) == size


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    text = LOIHI1.replace('"loihi1"', '"mine"').replace("value = 23.6", "value = 7")
    path.write_text(text.replace('value = 3.5, unit = "ns"', 'value = 3.5e-9, unit = "s"'))
    chip = load_chip(path)
    assert (chip.name, chip.synapse_j, chip.synapse_s) == ("mine", 7e-12, 3.5e-9)


def line(key: str, rest: str) -> str:
    """The file with another line for ``key``."""
    return re.sub(rf"(?m)^{key} = .*$", f"{key} = {rest}", LOIHI1)


MISTAKES = {
    "missing": (re.sub(r"(?m)^neurons = .*\n", "", LOIHI1), "lacks the constant neurons (neurons)"),
    "unknown": (LOIHI1.replace("neurons = {", "neuron = {"),
                "has an unknown constant neuron; did you mean neurons?"),
    "unknown, nothing near": (LOIHI1 + "zzz = 1\n", "has an unknown constant zzz"),
    "unknown at the top": ('titel = "x"\n' + LOIHI1, "unknown key titel; did you mean title?"),
    "unknown in a constant": (line("neurons", "{ valu = 1 }"),
                              "has an unknown key valu; did you mean value? in neurons"),
    "no table": (line("neurons", "1024"), "has neurons = 1024, and a constant is { value = "),
    "text": (line("neurons", '{ value = "9", unit = "neurons", source = "davies" }'),
             "has neurons = '9', and that is a number"),
    "half": (line("neurons", '{ value = 9.5, unit = "neurons", source = "davies" }'),
             "has neurons = 9.5, and that is a whole number of neurons"),
    "negative": (line("tile_j", '{ value = -1, unit = "pJ", source = "davies" }'),
                 "has tile_j = -1, and that cannot be negative"),
    "none": (line("neurons", '{ value = 0, unit = "neurons", source = "davies" }'),
             "has neurons = 0, and that is at least 1"),
    "infinite": (line("tile_j", '{ value = inf, unit = "pJ", source = "davies" }'),
                 "has tile_j = inf, and that is no finite number"),
    "not a number": (line("tile_j", '{ value = nan, unit = "pJ", source = "davies" }'),
                     "has tile_j = nan, and that is no finite number"),
    "true": (line("chips", '{ value = true, unit = "chips", source = "davies" }'),
             "has chips = True, and that is a number"),
    "too many": (line("neurons", '{ value = 2147483648, unit = "neurons", source = "davies" }'),
                 "has neurons = 2147483648, and that is at most 2147483647"),
    "too much": (line("tile_j", '{ value = 1e31, unit = "pJ", source = "davies" }'),
                 "has tile_j = 1e+31, and that is at most 1e30"),
    "board": (line("chips", '{ value = 16777216, unit = "chips", source = "davies" }'),
              "has a board of 2,147,483,648 cores, chips x tiles x cores, and that is at most"),
    "barrier": (line("barrier_tile_s", '{ value = 466, unit = "ns", source = "davies" }'),
                "has a barrier of a chip that is shorter than that of a tile"),
    "a list": (line("neurons", '[1024, "neurons"]'),
               "has neurons = [1024, 'neurons'], and a constant is { value = "),
    "unit no text": (line("tile_j", '{ value = 1, unit = ["pJ"], source = "davies" }'),
                     "gives tile_j in ['pJ'], and it is in J, mJ"),
    "no value": (line("tile_j", '{ unit = "pJ", source = "davies" }'), "gives tile_j no value"),
    "no unit": (line("tile_j", '{ value = 1, source = "davies" }'),
                "gives tile_j no unit; it is in J, mJ, uJ, nJ, pJ or fJ"),
    "wrong unit": (line("tile_j", '{ value = 1, unit = "ns", source = "davies" }'),
                   "gives tile_j in 'ns', and it is in J, mJ, uJ, nJ, pJ or fJ"),
    "no source": (line("tile_j", '{ value = 1, unit = "pJ" }'),
                  "gives tile_j no source; cite one, or write source = \"assumed\""),
    "empty source": (line("tile_j", '{ value = 1, unit = "pJ", source = " " }'),
                     "gives tile_j no source"),
    "thresholds": (line("thresholds", '{ value = "chip", unit = "per", source = "x" }'),
                   "has thresholds = 'chip', and that is \"neuron\" or \"layer\""),
    "yes or no": (line("population_axons", '{ value = 2, unit = "yes or no", source = "x" }'),
                  "has population_axons = 2, and that is 1 or 0"),
    "no name": (line("name", '""'), "needs a name, a text, at its top"),
    "constants": ('name = "x"\ntitle = "y"\nconstants = 1',
                  "has constants = 1, and that is a table, [constants]"),
    "sources": (LOIHI1.replace("[sources]", "[sources]\nx = 1"),
                "has the source x = 1, and a source is a text"),
    "not TOML": ("neurons = = 1", "is not TOML: "),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_every_mistake_has_one_clear_sentence(text, said):
    with pytest.raises(SnnccError) as caught:
        parse_chip(text, "my.toml")
    messages = [finding.message for finding in caught.value.findings]
    assert [f.code for f in caught.value.findings] == ["SNN320"] * len(messages)
    assert any(message.startswith("my.toml ") and said in message for message in messages)
    assert caught.value.exit_code == 2


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(CONSTANTS)),
    st.sampled_from(("value", "unit", "source")),
    st.sampled_from(
        ["nan", "-inf", "1e400", "-1", "0", "1.5", "1e-400", "true", '"x"', '""', "[]", "{}",
         "[1]", "{ a = 1 }", "1979-05-27", "99999999999999999999999", '"ns"', r'"a\nb"']
    ),
)  # fmt: skip
def test_whatever_a_constant_holds_is_a_chip_or_a_sentence(key, part, text):
    there = re.search(rf"(?m)^{key} = .*$", LOIHI1)[0]
    wrong = re.sub(rf'{part} = ("[^"]*"|[^ ,]+)', lambda _: f"{part} = {text}", there, count=1)
    refused: tuple[Finding, ...] = ()
    try:
        value = getattr(parse_chip(LOIHI1.replace(there, wrong), "my.toml"), key)
    except SnnccError as error:
        refused = error.findings
    for finding in refused:
        assert finding.makes_unreadable
        assert finding.message.startswith("my.toml ")
        assert "\n" not in finding.message
    assert refused or isinstance(value, str) or 0 <= value <= 1e40


def test_a_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(LOIHI1.replace('"loihi1"', '"mine"'), encoding="utf-8-sig")
    assert load_chip(path).name == "mine"


def test_what_is_assumed_is_said():
    assert "chips" not in built_in("loihi1").assumed
    assert "tile_rows" in built_in("loihi1").assumed
    mine = parse_chip(line("chips", '{ value = 2, unit = "chips", source = "assumed" }'), "m.toml")
    assert set(mine.assumed) - set(built_in("loihi1").assumed) == {"chips"}


def test_all_mistakes_are_said_at_once():
    text = line("neurons", "{ value = -1 }").replace("chips = {", "chip = {")
    with pytest.raises(SnnccError) as caught:
        parse_chip(text, "my.toml")
    assert len(caught.value.findings) == 5


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "binary"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SnnccError, match=r"SNN320 at .*mine\.toml"):
        load_chip(path)
