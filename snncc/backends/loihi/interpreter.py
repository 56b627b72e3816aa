"""Lava's own interpreter: where it is, how it is made, how a program runs in it.

lava-nc needs Python 3.10 and a numpy older than ours, so it never shares a process with snncc: it
lives in a virtual environment of its own, in the user's cache folder or where ``SNNCC_LAVA_HOME``
says. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from snncc.diagnostics import SnnccError, refuse

__all__ = ["find_python", "interpreter_home", "main", "ready", "run", "set_up"]

LAVA = "0.10.0"
REQUIREMENTS = (
    f"lava-nc=={LAVA}",
    "asteval==0.9.33",
    "cloudpickle==3.1.2",
    "joblib==1.6.0",
    "networkx==2.8.7",
    "numpy==1.26.4",
    "scikit-learn==1.7.2",
    "scipy==1.15.3",
    "threadpoolctl==3.8.0",
)

_IS_PYTHON_3_10 = """
import sys, venv, ensurepip
if sys.version_info[:2] == (3, 10): print(sys.executable)
"""
_LAVA_VERSION = """
import importlib.metadata, lava.magma.core.run_configs, lava.proc.lif.models
print(importlib.metadata.version("lava-nc"))
"""


def find_python() -> Path | None:
    """A Python 3.10 that runs and can make virtual environments, or None.

    Looks on PATH, then in pyenv, uv and conda. Each candidate is run: a pyenv shim of the right
    name may refuse, and a system Python may come without ``ensurepip``.
    """
    for candidate in _candidates():
        if path := _output(candidate, "-I", "-c", _IS_PYTHON_3_10):
            return Path(path)
    return None


def interpreter_home() -> Path:
    """The folder of Lava's virtual environment, whether or not it exists."""
    if home := os.environ.get("SNNCC_LAVA_HOME"):
        return Path(home).expanduser().absolute()
    if cache := os.environ.get("XDG_CACHE_HOME"):
        caches = Path(cache)
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path.home() / ".cache"
    return caches / "snncc" / f"lava-{LAVA}"


_SEEN: set[Path] = set()
"""Interpreters that have imported the right Lava since this process began."""


def ready() -> Path | None:
    """The interpreter, if it is there and imports the right Lava; takes about a second."""
    python = interpreter_home() / "bin" / "python"
    if _output(str(python), "-I", "-c", _LAVA_VERSION) == LAVA:
        _SEEN.add(python)
        return python
    _SEEN.discard(python)
    return None


def set_up(*, timeout: float = 900) -> Path:
    """The interpreter, made first where it is missing: about 300 MB, once.

    It is built beside its place and moved there when whole, so an interrupted build leaves nothing
    that looks finished; of several builders at a time the others wait for the first.

    Raises SNN317 where there is no Python 3.10, where the packages cannot be installed within
    ``timeout`` seconds, and where the folder holds something else.
    """
    if python := ready():
        return python
    base = find_python()
    if base is None:
        raise refuse(
            "SNN317",
            "Lava needs a Python 3.10 with the venv module, and there is none on PATH or in "
            "pyenv, uv or conda",
        )
    home = interpreter_home()
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(home):
            if python := ready():
                return python
            _build(home, base, timeout)
    except OSError as error:
        raise refuse("SNN317", f"Lava's interpreter cannot be made in {home}: {error}") from error
    if python := ready():
        return python
    raise refuse("SNN317", f"Lava was installed in {home} and cannot be imported there")


