"""docs/papers.md is what the measured numbers say."""

from __future__ import annotations

import json

from benchmarks import papers


def test_the_page_is_made_from_the_numbers():
    results = json.loads(papers.RESULTS.read_text(encoding="utf-8"))
    assert results.keys() == papers.NETWORKS.keys()
    assert papers.PAGE.read_text(encoding="utf-8") == papers.rendered(results)


def test_what_is_claimed_of_every_network_is_in_the_numbers():
    for name, row in json.loads(papers.RESULTS.read_text(encoding="utf-8")).items():
        assert row["differ"] == 0, name
        assert row["compared"] > 1_000_000, name
        assert row["samples"] >= 100, name
        assert row["ties"] == 0, name
        for chip in ("loihi1", "loihi2"):
            assert row[chip]["accuracy 8 bits"] >= row["accuracy float"] - 1, name
        assert row["loihi1"]["cores"] <= 128, name
        assert papers.NETWORKS[name].path("README.md").exists() or name in (
            "plain", "dst", "sew_add", "sew_iand",
        )  # fmt: skip
