"""What gates merges: the action, the hook, and every line of docs/ci.md, run for real."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow  # processes of their own
ROOT = Path(__file__).parents[1]
NETS = """
from torch import nn
from snncc.nn import IF


def fine():
    return nn.Sequential(nn.Linear(8, 8), IF(), nn.Linear(8, 4), IF())


def wrong():
    return nn.Sequential(nn.Linear(8, 8), IF(), nn.ReLU6(), nn.Linear(8, 4), nn.ReLU(), IF())
"""


@pytest.fixture
def shell(tmp_path):
    """Run a script with bash in a folder of its own, our snncc and python first on the path."""
    (tmp_path / "ci_nets.py").write_text(NETS)

    def call(script, **given):
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | given, capture_output=True, text=True,
            timeout=100, check=False,
        )  # fmt: skip

    return call


@pytest.fixture(scope="module")
def action():
    return yaml.safe_load((ROOT / "action.yml").read_text())


@pytest.fixture(scope="module")
def install(action):
    return action["runs"]["steps"][0]


@pytest.fixture(scope="module")
def check(action):
    return action["runs"]["steps"][1]


def environment(action, step, **given):
    """What GitHub sets for a step: its env with the inputs put in."""
    inputs = {name: str(value.get("default", "")) for name, value in action["inputs"].items()}
    assert given.keys() <= inputs.keys()
    inputs |= given

    def value(text):
        name = re.fullmatch(r"\$\{\{ (?:inputs\.([\w-]+)|github\.action_path) \}\}", text)[1]
        return inputs[name] if name else str(ROOT)

    return {name: value(text) for name, text in step["env"].items()}


NET = {"input-shape": "8", "time-steps": "4", "layout": "TN", "input": "spike"}


def test_the_action_annotates_and_fails(action, check, shell):
    fine = shell(check["run"], **environment(action, check, model="ci_nets:fine", **NET))
    assert (fine.returncode, fine.stdout.strip()) == (0, "no findings"), fine.stderr
    wrong = shell(check["run"], **environment(action, check, model="ci_nets:wrong", **NET))
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("::error file=ci_nets.py,title=SNN105 ")


def test_the_actions_inputs_reach_snncc(action, check, shell, tmp_path):
    given = NET | {"input": "analog", "strict": "true", "format": "sarif", "output": "a b.sarif"}
    done = shell(check["run"], **environment(action, check, model="ci_nets:fine", **given))
    assert done.returncode == 1
    assert "SNN101" in (tmp_path / "a b.sarif").read_text()


def test_every_input_becomes_the_option_of_its_name(action, check, shell):
    """And every option of check has an input."""
    from snncc.cli.check import command

    options = {option.opts[-1] for option in command.params} - {
        "model",
        "--debug",
        "--quiet",
        "--verbose",
    }
    of_the_action = {"--install", "--upload", "--model"}
    assert options == {f"--{name}" for name in action["inputs"]} - of_the_action

    flags = {option.opts[-1] for option in command.params if getattr(option, "is_flag", False)}
    given = {o.removeprefix("--"): "true" if o in flags else f"a {o}" for o in options}
    given |= {"model": "-m", "allow": "a.B c.D", "format": "github"}
    record = 'snncc() { printf "%s\\n" "$@"; }\n' + check["run"]
    said = shell(record, **environment(action, check, **given)).stdout.splitlines()
    assert said[0] == "check"
    assert said[-2:] == ["--", "-m"]
    expected = {("--allow", "a.B"), ("--allow", "c.D"), ("--format", "github")}
    for option in options - flags - {"--allow", "--format"}:
        expected.add((option, f"a {option}"))
    assert expected <= set(itertools.pairwise(said))
    assert flags & options <= set(said)
    assert len(said) == 1 + 2 * len(expected) + len(flags & options) + 2


def test_an_input_is_never_code(action, check, shell, tmp_path):
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
    evil = "$(touch stolen); touch stolen; `touch stolen`"
    for name in ("model", "head", "format", "layout"):
        given = {"model": "ci_nets:fine"} | NET | {name: evil, "allow": f"* {evil}"}
        assert shell(check["run"], **environment(action, check, **given)).returncode == 2
    assert not (tmp_path / "stolen").exists()


def test_the_action_installs_unless_told_not_to(action, install, shell):
    record = 'python() { echo "$@"; }\n' + install["run"]

    def said(**given):
        return shell(record, **environment(action, install, **given)).stdout.split()

    assert said() == ["-m", "pip", "install", "--quiet", str(ROOT)]
    assert said(install="snncc==1.0")[-1] == "snncc==1.0"
    assert said(install="none") == []


@pytest.mark.parametrize("model", ["ci_nets:fine", "ci_nets:wrong", "absent.pt"])
def test_what_is_uploaded_is_there_whatever_was_found(action, check, shell, tmp_path, model):
    shell(check["run"], **environment(action, check, model=model, upload="true", **NET))
    upload = action["runs"]["steps"][2]
    assert upload["with"]["sarif_file"] == "${{ inputs.output || 'snncc.sarif' }}"
    assert json.loads((tmp_path / "snncc.sarif").read_text())["version"] == "2.1.0"


def test_nothing_is_uploaded_unless_asked_for(action):
    upload = action["runs"]["steps"][2]
    assert action["inputs"]["upload"]["default"] == "false"
    assert upload["if"].startswith("${{ always() && inputs.upload == 'true' && ")


def test_the_hook_runs_what_it_says(shell):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["pass_filenames"]) == ("snncc-check", False)
    options = "--input-shape 8 --time-steps 4 --layout TN --input spike"
    assert shell(f"{hook['entry']} ci_nets:fine {options}").returncode == 0
    assert shell(f"{hook['entry']} ci_nets:wrong {options}").returncode == 1


def test_the_page_does_what_it_says(shell, tmp_path):
    """Its files are written and its commands run, in their order."""
    page = (ROOT / "docs" / "ci.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    for kind, block in blocks:
        if kind in ("python", "ini"):
            name, _, text = block.removeprefix("# ").partition("\n")
            (tmp_path / name).write_text(text)
        elif kind == "console":
            for line in block.splitlines():
                done = shell(line.removeprefix("$ "))
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        else:
            yaml.safe_load(block)


def test_the_pages_yaml_names_inputs_and_hooks_that_are_there(action):
    page = (ROOT / "docs" / "ci.md").read_text()
    jobs, hooks = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S))
    assert jobs["steps"][-1]["with"].keys() <= action["inputs"].keys()
    assert hooks["repos"][0]["hooks"][0]["id"] == "snncc-check"
