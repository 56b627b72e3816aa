"""In which order a module takes its axes: a letter for each, T time, N samples, F features.

One F stands for all features, however many there are, and behind the other axes it may be left out:
"TN" is (T, N, …), "NFT" is (N, …, T). With more than one F each is one axis: "NFTFF" is
(N, C, T, H, W). A layout without T is that of one step, or of an input that is the same at each.
"""

from __future__ import annotations

from collections.abc import Sequence

from snncc.diagnostics import refuse

Layout = str

USUAL: tuple[Layout, ...] = ("TN", "N", "NT", "NFT")


def is_layout(layout: object) -> bool:
    letters = list(layout) if type(layout) is str else []
    return set(letters) <= set("TNF") and letters.count("N") == 1 and letters.count("T") <= 1


def check_layout(layout: object) -> None:
    """Raise SnnccError (SNN316) unless ``layout`` is one."""
    if not is_layout(layout):
        said = f"layout is an order of T, N and F as {', '.join(USUAL)}, not {layout!r}"
        raise refuse("SNN316", said, help="give each axis of the input its letter, in order")


def roles(layout: Layout, rank: int) -> tuple[str, ...]:
    """The letter of each of ``rank`` axes. Raises SnnccError (SNN306) where they do not fit."""
    lead = len(layout) - layout.count("F")
    several = layout.count("F") > 1
    if rank < lead or (several and rank != len(layout)):
        wanted = f"{len(layout)} axes" if several else f"at least {lead} axes"
        raise refuse("SNN306", f"layout {layout} needs {wanted}, and there are {rank}")
    if several:
        return tuple(layout)
    whole = layout if "F" in layout else layout + "F"
    before, _, behind = whole.partition("F")
    return (*before, *["F"] * (rank - lead), *behind)


def sample_axis(layout: Layout, rank: int) -> int:
    return roles(layout, rank).index("N")


def shape_of(layout: Layout, features: Sequence[int], steps: int) -> tuple[int, ...]:
    """The shape of one sample with ``features``, its axes in the order of ``layout``."""
    lead = len(layout) - layout.count("F")
    left = iter(features)
    axes = roles(layout, lead + len(features))
    return tuple(steps if role == "T" else 1 if role == "N" else next(left) for role in axes)


def features_of(layout: Layout, shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the feature axes."""
    named = zip(roles(layout, len(shape)), shape, strict=True)
    return tuple(int(size) for role, size in named if role == "F")


def layout_of(axes: Sequence[str]) -> Layout:
    """The shortest name of this order of axes."""
    text = "".join(axes)
    runs = [run for run in text.replace("T", " ").replace("N", " ").split() if run]
    return text.replace(runs[0], "F").removesuffix("F") if len(runs) == 1 else text


def time_first(axes: Sequence[str]) -> tuple[int, ...]:
    """The permutation of ``axes`` that puts time and samples in front of the features."""
    lead = [axes.index(role) for role in ("T", "N") if role in axes]
    return (*lead, *(d for d in range(len(axes)) if d not in lead))


def time_back(axes: Sequence[str]) -> tuple[int, ...]:
    """The permutation that undoes `time_first`."""
    order = time_first(axes)
    return tuple(order.index(d) for d in range(len(order)))
