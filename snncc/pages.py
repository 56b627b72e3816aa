"""Pages of HTML from the templates beside the modules that fill them; how numbers are written."""

from __future__ import annotations


def filled(room: str, template: str, **values: object) -> str:
    """``template``, a file in the package ``room``, filled in; every value is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(room, "."),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals.update(values)
    return environment.get_template(template).render()


def count(number: float) -> str:
    """1,234 and 1.23 M and 1.23 G."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:.2f} {unit}"
    return f"{number:,.0f}"
