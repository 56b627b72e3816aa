"""The part of a script that runs only when it is started, not when it is imported."""

from __future__ import annotations

import ast


def is_guard(statement: ast.stmt) -> bool:
    """Whether it is ``if __name__ == "__main__":``, with nothing behind an else."""
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    words = ast.unparse(statement.test).replace('"', "'")
    return words in ("__name__ == '__main__'", "'__main__' == __name__")