def run(
    arguments: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    on_line: Callable[[str], object] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Lava's interpreter with ``arguments`` and capture what it prints.

    ``on_line`` is given each line that it prints on stdout while it runs, some time later.

    A Lava program is many processes, and one that fails leaves the others waiting. So it gets a
    process group of its own, and when it ends, by itself or at ``timeout`` seconds, every process
    of the group is gone, and so are its shared-memory segments (Linux) and temporary files.

    Raises SNN317 where the interpreter is not ready and at the time limit. An exit code other than
    0 is the caller's to judge.
    """
    known = interpreter_home() / "bin" / "python"
    python = known if known in _SEEN and known.exists() else ready()
    if python is None:
        raise refuse("SNN317", f"there is no Lava interpreter in {interpreter_home()}")
    try:
        return _run([str(python), *arguments], timeout, cwd, on_line)
    except subprocess.TimeoutExpired:
        raise refuse(
            "SNN317",
            f"the Lava program was still running after {timeout:g} s and was stopped",
            help="allow it more time, simulate fewer samples, or choose another backend",
        ) from None


def main() -> int:
    """Set the interpreter up and say where it is, or why there is none."""
    try:
        print(f"Lava's interpreter: {set_up()}")
    except SnnccError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


def _candidates() -> Iterator[str]:
    yield "python3.10"
    if root := os.environ.get("PYENV_ROOT") or _output("pyenv", "root"):
        yield from map(str, sorted(Path(root).glob("versions/3.10*/bin/python")))
    if path := _output("uv", "python", "find", "3.10"):
        yield path
    for environment in _conda_environments():
        yield str(Path(environment) / "bin" / "python")


def _conda_environments() -> list[str]:
    with suppress(ValueError, KeyError, TypeError):
        return [str(path) for path in json.loads(_output("conda", "env", "list", "--json"))["envs"]]
    return []


def _output(*command: str) -> str:
    """What the command prints, or nothing where it is missing, fails or hangs."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=60,
        ).stdout.strip()
    return ""


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    with home.with_name(f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(home: Path, base: Path, timeout: float) -> None:
    if home.exists() and not (home / "pyvenv.cfg").exists() and any(home.iterdir()):
        raise refuse(
            "SNN317",
            f"{home} is neither empty nor a virtual environment, so Lava cannot be installed there",
            help="point SNNCC_LAVA_HOME to another folder",
        )
    deadline = time.monotonic() + timeout
    fresh = home.with_name(f"{home.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    try:
        for command in (
            [str(base), "-m", "venv", str(fresh)],
            [str(fresh / "bin" / "python"), *install, *REQUIREMENTS],
        ):
            try:
                done = _run(command, deadline - time.monotonic())
            except subprocess.TimeoutExpired:
                message = f"installing Lava in {home} took longer than {timeout:g} s"
                raise refuse("SNN317", message) from None
            if done.returncode:
                reason = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2]
                raise refuse("SNN317", f"installing Lava in {home} failed: {reason}")
        shutil.rmtree(home, ignore_errors=True)
        fresh.rename(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _run(
    command: list[str],
    timeout: float,
    cwd: Path | None = None,
    on_line: Callable[[str], object] | None = None,
) -> subprocess.CompletedProcess[str]:
    """``subprocess.run`` that leaves nothing behind; output goes to files, because a pipe stays
    open as long as any forgotten child lives."""
    with tempfile.TemporaryDirectory(prefix="snncc-", ignore_cleanup_errors=True) as scratch:
        stdout, stderr = Path(scratch, "stdout"), Path(scratch, "stderr")
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=_environment(scratch),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                process_group=0,
            )
            try:
                returncode = _wait(process, timeout, stdout, on_line or (lambda line: None))
                # The trackers of multiprocessing outlive the program: let them clean up.
                _wait_for_group(process.pid, seconds=2)
            finally:
                _end_group(process.pid)
                process.wait()
        return subprocess.CompletedProcess(
            command,
            returncode,
            stdout.read_text(encoding="utf-8", errors="replace"),
            stderr.read_text(encoding="utf-8", errors="replace"),
        )


def _wait(
    process: subprocess.Popen[bytes],
    timeout: float,
    stdout: Path,
    on_line: Callable[[str], object],
) -> int:
    """The exit code; meanwhile ``on_line`` hears what is new in ``stdout``."""
    deadline = time.monotonic() + timeout
    with stdout.open(encoding="utf-8", errors="replace") as said:
        unfinished = ""
        while True:
            left = deadline - time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                return process.wait(min(0.5, max(left, 0)))
            *lines, unfinished = (unfinished + said.read()).split("\n")
            for line in lines:
                on_line(line)
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, timeout)


def _environment(scratch: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # One process per population: threads inside each would only fight over the cores.
    return ours | {"TMPDIR": scratch, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _wait_for_group(group: int, *, seconds: float) -> None:
    """Wait until no process of the group is left, at most so long."""
    deadline = time.monotonic() + seconds
    while _members(group) and time.monotonic() < deadline:
        time.sleep(0.02)


def _end_group(group: int) -> None:
    """Kill every process of the group and unlink the shared memory they still map."""
    gone = suppress(ProcessLookupError, PermissionError)
    with gone:
        os.killpg(group, signal.SIGSTOP)  # so that no segment appears between look and kill
    segments = {path for member in _members(group) for path in _shared_memory(member)}
    with gone:
        os.killpg(group, signal.SIGKILL)
    _wait_for_group(group, seconds=10)
    for path in segments:
        path.unlink(missing_ok=True)


def _members(group: int) -> list[int]:
    """The live processes of a group; none where the system has no /proc."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                members.append(int(stat.parent.name))
    return members


def _shared_memory(process: int) -> Iterator[Path]:
    """The POSIX segments made by multiprocessing that a process maps."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            *_, path = line.split(maxsplit=5)
            if path.startswith("/dev/shm/psm_") and not path.endswith("(deleted)"):
                yield Path(path)


if __name__ == "__main__":
    sys.exit(main())
