"""Progress bars: what they say on a terminal, and that a pipe gets none."""

import os
import pty
import re
import subprocess
import sys
import textwrap

import pytest

from snncc.cli.progress import pace

RUN = textwrap.dedent("""
    import time
    from snncc.cli.progress import adding, bars, counted
    with bars("simulating", "in Lava") as (here, in_lava):
        more = adding(here, 2000)
        for _ in range(6):
            time.sleep(0.1)
            more(100)
        time.sleep(0.3)
    with counted("compiling", 3) as advance:
        advance(3)
    print("done")
""")


def on_terminal(code: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 1 << 16):
            said += more
    except OSError:  # how a terminal on Linux ends
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return said.decode()


def test_a_terminal_shows_how_many_how_fast_and_how_long():
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_terminal(RUN))
    assert "0/2000" in said
    rates = re.findall(r"simulating \S* +600/2000 ([\d.]+)/s, 0:\d\d:\d\d left", said)
    assert rates
    assert 0 < float(rates[-1]) < 1000
    assert "3/3" in said
    assert "in Lava" not in said  # was told nothing
    assert said.endswith("done\r\n")


def test_a_pipe_gets_nothing():
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize(
    ("done", "total", "spent", "since", "said"),
    [
        (0, 100, 0.0, 5.0, ""),
        (0, 100, 9.0, 0.0, ""),
        (10, 100, 1.0, 0.0, "10/s, 0:00:09 left"),
        (10, 100, 1.0, 4.0, "10/s, 0:00:05 left"),
        (10, 100, 1.0, 40.0, "10/s, 0:00:00 left"),
        (100, 100, 30.0, 0.0, "3.33/s, 0:00:00 left"),
        (1000, 3_000_000, 0.5, 0.0, "2,000/s, 0:25:00 left"),
        (1, 100_000, 2.0, 0.0, "0.5/s, 2 days, 7:33:18 left"),
    ],
)
def test_pace(done, total, spent, since, said):
    assert pace(done, total, spent, since) == said
