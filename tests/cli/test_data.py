"""DATA of each command: files, data sets, encoders, and values in an unlike range."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import snncc
from snncc.frontends.data.encoders import Poisson

STEPS, SHAPE = 5, (2, 8, 8)


def images(samples=6, high=1.0):
    return (np.random.default_rng(1).random((samples, *SHAPE)) * high).astype(np.float32)


def encoded(of, seed):
    """(T, N, *F)."""
    return np.stack([Poisson(seed)(image, n, STEPS) for n, image in enumerate(of)], 1)


def numbers(result):
    """What was printed below the title."""
    assert result.exit_code == 0, result.output
    return [row for row in result.stdout.splitlines()[1:] if "input encoded by" not in row]


def test_all_sources_give_the_same_numbers(run, program, data, tmp_path):
    with np.load(data) as file:
        inputs, labels = file["inputs"], file["labels"]
    np.save(tmp_path / "data.npy", inputs)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["inputs"], file["labels"] = inputs, labels
    (tmp_path / "test_sets_of_cli.py").write_text(
        "import numpy as np\n"
        f"file = np.load({str(data)!r})\n"
        "def of_frames():\n"
        "    return [(file['inputs'][:, n], file['labels'][n]) for n in range(6)]\n"
    )
    known = numbers(run("simulate", program, "--input", data))
    assert any("5 of 6" in row for row in known)
    for source in ("data.h5", "test_sets_of_cli:of_frames"):
        assert numbers(run("simulate", program, "--input", source)) == known
    without = [row for row in known if "accuracy" not in row]
    assert numbers(run("simulate", program, "--input", "data.npy")) == without


def test_help_imports_neither_torch_nor_h5py():
    code = (
        "import sys; from click.testing import CliRunner; from snncc.cli import main\n"
        "for name in ('simulate', 'compile', 'verify', 'export'):\n"
        "    assert CliRunner().invoke(main, [name, '--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- encoders --------------------------------------------------------------------------------------


def test_encoded_images_are_their_spikes(run, program, tmp_path):
    np.save("images.npy", images())
    np.save("spikes.npy", encoded(images(), 3))
    result = run("simulate", program, "--input", "images.npy", "--encode", "poisson", "--seed", 3)
    assert "input encoded by          poisson{seed=3}" in result.stdout
    known = numbers(run("simulate", program, "--input", "spikes.npy"))
    assert numbers(result) == known
    few = ("--memory", "1K", "--threads", 1)
    again = run("simulate", program, "--input", "images.npy", "--encode", "poisson{seed=3}", *few)
    assert numbers(again) == known
    other = run("simulate", program, "--input", "images.npy", "--encode", "poisson")
    assert numbers(other) != known


def test_what_does_not_go_together(refused, program, model, tmp_path):
    np.save(tmp_path / "images.npy", images())
    said = ("--input", "images.npy")
    refused("simulate", program, *said, "--seed", 1, said="--seed goes with --encode")
    refused("simulate", program, *said, "--encode", "rate", said="there is no encoder 'rate'")
    refused("simulate", program, *said, said="the model takes (5, N, 2, 8, 8)")
    refused("compile", model, "--input", "analog", "--encode", "poisson", said="declared analog")
    refused("verify", program, *said, said="--input goes with MODEL")
    refused("verify", program, model, "--samples", 1, said="go with --input")


def test_a_calibration_that_is_encoded(run, model, tmp_path):
    np.savez("images.npz", inputs=images(high=2))
    encode = ("--encode", "poisson", "--seed", 2)
    result = run("compile", model, "-o", "out", "--calibrate", "images.npz", *encode)
    assert result.exit_code == 0, result.output
    assert "warning[SNN521]" in result.stderr
    program = snncc.load("out")
    assert program.about.source["encoder"] == "poisson{seed=2}"
    np.testing.assert_array_equal(program.inputs["calibration"], encoded(images(high=2), 2))


@pytest.mark.slow
def test_a_model_of_one_step_with_an_encoder_in_front(run, spikingjelly):
    """As in SpikingJelly's tutorials: net(encoder(image)) in a loop, the outputs added up."""
    torch.manual_seed(0)
    lif = spikingjelly.module("neuron").LIFNode(tau=2.0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(128, 12), lif, nn.Linear(12, 4)).eval()
    snncc.save_model(module, "cell.pt", torch.zeros(1, *SHAPE), time_steps=STEPS, layout="N")
    spikes = encoded(images(high=1.05), 2)
    with torch.no_grad():
        outputs = sum(module(torch.from_numpy(step).float()) for step in spikes)
    np.savez("images.npz", inputs=images(high=1.05), labels=outputs.argmax(1).numpy())
    encode = ("--encode", "poisson", "--seed", 2)
    result = run("compile", "cell.pt", "-o", "out", "--calibrate", "images.npz", *encode)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(snncc.load("out").inputs["calibration"], spikes)
    assert "SNN521" in result.stderr
    verified = run("verify", "out", "cell.pt", "--input", "images.npz", *encode)
    assert verified.exit_code == 0, verified.output
    assert "(6 of 6)" in numbers(run("simulate", "out", "--input", "images.npz", *encode))[0]


# -- ranges ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_unlike_range_is_said(run, tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(2), nn.Linear(128, 12), snncc.nn.LIF(), nn.Linear(12, 4))
    example = torch.zeros(STEPS, 1, *SHAPE)
    snncc.save_model(network.eval(), tmp_path / "net.pt", example, layout="TN", input="analog")
    of = np.broadcast_to(images(), (STEPS, 6, *SHAPE))
    np.save("like.npy", of)
    np.save("unlike.npy", 255 * of)
    assert run("compile", "net.pt", "-o", "out", "--calibrate", "like.npy").exit_code == 0
    assert run("simulate", "out", "--input", "like.npy").stderr == ""
    result = run("simulate", "out", "--input", "unlike.npy")
    assert result.exit_code == 0
    assert "warning[SNN520]: the inputs in unlike.npy go from 0" in result.stderr
    assert "to 254.8, and those of the calibration from 0" in result.stderr


# -- verify ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_recordings_beside_those_of_the_record(run, program, model, other_model, data):
    result = run("verify", program, model, "--input", data, "--samples", 4)
    assert result.exit_code == 0, result.output
    (row,) = [row for row in result.stdout.splitlines() if row.startswith("  recordings")]
    assert "same" in row
    assert "neuron-steps differ on 4 samples of" in row
    result = run("verify", program, other_model, "--input", data)
    assert result.exit_code == 1
    (row,) = [row for row in result.stdout.splitlines() if row.startswith("  recordings")]
    assert "DIFFERS" in row
    assert "outputs differ by" in row


@pytest.mark.slow
def test_a_program_that_was_changed_is_not_compared(run, refused, model, data):
    assert run("compile", model, "-o", "out", "--weight-bits", 8).exit_code == 0
    result = run("verify", "out", model, "--input", data)
    assert result.exit_code == 2
    assert "compiled with --weight-bits, the program has other spikes" in result.stderr
    assert json.loads(Path("out/manifest.json").read_text())["options"]["weight_bits"] == 8
