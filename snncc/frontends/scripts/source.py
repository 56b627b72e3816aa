"""A Python file as a tree: names, constants, calls. Nothing in it is imported or run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from snncc.diagnostics import Location, refuse

Function = ast.FunctionDef | ast.AsyncFunctionDef
_WRAPPERS = ("DataParallel", "DistributedDataParallel", "compile")
_FLUENT = ("to", "cuda", "cpu", "eval", "train", "float", "double")


@dataclass(frozen=True)
class Value:
    """A value that stands in the file, and where: ``kind`` of place.

    "assigned" to a name, an "option" of the command line, an "entry" of a dict, or the "default" of
    an argument of some function.
    """

    value: Any
    line: int
    kind: Literal["assigned", "option", "entry", "default"] = "assigned"


@dataclass(frozen=True, eq=False)
class Source:
    """One file; ``module`` is the name by which it is imported."""

    path: Path
    module: str
    tree: ast.Module
    constants: Mapping[str, Value] = field(default_factory=dict)

    @property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    @property
    def functions(self) -> dict[str, Function]:
        return {node.name: node for node in self.tree.body if isinstance(node, Function)}

    def place(self, node: ast.AST | Value | int) -> str:
        """``file:line``."""
        line = node if isinstance(node, int) else getattr(node, "lineno", getattr(node, "line", 0))
        return f"{self.path.name}:{line}"

    def value_of(self, node: ast.expr | None, names: Mapping[str, Value] = {}) -> Any:
        """The number, text or tuple that an expression stands for, or None; ``names`` come before
        the constants of the file. An attribute (`args.T`, `self.T`) counts by its own name."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name | ast.Attribute):
            name = last_name(node)
            found = names.get(name) or self.constants.get(name)
            return None if found is None else found.value
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            found = self.constants.get(str(node.slice.value))
            return None if found is None else found.value
        if isinstance(node, ast.Tuple | ast.List):
            parts = tuple(self.value_of(each, names) for each in node.elts)
            return None if None in parts else parts
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            pair = (self.value_of(node.left, names), self.value_of(node.right, names))
            return pair[0] * pair[1] if all(type(each) is int for each in pair) else None
        return None


def read_source(path: Path, module: str = "") -> Source:
    """Raises SNN305 where the file cannot be read or is no Python."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except OSError as error:
        raise refuse("SNN305", f"{path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 0
        raise refuse(
            "SNN305",
            f"{path} is no Python file: {getattr(error, 'msg', error)}",
            Location(file=str(path), line=line),
            help="give the script that trains the network",
        ) from error
    return Source(path, module or path.stem, tree, _constants(tree))


def _constants(tree: ast.Module) -> dict[str, Value]:
    """Numbers and texts by name; what is assigned comes before options, entries and defaults.

    A name that is given several values, or one that is not written down, has none.
    """
    assigned: dict[str, list[Any]] = {}
    lines: dict[str, int] = {}
    weaker: dict[str, Value] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name, value in _named(target, node.value):
                    assigned.setdefault(name, []).append(literal(value))
                    lines.setdefault(name, node.lineno)
        elif isinstance(node, ast.AugAssign | ast.For | ast.NamedExpr):
            for name, _ in _named(node.target, None):
                assigned.setdefault(name, []).append(None)
        elif isinstance(node, ast.Call) and last_name(node.func) == "add_argument":
            default, action = keyword(node, "default"), literal(keyword(node, "action"))
            is_flag = action in ("store_true", "store_false")
            value = action == "store_false" if is_flag else literal(default)
            if value is not None:
                for name in _options(node):
                    weaker[name] = Value(value, node.lineno, "option")
        elif isinstance(node, Function):
            for name, found in defaults(node).items():
                weaker.setdefault(name, found)
        elif isinstance(node, ast.Dict):
            for key, entry in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(entry, ast.Constant):
                    found = Value(entry.value, entry.lineno, "entry")
                    before = weaker.get(str(key.value))
                    if before is None or before.kind == "default":
                        weaker[str(key.value)] = found
    once = {
        name: Value(values[0], lines[name])
        for name, values in assigned.items()
        if values[0] is not None and all(repr(each) == repr(values[0]) for each in values)
    }
    return {name: value for name, value in weaker.items() if name not in assigned} | once


def _named(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    """The names that an assignment sets, each with its value, if that stands there."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List):
        values: list[ast.expr | None] = [None] * len(target.elts)
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
            values = [*value.elts]
        for inner, each in zip(target.elts, values, strict=True):
            yield from _named(inner, each)


def literal(node: ast.expr | None) -> Any:
    """A number or a text that is written down, products included; else None."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        pair = literal(node.left), literal(node.right)
        return pair[0] * pair[1] if all(type(each) is int for each in pair) else None
    return None


def _options(call: ast.Call) -> list[str]:
    said = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    names = [str(each).lstrip("-").replace("-", "_") for each in said]
    dest = keyword(call, "dest")
    return [*names, *([str(dest.value)] if isinstance(dest, ast.Constant) else [])]


def defaults(function: Function) -> dict[str, Value]:
    """The arguments with a default that is written down as a number or a text."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    pairs: list[tuple[ast.arg, ast.expr | None]] = list(
        zip(positional[len(positional) - len(given.defaults) :], given.defaults, strict=True)
    )
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return {
        name.arg: Value(value.value, value.lineno, "default")
        for name, value in pairs
        if isinstance(value, ast.Constant) and value.value is not None
    }


def required(function: Function) -> list[str]:
    """The arguments without a default, those of `self` left out."""
    given = function.args
    positional = [arg.arg for arg in [*given.posonlyargs, *given.args]]
    needed = positional[: len(positional) - len(given.defaults)]
    pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    needed += [arg.arg for arg, default in pairs if default is None]
    return [name for name in needed if name not in ("self", "cls")]


def method(cls: ast.ClassDef, name: str) -> Function | None:
    return next((n for n in cls.body if isinstance(n, Function) and n.name == name), None)


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name, empty for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg in names), None)


def calls(*nodes: ast.AST) -> Iterator[ast.Call]:
    """All calls inside of ``nodes``, in the order of their lines."""
    found = [n for node in nodes for n in ast.walk(node) if isinstance(n, ast.Call)]
    yield from sorted(found, key=lambda call: (call.lineno, call.col_offset))


def outside_of_classes(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    return [node for node in body if not isinstance(node, ast.ClassDef)]


def unwrapped(node: ast.expr) -> ast.expr:
    """The expression without ``.to(device)``, ``.cuda()``, DataParallel and their like."""
    while isinstance(node, ast.Call):
        name = last_name(node.func)
        if name in _FLUENT and isinstance(node.func, ast.Attribute):
            node = node.func.value
        elif name in _WRAPPERS and node.args:
            node = node.args[0]
        else:
            break
    return node
