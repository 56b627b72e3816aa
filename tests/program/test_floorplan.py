"""The table of what is full and the picture of the mesh."""

from __future__ import annotations

import xml.etree.ElementTree as Xml
from dataclasses import replace

import numpy as np
import pytest

from snncc.ir.mapping import Mapping
from snncc.program import floorplan
from snncc.targets.chip import built_in

SVG = "{http://www.w3.org/2000/svg}"


def squares(picture):
    """What is drawn of each square: its title, x, y and size."""
    return {
        title.text: (float(rect.get("x")), float(rect.get("y")), float(rect.get("width")))
        for rect in Xml.fromstring(picture).iter(f"{SVG}rect")
        if (title := rect.find(f"{SVG}title")) is not None
    }


def test_every_core_in_use_is_a_square_that_names_what_it_holds():
    mapping = Mapping(2, {"a": [0, 0, 5], "b<&>": [5, 5, 128]})
    drawn = squares(floorplan.picture(mapping, built_in("loihi1")))
    assert set(drawn) == {
        "core 0: 2 neurons, most of a", "core 5: 3 neurons, most of b<&>",
        "core 128: 1 neurons, most of b<&>",
    }  # fmt: skip
    (first, fifth, other) = (
        drawn[key] for key in sorted(drawn, key=lambda s: int(s.split()[1][:-1]))
    )
    pitch = 2 * first[2] + 4  # two cores and their gaps make a tile
    assert fifth[0] - first[0] == pytest.approx(pitch + first[2] + 1)
    assert other[0] - first[0] == pytest.approx(8 * pitch)
    assert other[1] == first[1] == fifth[1]


@pytest.mark.parametrize("chips", [1, 13, 156, 157, 1152])
def test_nothing_is_drawn_over_something_else_or_outside(chips):
    chip = replace(built_in("loihi2"), cores_per_tile=3)
    cores = np.arange(0, chips * chip.cores, 7)
    text = floorplan.picture(Mapping(chips, {"a": cores}), chip)
    root = Xml.fromstring(text)
    left, top, width, height = map(float, root.get("viewBox").split())
    drawn = squares(text)
    one = 1 if chips * chip.cores <= floorplan.MANY else chip.cores_per_tile
    assert len(drawn) == len(np.unique(cores // one))
    places = {(round(x, 2), round(y, 2)) for x, y, _ in drawn.values()}
    assert len(places) == len(drawn)
    for x, y, size in drawn.values():
        assert left <= x <= x + size <= left + width
        assert top <= y <= y + size <= top + height


def test_the_key_of_very_many_places_has_the_first_and_the_last():
    mapping = Mapping(1, {f"layers.{k}": [k] for k in range(128)})
    said = [
        t.text
        for t in Xml.fromstring(floorplan.picture(mapping, built_in("loihi1"))).iter(f"{SVG}text")
    ]
    assert 10 < len(said) < 60
    assert {"layers.0", "layers.127"} <= set(said)
