"""snncc init: a command line for a script or a checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snncc.cli.errors import Command

if TYPE_CHECKING:
    from snncc.frontends.scripts.proposal import Proposal


@click.command("init", cls=Command)
@click.argument("path", metavar="SCRIPT|CHECKPOINT", type=click.Path(path_type=Path))
@click.option(
    "--allow-import",
    is_flag=True,
    help="Import the script and call its network, in a process of its own.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Of that process.",
)
def command(path: Path, allow_import: bool, time_limit: float) -> None:
    """Propose a command line for a training script (.py) or a checkpoint (.pt, .pth).

    The file is read and not run. Below the command stands where each part comes from and what was
    assumed. Words in capital letters are left to you.
    """
    proposal = _proposal(path)
    if allow_import:
        proposal = _tried(proposal, time_limit)
    click.echo("\n".join(lines(proposal)))


def _proposal(path: Path) -> Proposal:
    if path.suffix.lower() in (".pt", ".pth"):
        from snncc.frontends.scripts.checkpoint import survey_checkpoint

        return survey_checkpoint(path)
    from snncc.diagnostics import refuse

    if path.suffix.lower() != ".py":
        reason = "is neither a script nor a .pt" if path.exists() else "does not exist"
        raise refuse("SNN305", f"{path} {reason}", help="give a .py, .pt or .pth")
    from snncc.frontends.scripts.script import survey

    return survey(path)


def _tried(proposal: Proposal, seconds: float) -> Proposal:
    """The proposal with what the factory says when it is called."""
    from snncc.diagnostics import refuse
    from snncc.frontends.scripts.trial import call_factory

    name, _ = proposal.file
    if ":" not in proposal.model or (name and not Path(proposal.folder, name).is_file()):
        what = f"write {name} first" if name else "the proposal has no factory to call"
        raise refuse("SNN316", f"--allow-import calls {proposal.model}: {what}")
    options = proposal.options
    weights = options[options.index("--weights") + 1] if "--weights" in options else ""
    there = Path(proposal.folder, weights).is_file()
    found = call_factory(proposal.model, weights if there else "", proposal.folder, seconds)
    return replace(proposal, facts=(*proposal.facts, *found))


def lines(proposal: Proposal) -> list[str]:
    """The proposal as people read it."""
    name, text = proposal.file
    said = [f"cd {proposal.folder}"] if proposal.folder else []
    if name:
        said += [f"cat > {name} <<'END'", *text.splitlines(), "END"]
    said += [*proposal.commands, ""]
    rows = [("what", "value", "from"), *((f.what, f.value, f.origin) for f in proposal.facts)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    said += [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    if proposal.to_do:
        said += ["", "left to you:", *(f"  - {each}" for each in proposal.to_do)]
    return ["".join(char if char.isprintable() else "?" for char in line) for line in said]
