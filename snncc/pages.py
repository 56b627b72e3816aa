"""Pages of HTML from the templates beside the modules that fill them; how numbers are written."""

from __future__ import annotations

import html
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def filled(room: str, template: str, **values: object) -> str:
    """``template``, a file in the package ``room``, filled in; every value is escaped."""
    return _templates(room).get_template(template).render(values)


@cache
def _templates(room: str) -> jinja2.Environment:
    """The templates of a package, each compiled once."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(room, "."),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def count(number: float) -> str:
    """1,234 and 1.23 M and 1.23 G."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number:,.0f}"


def preformatted(text: str) -> str:
    """``text`` as it is, for a notebook."""
    return f"<pre>{html.escape(text)}</pre>"
