"""Pages of HTML from the templates beside the modules that fill them."""

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
