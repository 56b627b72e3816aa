"""What goes wrong, as one sentence on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from collections.abc import Iterable
from typing import Any, NoReturn

import click

from snncc.diagnostics import RULES, Exit, Finding, SnnccError


class Guarded(click.Command):
    """A command whose errors become sentences; ``--debug`` adds the traceback.

    The default of an option may stand in the environment: that of ``snncc simulate --samples`` in
    SNNCC_SIMULATE_SAMPLES. ``--quiet`` keeps notes, warnings and progress back, ``--verbose`` adds
    to each finding why it matters.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for each in self.params:
            if isinstance(each, click.Option) and each.envvar is None:
                option = max(each.opts, key=len).strip("-")
                each.envvar = f"SNNCC_{self.name}_{option}".replace("-", "_").upper()
        self.params += [
            click.Option(names, is_flag=True, expose_value=False, callback=_remember, help=help)
            for names, help in _FLAGS
        ]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except SnnccError as error:
            _trace(ctx)
            say(error.findings)
            ctx.exit(int(error.exit_code))
        except KeyboardInterrupt:
            _trace(ctx)
            interrupted(ctx)
        except BrokenPipeError:  # the reader of our output left, as in `snncc show … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(int(Exit.FINE))
        except Exception as error:
            _trace(ctx)
            what = " ".join(str(error).split()) or "no message"
            click.echo(
                f"internal error: {type(error).__name__}: {what}; this is a bug of snncc, please "
                "report it with the output of --debug",
                err=True,
            )
            ctx.exit(int(Exit.INTERNAL))


class Command(Guarded):
    """A leaf of the command line."""


def interrupted(ctx: click.Context, where: str = "") -> NoReturn:
    """End a command that was interrupted, with one line: "interrupted after 6 of 10 samples"."""
    click.echo(f"interrupted {where}".rstrip(), err=True)
    ctx.exit(int(Exit.INTERRUPTED))


_FLAGS = (
    (["-q", "--quiet"], "Print errors and results alone: no notes, no warnings, no progress."),
    (["-v", "--verbose"], "Say more: why each finding matters."),
    (["--debug"], "Show the traceback of an error."),
)
"""Of every command; `is_told` says which were given."""


def is_told(name: str) -> bool:
    """Whether the command was called with --quiet, --verbose or --debug, by that name."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().meta.get(f"snncc.{name}"))


def say(findings: Iterable[Finding]) -> None:
    """Findings on stderr, a line each: ``error[SNN305]: what and where; what to do``."""
    for finding in findings:
        if is_told("quiet") and not finding.is_error:
            continue
        place = str(finding.location) or finding.node
        where = f" at {place}" if place else ""
        line = f"{finding.severity.value}[{finding.code}]{where}: {finding.message}; {finding.help}"
        click.echo(" ".join(line.split()), err=True)
        if is_told("verbose"):
            why = " ".join(RULES[finding.code].why.split())
            click.echo(textwrap.indent(textwrap.fill(why, 96), "    "), err=True)


def _remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().meta[f"snncc.{parameter.name}"] = True


def _trace(ctx: click.Context) -> None:
    if is_told("debug"):
        click.echo(traceback.format_exc().rstrip(), err=True)
