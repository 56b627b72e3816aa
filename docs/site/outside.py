"""Links from a page to files of the repository that are not in docs/.

With ``repo_url`` in mkdocs.yml they lead to the repository; without, the path stands in their
place. A link to a file that is not there is a warning, so that ``mkdocs build --strict`` fails.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

LOG = logging.getLogger("mkdocs.hooks.outside")
LINK = re.compile(r"\[([^\]\[]*)\]\(([^)\s:#]+)(#[^)\s]*)?\)")
"""Words, path and anchor of a link that is no URL."""


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    root = Path(config.docs_dir).parent
    folder = posixpath.join(Path(config.docs_dir).name, posixpath.dirname(page.file.src_uri))

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        if path.startswith(f"{Path(config.docs_dir).name}/"):
            return found[0]
        if path.startswith("..") or not (root / path).exists():
            LOG.warning("%s links to %s, and there is no such file", page.file.src_uri, target)
            return found[0]
        if config.repo_url:
            return f"[{words}]({config.repo_url.rstrip('/')}/blob/HEAD/{path}{anchor or ''})"
        return f"`{path}`" if words in path else f"{words} (`{path}`)"

    return LINK.sub(link, markdown)
