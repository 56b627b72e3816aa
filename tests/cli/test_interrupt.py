"""Ctrl-C: one line, exit code 130 and no traceback."""

import pytest

COMMAND = """
    import click, time
    from snncc.cli.errors import Command, interrupted

    @click.command(cls=Command)
    def command():
        {body}

    command()
"""


def test_any_command_says_so_in_a_line(interrupted, tmp_path):
    code = COMMAND.format(body="print('ready', flush=True); time.sleep(60)")
    assert interrupted(code, tmp_path) == (130, "", "interrupted\n")


def test_the_traceback_is_there_for_who_asks(interrupted, tmp_path):
    code = COMMAND.format(body="print('ready', flush=True); time.sleep(60)")
    returned, out, err = interrupted(code, tmp_path, "--debug")
    assert (returned, out) == (130, "")
    assert err.startswith("Traceback")
    assert err.endswith("KeyboardInterrupt\ninterrupted\n")


def test_a_command_may_say_what_it_has_so_far(interrupted, tmp_path):
    body = """
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("accuracy 50%")
            interrupted(click.get_current_context(), "after 6 of 10 samples")
    """
    code = COMMAND.format(body=body.strip())
    said = interrupted(code, tmp_path)
    assert said == (130, "accuracy 50%\n", "interrupted after 6 of 10 samples\n")


@pytest.mark.slow
def test_a_model_that_takes_long_to_make(interrupted, tmp_path):
    (tmp_path / "slow_net.py").write_text(
        "import time\ndef make():\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    before = sorted(tmp_path.iterdir())
    code = "from snncc.cli import main\nmain(prog_name='snncc')"
    arguments = ["compile", "slow_net:make", "--input-shape", "4", "-o", "out"]
    assert interrupted(code, tmp_path, *arguments) == (130, "", "interrupted\n")
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "__pycache__"] == before
