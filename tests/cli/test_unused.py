"""An option that would change nothing is refused, with one sentence."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("simulate {program} --input {data} --level count", "--level belongs to --backend cycle"),
        ("simulate {program} --input {data} --chip loihi2", "--chip belongs to --backend cycle"),
        ("simulate {program} --input {data} --timeout 5", "--timeout belongs to --backend lava"),
        ("simulate {program} --input {data} --time-steps 9", "--time-steps is for a MODEL"),
        ("show {program} --layout TN", "--layout is for a MODEL"),
        ("show {program} --target loihi1", "--target is for a MODEL"),
        (
            "export {program} --format onnx -o x.onnx --weight-bits 8",
            "--weight-bits is for a MODEL",
        ),
        ("export {program} --format onnx -o x.onnx --for norse", "--for belongs to --format nir"),
        ("export {program} --format nir -o x.nir --dtype float64", "--dtype belongs to"),
        ("export {program} --format nir -o x.nir --data {data}", "--data belongs to"),
        ("compile {model} -o x --target reference --stock-only", "--stock-only needs a target"),
    ],
)
def test_an_option_without_effect(refused, program, model, data, command, said):
    words = command.format(program=program, model=model, data=data).split()
    refused(*words, said=said)


def test_a_default_from_the_environment_is_for_all_commands(run, program, data, monkeypatch):
    monkeypatch.setenv("SNNCC_SIMULATE_LEVEL", "count")
    assert run("simulate", program, "--input", data).exit_code == 0
