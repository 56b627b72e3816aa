"""A picture as SVG, drawn by Vega-Lite (the package vl-convert-python, extra ``report``).

The SVG stands in the page as it is and needs no script. Its colours are the variables of the style
sheet, so that it follows light and dark.
"""

from __future__ import annotations

import hashlib
import json
import re
import xml.etree.ElementTree as Xml
from collections.abc import Mapping
from typing import Any

_SVG = "http://www.w3.org/2000/svg"
_CLIP = re.compile(r"""(\bid="|url\(#)(clip\d+)""")
_LONG = re.compile(r"-?\d+\.\d{2,}")
_SIZES = ("d", "transform", "x", "y", "x2", "y2", "width", "height")


def is_here() -> bool:
    """Whether pictures can be drawn: vl-convert-python is installed."""
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        return False
    return True


def svg(spec: Mapping[str, Any], title: str) -> str:
    """The picture of a Vega-Lite specification; marks with a description show it as a tool tip.

    Raises ImportError where `is_here` is false.
    """
    import vl_convert

    root = Xml.fromstring(
        vl_convert.vegalite_to_svg(dict(spec), vl_version="5.20", allowed_base_urls=[])
    )
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("aria-hidden") == "true" and child.tag == f"{{{_SVG}}}path":
                parent.remove(child)
    for each in root.iter():
        _tidy(each)
    root.set("role", "img")
    root.set("aria-label", title)
    root.attrib.pop("class", None)
    Xml.register_namespace("", _SVG)
    return _named(Xml.tostring(root, encoding="unicode"), spec)


def _named(picture: str, spec: Mapping[str, Any]) -> str:
    """The names of clip paths, which count all pictures of a process, by what is drawn instead."""
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    known: dict[str, str] = {}
    return _CLIP.sub(
        lambda m: m[1] + known.setdefault(m[2], f"clip-{digest}-{len(known)}"), picture
    )


def _tidy(each: Xml.Element) -> None:
    """A description becomes a tool tip; positions have one digit behind the point."""
    said, role = each.get("aria-label"), each.get("aria-roledescription", "")
    for name in [n for n in each.attrib if n.startswith("aria-") or n in ("role", "class")]:
        del each.attrib[name]
    if said and each.tag != f"{{{_SVG}}}g" and not role.endswith("container"):
        tip = Xml.Element(f"{{{_SVG}}}title")
        tip.text = said
        each.insert(0, tip)
    for name in _SIZES:
        if name in each.attrib:
            each.attrib[name] = _LONG.sub(lambda m: f"{float(m[0]):.1f}", each.attrib[name])
    each.attrib.pop("pointer-events", None)
    if each.get("opacity") == "1":
        del each.attrib["opacity"]
