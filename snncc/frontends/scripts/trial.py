"""A factory that is imported and called in a process of its own, when the user allows it.

    python -m snncc.frontends.scripts.trial SPEC WEIGHTS OUT.json

OUT.json gets the facts, or the findings of what went wrong; WEIGHTS may be empty.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from snncc.diagnostics import Finding, SnnccError, refuse
from snncc.frontends.scripts.proposal import Fact


def call_factory(spec: str, weights: str, folder: str, seconds: float) -> tuple[Fact, ...]:
    """What the network of a factory has, parameters and parts, its weights loaded if there are any.

    Raises SNN313 and SNN314 where the factory is not there or does not work, SNN305 where the
    weights do not fit, SNN314 where it takes longer than ``seconds``.
    """
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out.json"
        command = [sys.executable, "-m", "snncc.frontends.scripts.trial", spec, weights, str(out)]
        process = subprocess.Popen(
            command,
            cwd=folder or None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            help = 'put what trains under `if __name__ == "__main__":`, or raise --time-limit'
            message = f"importing and calling `{spec}` took longer than {seconds:g} s"
            raise refuse("SNN314", message, help=help) from error
        finally:
            _end(process)
        if not out.is_file():
            raise refuse("SNN314", f"importing and calling `{spec}` ended the process")
        said = json.loads(out.read_text(encoding="utf-8"))
    if "findings" in said:
        raise SnnccError(Finding(f["code"], f["message"], help=f["help"]) for f in said["findings"])
    origin = f"{spec} was called"
    return tuple(Fact(what, value, origin) for what, value in said["facts"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _called(spec: str, weights: str) -> list[tuple[str, str]]:
    from snncc.frontends.checkpoints import open_model

    module = open_model(spec, weights=weights or None).module
    facts = [("parameters", f"{sum(each.numel() for each in module.parameters()):,}")]
    shapes = [(name, each) for name, each in module.named_parameters() if each.dim() >= 2]
    if shapes:
        name, tensor = shapes[0]
        facts.append(("first weight", f"{name} {tuple(tensor.shape)}"))
    if weights:
        facts.append(("weights fit", weights))
    return facts


def main() -> None:
    spec, weights, out = sys.argv[1:]
    try:
        said: dict[str, object] = {"facts": _called(spec, weights)}
    except SnnccError as error:
        said = {
            "findings": [
                {"code": each.code, "message": each.message, "help": each.help}
                for each in error.findings
            ]
        }
    Path(out).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main()
