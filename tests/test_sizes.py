"""A function fits on a screen: one with a longer body says why in its docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

import snncc

ROOT = Path(snncc.__file__).parent
MOST = 60
"""Lines of a body, the docstring and the signature left out."""
WHY = "long for it"
"""The words of a docstring that says why a body is longer."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All but those inside of others, whose lines are lines of the outer one."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            yield from functions(node)


def body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    rest = function.body[ast.get_docstring(function) is not None :]
    return rest[-1].end_lineno - rest[0].lineno + 1 if rest else 0


def test_no_function_is_long_without_a_reason():
    long = {}
    for path in ROOT.rglob("*.py"):
        for function in functions(ast.parse(path.read_text(encoding="utf-8"))):
            said = ast.get_docstring(function) or ""
            if body(function) > MOST and WHY not in " ".join(said.split()):
                long[f"{path.relative_to(ROOT)}: {function.name}"] = body(function)
    assert not long
