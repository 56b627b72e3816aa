"""Pages of HTML from the templates beside the modules that fill them."""

from __future__ import annotations

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
