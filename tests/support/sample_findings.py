"""Findings with and without places, and any findings at all."""

from __future__ import annotations

from hypothesis import strategies as st

from snncc.diagnostics import RULES, Finding, Location, Severity

POOL = Finding("SNN104", "the max pool reads a current", Location("layer1.pool", "net.py", 12))
NOTE = Finding(
    "SNN504", "output 0, of 2, was compiled: 100 %", node="fc", help="take 1 with --head"
)
BARE = Finding("SNN113", "nothing spikes")
WARNING = next(code for code, rule in RULES.items() if rule.severity is Severity.WARNING)
OUTSIDE = Finding(WARNING, "9 relays for 3 neurons", Location(file="/elsewhere/a b.py"))
UNREADABLE = Finding("SNN302", "forward branches\non data: θ ≥ 1\x00", Location("", "größe.py", 3))
ALL = (POOL, NOTE, BARE, OUTSIDE, UNREADABLE)

texts = st.text(st.characters(exclude_categories=[]), max_size=20)
files = st.builds("{}{}".format, st.sampled_from(["", "/", "a/"]), texts)
findings = st.lists(
    st.builds(
        Finding,
        st.sampled_from(list(RULES)),
        texts,
        st.builds(Location, texts, files, st.integers(0, 10**6)),
        texts,
        texts,
    ),
    max_size=4,
)
