"""The pages of the reference, made from the code when the site is built."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click
from mkdocs.structure.files import File, Files

import snncc
from snncc import registry
from snncc.backends.base import Emits, Replays, Runs
from snncc.cli import main
from snncc.diagnostics.rules import CHAPTERS, Rule
from snncc.passes import base
from snncc.targets import targets
from snncc.targets.chip import Chip


def on_files(files: Files, *, config: Any) -> Files:
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def commands() -> str:
    """Every command with its options, as `--help` has them."""
    lines = ["# Commands", "", inspect.getdoc(main) or ""]
    for path, command in _commands("snncc", main):
        context = click.Context(command, info_name=path)
        usage = " ".join(command.collect_usage_pieces(context))
        lines += ["", f"## {path}", "", _block(f"{path} {usage}"), "", command.help or ""]
        options = [p for p in command.params if isinstance(p, click.Option)]
        records = [record for p in options if (record := p.get_help_record(context))]
        rows = ((f"`{_cell(names)}`", _cell(meaning)) for names, meaning in records)
        lines += ["", *_table(("option", "meaning"), rows)]
    return "\n".join(lines)


def _commands(path: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def rules() -> str:
    """Every rule, by chapter, as `snncc explain` says it."""
    said = "A finding cites one of these rules. `snncc explain CODE` prints the same on a terminal."
    lines = ["# Rules", "", said]
    for chapter, found in CHAPTERS.items():
        lines += ["", f"## {chapter}"]
        for rule in found:
            lines += ["", *_rule(rule)]
    return "\n".join(lines)


def _rule(rule: Rule) -> Iterator[str]:
    yield f"### {rule.code} {rule.name} {{#{rule.code.lower()}}}"
    parts = (
        ("Severity", rule.severity.value),
        ("What it does", rule.what),
        ("Why it matters", rule.why),
        ("Example", rule.example and _block(rule.example, "python")),
        ("Instead", rule.after and _block(rule.after, "python")),
        ("What to do", rule.help),
    )
    for title, text in parts:
        if text:
            yield from ("", f"**{title}**", "", text)


def passes() -> str:
    """Every pass, with its options and its rules as its module numbers them."""
    said = (
        "What a compilation goes through. A pass with options is written `name{option=value}`. "
        "`snncc passes --target NAME` lists those of a target, in order."
    )
    lines = ["# Passes", "", said]
    for name in base.names():
        each = base.find(name)
        lines += ["", f"## {name}", "", f"{each.reads.__name__} → {each.writes.__name__}. "]
        lines[-1] += each.summary
        lines += _options(each)
        lines += _documentation(inspect.getmodule(each), each)
    return "\n".join(lines)


def backends() -> str:
    """Every backend, with its options and what it does."""
    said = (
        "What a program runs on: `snncc simulate --backend NAME`, or `NAME{option=value}`. "
        "[Write your own](../how-to/backend.md)."
    )
    lines = ["# Backends", "", said]
    does: Mapping[str, Callable[[Any], bool]] = {
        "writes a package": lambda each: isinstance(each, Emits),
        "runs it": lambda each: isinstance(each, Runs),
        "replays spikes on a chip": lambda each: isinstance(each, Replays),
    }
    for name in registry.names(registry.BACKENDS):
        each = registry.find(registry.BACKENDS, name)
        done = [words for words, test in does.items() if test(each())]
        lines += ["", f"## {name}", "", "; ".join([f"Takes a {each.takes.__name__}", *done]) + "."]
        lines += _options(each)
        lines += _documentation(each)
    return "\n".join(lines)


def _options(part: Any) -> list[str]:
    options = registry.options(part)
    if not options:
        return ["", "No options."]
    shown = [f"`{f.default}`" if f.default != "" else "none" for f in options]
    rows = ((f"`{f.name.replace('_', '-')}`", text) for f, text in zip(options, shown, strict=True))
    return ["", *_table(("option", "default"), rows)]


def _documentation(*things: object) -> Iterator[str]:
    for thing in things:
        if said := inspect.getdoc(thing):
            yield from ("", _block(said))


def machines() -> str:
    """Every target, each constant with its value, unit, meaning and source."""
    said = (
        "What a network can be compiled for: `snncc compile --target NAME`. "
        "[Describe your own chip](../targets.md). Every constant has a source, or is marked as "
        "assumed."
    )
    lines = ["# Targets and constants", "", said, "", "## What a chip is", *_documentation(Chip)]
    meanings = _meanings()
    for target in targets():
        lines += ["", f"## {target.name}", "", f"{target.title[0].upper()}{target.title[1:]}.", ""]
        lines += [f"Backends: {', '.join(target.backends)}.", ""]
        lines += [f"Passes of its own: {', '.join(target.passes) or 'none'}."]
        if target.constants:
            head = ("constant", "value", "unit", "meaning", "source")
            rows = (
                (f"`{c.name}`", f"{c.value:,.10g}", c.unit, meanings.get(c.name, ""), c.source)
                for c in target.constants
            )
            lines += ["", *_table(head, (map(_cell, row) for row in rows))]
    return "\n".join(lines)


def _meanings() -> dict[str, str]:
    """What is written below the fields of a chip, by their names."""
    (chip,) = ast.parse(inspect.getsource(Chip)).body
    assert isinstance(chip, ast.ClassDef)
    found = {}
    for node, after in zip(chip.body, chip.body[1:], strict=False):
        match node, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = text
    return found


def python() -> str:
    """What `import snncc` offers."""
    lines = ["# Python", "", "What `import snncc` offers."]
    for module, names in ((snncc, snncc.__all__), (snncc.nn, snncc.nn.__all__)):
        if module is snncc.nn:
            lines += ["", "## snncc.nn", "", inspect.getdoc(snncc.nn) or ""]
        for name in names:
            thing = getattr(module, name)
            if inspect.ismodule(thing):
                continue
            path = f"{module.__name__}.{name}"
            lines += ["", f"### {path}", "", _block(_signature(path, thing), "python")]
            lines += _documentation(thing)
    return "\n".join(lines)


def _signature(path: str, thing: Any) -> str:
    """How to call ``thing``, with its annotations as they are written in the code."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return path
    parameters = [
        each.replace(annotation=_Written(each.annotation))
        if isinstance(each.annotation, str)
        else each
        for each in found.parameters.values()
    ]
    result = found.return_annotation
    written = found.replace(
        parameters=parameters,
        return_annotation=_Written(result) if isinstance(result, str) else result,
    )
    return path + re.sub(r"<[^>]*>", "…", str(written))


class _Written(str):
    """An annotation, shown without quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def _block(text: str, language: str = "text") -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}{language}\n{text}\n{fence}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = tuple(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    """``text`` in one cell of a table, without meaning to Markdown."""
    text = " ".join(text.split())
    return text.replace("|", "&#124;").replace("<", "&lt;").replace("*", "\\*")


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "rules": rules,
    "passes": passes,
    "backends": backends,
    "targets": machines,
    "python": python,
}
