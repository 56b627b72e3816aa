"""What a rule is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from inspect import cleandoc


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Rule:
    """A rule a finding can cite.

    ``help`` is the default what-to-do; ``what``, ``why`` and ``example`` are the documentation
    that ``snncc explain CODE`` prints under fixed headings, ``after`` the example as it should be;
    a note has none. They may be indented as the code around them is.
    """

    code: str
    name: str
    severity: Severity
    help: str
    what: str = ""
    why: str = ""
    example: str = ""
    after: str = ""

    def __post_init__(self) -> None:
        for field in ("what", "why", "example", "after"):
            object.__setattr__(self, field, cleandoc(getattr(self, field)))
