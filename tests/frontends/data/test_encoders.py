"""Spikes of real values: the same as SpikingJelly's and snnTorch's, or of the same distribution."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snncc.diagnostics import SnnccError
from snncc.frontends.data import open_recordings
from snncc.frontends.data.encoders import Latency, Poisson, SnnTorchLatency, encoder_of

IMAGES = np.random.default_rng(0).random((9, 2, 3)).astype(np.float32)
IMAGES[0, 0], IMAGES[1, 1] = 0, 1


def spikes_of(encoder, images, steps):
    """(T, N, *F)."""
    return np.stack([encoder(image, number, steps) for number, image in enumerate(images)], 1)


# -- Poisson ---------------------------------------------------------------------------------------


def test_poisson_has_the_rates_and_is_independent() -> None:
    values = np.tile(np.linspace(0, 1, 11), (400, 1))
    spikes = spikes_of(Poisson(3), values, 100).astype(float)  # 40,000 draws of each rate
    assert not spikes[..., 0].any()
    assert spikes[..., -1].all()
    error = np.abs(spikes.mean((0, 1)) - values[0])
    assert error.max() < 5 * np.sqrt(0.25 / 40_000)
    middle = spikes[..., 5] - 0.5
    for one, two in (
        (middle[1:], middle[:-1]),  # steps
        (middle[:, 1:], middle[:, :-1]),  # samples
        (middle, spikes[..., 4] - 0.4),  # features
    ):
        assert abs((one * two).mean()) < 5 * 0.25 / np.sqrt(one.size)


def test_poisson_is_distributed_as_the_encoder_of_spikingjelly(spikingjelly) -> None:
    encoder = spikingjelly.module("encoding").PoissonEncoder()
    torch.manual_seed(0)
    images = torch.from_numpy(IMAGES)
    theirs = sum(encoder(images) for _ in range(4000)).numpy() / 4000
    ours = spikes_of(Poisson(), IMAGES, 4000).mean(0)
    assert np.abs(ours - theirs).max() < 7 * np.sqrt(0.25 / 4000)


def test_poisson_depends_on_seed_and_sample_alone() -> None:
    one = Poisson(5)(IMAGES[2], 7, 20)
    assert np.array_equal(one, Poisson(5)(IMAGES[2], 7, 20))
    assert not np.array_equal(one, Poisson(6)(IMAGES[2], 7, 20))
    assert not np.array_equal(one, Poisson(5)(IMAGES[2], 8, 20))


# -- latency ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["linear", "log"])
@pytest.mark.parametrize("steps", [1, 2, 5, 16, 61])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_latency_has_the_times_of_spikingjelly(spikingjelly, code, steps, dtype) -> None:
    encoder = spikingjelly.module("encoding").LatencyEncoder(steps, code)
    grid = torch.linspace(0, 1, 4 * steps + 1)
    images = torch.cat([grid, torch.rand(500, generator=torch.Generator().manual_seed(steps))])
    images = images.to(dtype)[None]
    theirs = torch.stack([encoder(images) for _ in range(steps)]).numpy()
    ours = spikes_of(Latency(code), images.numpy(), steps)
    np.testing.assert_array_equal(ours, theirs)
    assert (ours.sum(0) == 1).all()


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"tau": 5.0},
        {"tau": 1.0, "threshold": 0.2},
        {"linear": True, "normalize": True},
        {"linear": True, "tau": 4.0, "threshold": 0.05},
    ],
)
def test_snntorch_latency_has_the_times_of_spikegen(options, clip) -> None:
    from snntorch import spikegen

    images = torch.rand(7, 40, generator=torch.Generator().manual_seed(0))
    images[0, :4] = torch.tensor([0, 1, 0.01, 0.2])
    for steps in (3, 20, 100):
        theirs = spikegen.latency(images, num_steps=steps, clip=clip, bypass=True, **options)
        ours = spikes_of(SnnTorchLatency(clip=clip, **options), images.numpy(), steps)
        np.testing.assert_array_equal(ours, theirs.numpy())


# -- recordings ------------------------------------------------------------------------------------


@given(
    st.sampled_from(["TN", "NT", "NFT", "NFTF", "NTF"]),
    st.sampled_from([Poisson(1), Latency(), SnnTorchLatency(tau=2.0)]),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=4),
)
@settings(max_examples=60)
def test_any_chunks_and_any_order_give_the_same_spikes(tmp_path_factory, layout, encoder, parts):
    path = tmp_path_factory.getbasetemp() / "encoded.npy"
    np.save(path, IMAGES)
    axes = {"TN": "TNFF", "NT": "NTFF", "NFT": "NFFT", "NFTF": "NFTF", "NTF": "NTFF"}[layout]
    features = iter((2, 3))
    shape = tuple({"T": 6, "N": 1}.get(role) or next(features) for role in axes)
    whole = spikes_of(encoder, IMAGES, 6)  # (T, N, F, F)
    left = iter((2, 3))
    whole = whole.transpose([{"T": 0, "N": 1}[r] if r != "F" else next(left) for r in axes])
    with open_recordings(path, {layout: shape}, input="spike", encode=encoder) as recordings:
        assert recordings.shape == whole.shape
        assert recordings.encoder == str(encoder)
        for start, stop in (*parts, (0, 9)):
            taken = recordings.take(start, stop)
            wanted = np.take(whole, range(start, max(start, min(stop, 9))), axes.index("N"))
            np.testing.assert_array_equal(taken, wanted)


def test_values_out_of_range_are_said(tmp_path: Path, refused) -> None:
    np.save(tmp_path / "data.npy", (255 * IMAGES).astype(np.uint8))
    takes = {"TN": (4, 1, 2, 3)}
    with open_recordings(tmp_path / "data.npy", takes, encode=Poisson()) as recordings:
        (finding,) = recordings.findings
        assert finding.code == "SNN521"
        assert "from 0 to 255, and poisson takes them as probabilities" in finding.message
        assert recordings.take(0, 9).max() == 1
    for encoder in (Latency(), SnnTorchLatency()):
        refused("SNN312", r"outside of 0 to 1, .* the first at inputs\[0, 1, 0\]",
                tmp_path / "data.npy", takes, encode=encoder)  # fmt: skip
    np.save(tmp_path / "data.npy", IMAGES)
    with open_recordings(tmp_path / "data.npy", takes, encode=Poisson()) as recordings:
        assert recordings.findings == ()
    np.save(tmp_path / "data.npy", np.where(IMAGES == 1, np.nan, IMAGES))
    refused("SNN312", "not finite", tmp_path / "data.npy", takes, encode=Poisson())


def test_what_does_not_go_together(tmp_path: Path, refused) -> None:
    np.save(tmp_path / "data.npy", IMAGES)
    path = tmp_path / "data.npy"
    refused("SNN316", "the same input at every step", path, {"N": (1, 2, 3)}, encode=Poisson())
    takes = {"TN": (90, 1, 2, 3)}
    refused("SNN316", "at most 89 steps, not 90", path, takes, encode=Latency("log"))
    refused("SNN316", "linear=True only", path, takes, encode=SnnTorchLatency(normalize=True))
    refused("SNN316", "threshold between", path, takes, encode=SnnTorchLatency(threshold=0.0))
    refused("SNN316", "the seed", path, takes, encode=Poisson(-1))
    refused("SNN306", r"takes \(N, 2, 4\)", path, {"TN": (5, 1, 2, 4)}, encode=Poisson())


def test_specs_print_and_parse_back() -> None:
    for encoder in (Poisson(4), Latency("log"), SnnTorchLatency(5.0, 0.1, True, True, True)):
        assert encoder_of(str(encoder)) == encoder
    assert encoder_of("poisson", 7) == Poisson(7)
    assert encoder_of("snntorch-latency{tau=5, clip=true}") == SnnTorchLatency(5.0, clip=True)


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ("rate", "SNN313", "no encoder 'rate'; there are poisson, latency, snntorch-latency"),
        ("latency{", "SNN316", "not of the form"),
        ("latency{tau=1}", "SNN316", "has no option 'tau'; it has code"),
        ("latency{code=cubic}", "SNN316", "'cubic' is no value for code"),
        ("poisson{seed=x}", "SNN316", "'x' is no value for seed"),
    ],
)
def test_specs_that_say_nothing(spec, code, said) -> None:
    with pytest.raises(SnnccError, match=said) as caught:
        encoder_of(spec)
    assert caught.value.findings[0].code == code
    with pytest.raises(SnnccError, match="--seed: latency draws nothing"):
        encoder_of("latency", 3)


def test_no_two_samples_have_the_same_draws() -> None:
    flat = np.full(64, 0.5)
    drawn = {
        Poisson(seed)(flat, n, 4).tobytes() for seed, n in itertools.product(range(20), range(20))
    }
    assert len(drawn) == 400
