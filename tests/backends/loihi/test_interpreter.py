"""Finding, making and leaving Lava's interpreter. Stand-ins play Lava where the point is ours."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from pathlib import Path

import pytest

from snncc.backends.loihi import interpreter
from snncc.diagnostics import Exit, SnnccError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place for the interpreter where none is yet."""
    folder = tmp_path / "cache" / "lava"
    monkeypatch.setenv("SNNCC_LAVA_HOME", str(folder))
    return folder


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without pyenv, uv and conda, and an empty folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    return folder


@pytest.fixture
def this_python(home, monkeypatch):
    """`run` with the interpreter of the tests in place of Lava's."""
    monkeypatch.setattr(interpreter, "ready", lambda: Path(sys.executable))


def command(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def python_3_10(path: Path) -> Path:
    """A command that answers the version question as a Python 3.10 would."""
    return command(path, f"echo {path}")


# find_python


def test_a_python_on_path_is_found(bare):
    assert interpreter.find_python() is None
    expected = python_3_10(bare / "python3.10")
    assert interpreter.find_python() == expected


def test_a_shim_that_refuses_gives_way_to_pyenv(bare, tmp_path, monkeypatch):
    command(bare / "python3.10", "echo 'command not found' >&2; exit 127")
    expected = python_3_10(tmp_path / "pyenv/versions/3.10.13/bin/python")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert interpreter.find_python() == expected


def test_pyenv_is_asked_for_its_root(bare, tmp_path):
    command(bare / "pyenv", f'[ "$1" = root ] && echo {tmp_path}/elsewhere')
    expected = python_3_10(tmp_path / "elsewhere/versions/3.10.1/bin/python")
    assert interpreter.find_python() == expected


def test_uv_is_asked(bare, tmp_path):
    expected = python_3_10(tmp_path / "uv/python")
    command(bare / "uv", f'[ "$*" = "python find 3.10" ] && echo {expected}')
    assert interpreter.find_python() == expected


def test_conda_environments_are_tried_until_one_is_right(bare, tmp_path):
    command(tmp_path / "envs/other/bin/python", "true")
    expected = python_3_10(tmp_path / "envs/right/bin/python")
    listing = f'{{"envs": ["{tmp_path}/envs/other", "{tmp_path}/envs/right"]}}'
    command(bare / "conda", f"echo '{listing}'")
    assert interpreter.find_python() == expected


def test_conda_that_prints_no_json_is_no_answer(bare):
    command(bare / "conda", "echo 'please run conda init'")
    assert interpreter.find_python() is None


def test_another_version_of_that_name_is_refused(bare):
    (bare / "python3.10").symlink_to(sys.executable)
    assert interpreter.find_python() is None


# interpreter_home


def test_home_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("SNNCC_LAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert interpreter.interpreter_home() == tmp_path / "snncc" / "lava-0.10.0"


def test_home_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("SNNCC_LAVA_HOME", str(tmp_path / "mine"))
    assert interpreter.interpreter_home() == tmp_path / "mine"


# set_up


@pytest.fixture
def small_lava(tmp_path, monkeypatch):
    """A wheel that answers as lava-nc does and weighs nothing, to be installed in our Python."""
    wheel = tmp_path / "lava_nc-0.10.0-py3-none-any.whl"
    info = "lava_nc-0.10.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for module in ("", "magma/", "magma/core/", "proc/", "proc/lif/"):
            archive.writestr(f"lava/{module}__init__.py", "")
        archive.writestr("lava/magma/core/run_configs.py", "")
        archive.writestr("lava/proc/lif/models.py", "")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: lava-nc\nVersion: 0.10.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setattr(interpreter, "REQUIREMENTS", ("--no-index", str(wheel)))
    monkeypatch.setattr(interpreter, "find_python", lambda: Path(sys.executable))
    return wheel


@pytest.mark.slow
def test_set_up_builds_once(home, small_lava, monkeypatch):
    assert interpreter.ready() is None
    python = interpreter.set_up()
    assert python == interpreter.ready() == home / "bin" / "python"
    assert [path.name for path in home.parent.iterdir() if path.is_dir()] == ["lava"]
    monkeypatch.setattr(interpreter, "find_python", lambda: pytest.fail("built twice"))
    assert interpreter.set_up() == python


@pytest.mark.slow
def test_set_up_repairs_a_broken_environment(home, small_lava):
    (home / "bin").mkdir(parents=True)
    (home / "pyvenv.cfg").write_text("")
    (home / "bin" / "python").symlink_to("/nowhere/python3.10")
    assert interpreter.ready() is None
    assert interpreter.set_up() == interpreter.ready()


@pytest.mark.slow
def test_of_two_builders_one_builds(home, small_lava, monkeypatch):
    builds = []
    build = interpreter._build
    monkeypatch.setattr(interpreter, "_build", lambda *a: (builds.append(a), build(*a)))
    threads = [threading.Thread(target=interpreter.set_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert interpreter.ready()


@pytest.mark.slow
def test_a_build_that_fails_leaves_nothing_and_says_why(home, small_lava, monkeypatch):
    monkeypatch.setattr(interpreter, "REQUIREMENTS", ("--no-index", "no-such-package"))
    with pytest.raises(SnnccError, match="SNN317.*no-such-package"):
        interpreter.set_up()
    assert not [path for path in home.parent.iterdir() if path.is_dir()]


def test_a_build_that_takes_too_long_is_stopped(home, small_lava, monkeypatch, tmp_path):
    slow = command(tmp_path / "slow-python", "sleep 60")
    monkeypatch.setattr(interpreter, "find_python", lambda: slow)
    with pytest.raises(SnnccError, match=r"SNN317.*longer than 0.2 s"):
        interpreter.set_up(timeout=0.2)
    assert not home.exists()


def test_someone_elses_folder_is_left_alone(home, small_lava):
    home.mkdir(parents=True)
    letter = home / "letter.txt"
    letter.write_text("mine")
    with pytest.raises(SnnccError, match="SNN317.*neither empty nor a virtual environment"):
        interpreter.set_up()
    assert letter.read_text() == "mine"


def test_no_python_3_10_is_one_sentence(home, monkeypatch, capsys):
    monkeypatch.setattr(interpreter, "find_python", lambda: None)
    assert interpreter.main() == Exit.BAD_INPUT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("SNN317: Lava needs a Python 3.10")
    assert printed.err.count("\n") == 1


# run


def test_run_captures_output_and_exit_code(this_python, tmp_path):
    program = "import os, sys; print(os.getcwd()); sys.stderr.write('why'); sys.exit(3)"
    done = interpreter.run(["-c", program], timeout=30, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "why")


def test_run_hides_our_own_python_path(this_python, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/from/the/tests")
    done = interpreter.run(["-c", "import sys; print(sys.path)"], timeout=30)
    assert "/from/the/tests" not in done.stdout


def test_run_without_an_interpreter_says_so(home):
    with pytest.raises(SnnccError, match="SNN317: there is no Lava interpreter in"):
        interpreter.run(["-c", ""], timeout=30)


def test_run_asks_an_interpreter_once_whether_it_is_ready(home, monkeypatch):
    asked = home.parent / "asked"
    version = f'echo "$2" >> {asked}; [ "$2" = -c ] && echo {interpreter.LAVA}'
    python = command(home / "bin" / "python", version)
    for _ in range(3):
        assert interpreter.run(["-I", "-c", ""], timeout=30).returncode == 0
    assert len(asked.read_text().split()) == 4
    python.unlink()
    with pytest.raises(SnnccError, match="SNN317: there is no Lava interpreter in"):
        interpreter.run(["-c", ""], timeout=30)


FAMILY = textwrap.dedent("""
    import multiprocessing, os, sys, time
    from multiprocessing.managers import SharedMemoryManager

    def wait():
        time.sleep(600)

    if __name__ == "__main__":
        manager = SharedMemoryManager()
        manager.start()
        segment = manager.SharedMemory(4096)
        for _ in range(3):
            multiprocessing.get_context("fork").Process(target=wait).start()
        with open(sys.argv[1], "w") as note:
            note.write(f"{os.getpgid(0)} {segment.name}")
        ENDING
""")

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@linux
@pytest.mark.slow
@pytest.mark.parametrize("ending", ["time.sleep(600)", "os._exit(7)"])
def test_no_process_and_no_shared_memory_is_left(this_python, tmp_path, ending):
    program, note = tmp_path / "program.py", tmp_path / "note"
    program.write_text(FAMILY.replace("ENDING", ending))
    started = time.monotonic()
    if "sleep" in ending:
        with pytest.raises(SnnccError, match="SNN317.*still running after 2 s and was stopped"):
            interpreter.run([str(program), str(note)], timeout=2)
    else:
        assert interpreter.run([str(program), str(note)], timeout=60).returncode == 7
    assert time.monotonic() - started < 20
    group, segment = note.read_text().split()
    assert interpreter._members(int(group)) == []
    assert not Path("/dev/shm", segment).exists()


LAVA_PROGRAM = textwrap.dedent("""
    from lava.magma.core.run_conditions import RunContinuous
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.dense.process import Dense
    from lava.proc.lif.process import LIF
    import numpy as np, os, sys, time

    first, synapse, second = LIF(shape=(1,), bias_mant=1), Dense(weights=np.eye(1)), LIF(shape=(1,))
    first.s_out.connect(synapse.s_in)
    synapse.a_out.connect(second.a_in)
    second.run(RunContinuous(), run_cfg=Loihi2SimCfg(select_tag="floating_pt"))
    with open(sys.argv[1], "w") as note, open("/proc/self/maps") as maps:
        segments = {line.split()[-1] for line in maps if "/dev/shm/psm_" in line}
        note.write(" ".join([str(os.getpgid(0)), *segments]))
    time.sleep(600)
""")


@linux
@pytest.mark.lava
def test_a_lava_program_that_never_stops_is_stopped(lava, tmp_path):
    program, note = tmp_path / "program.py", tmp_path / "note"
    program.write_text(LAVA_PROGRAM)
    with pytest.raises(SnnccError, match="was stopped"):
        interpreter.run([str(program), str(note)], timeout=15)
    group, *segments = note.read_text().split()
    assert interpreter._members(int(group)) == []
    assert segments
    assert not [segment for segment in segments if Path(segment).exists()]


@pytest.mark.lava
def test_lava_is_the_version_we_emit_for(lava):
    done = interpreter.run(["-m", "pip", "list", "--format", "freeze"], timeout=60)
    assert set(interpreter.REQUIREMENTS) <= set(done.stdout.split())


@pytest.mark.lava
@pytest.mark.slow
def test_the_module_itself_says_where_it_is(lava):
    done = subprocess.run(
        [sys.executable, "-m", "snncc.backends.loihi.interpreter"], capture_output=True, text=True
    )
    assert done.stdout == f"Lava's interpreter: {lava}\n"
