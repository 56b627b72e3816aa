"""The inner loops of partition and place, compiled by numba and kept in its cache."""

from __future__ import annotations

from snncc.compiled import compiled


@compiled()
def nearest_with_room(free, kinds, cores, below, above, need, kind, near):
    """The core of ``kind`` numbered nearest to ``near`` that has room for ``need``; −1 for none.

    ``free`` (·, resources) and ``kinds`` (·,) are those of the first ``cores``. Of two as near it
    is the lower one. ``below`` and ``above`` (·,) are a core's own number, or of one that is closed
    lower and higher ones, on the way to the next that is not; they are shortened on the way.
    """
    low, high = _next(below, cores, min(near, cores - 1)), _next(above, cores, near)
    while low >= 0 or high < cores:
        core = low if low >= 0 and (high >= cores or near - low <= high - near) else high
        if kinds[core] == kind:
            fits = True
            for resource in range(len(need)):
                if need[resource] > free[core, resource]:
                    fits = False
                    break
            if fits:
                return core
        if core == low:
            low = _next(below, cores, low - 1)
        if core == high:
            high = _next(above, cores, high + 1)
    return -1


@compiled()
def _next(ways, cores, core):
    """The first core that is not closed, from ``core`` on."""
    while 0 <= core < cores and ways[core] != core:
        step = ways[core]
        if 0 <= step < cores:
            ways[core] = ways[step]
        core = step
    return core


@compiled()
def change_places(start, other, spikes, x, y, first, second, changed):
    """Let each pair of cores change places if that saves hops × spikes; the sum that is saved.

    ``start``, ``other`` and ``spikes`` are the symmetric traffic, CSR; ``x`` and ``y`` (cores,) the
    places, which are changed, as is ``changed`` (pairs,): whether each pair did.
    """
    saved = 0.0
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        gain = 0.0
        for one, two in ((a, b), (b, a)):
            for k in range(start[one], start[one + 1]):
                c = other[k]
                if c != two:  # the two of a pair stay as far from each other
                    before = abs(x[one] - x[c]) + abs(y[one] - y[c])
                    after = abs(x[two] - x[c]) + abs(y[two] - y[c])
                    gain += spikes[k] * (before - after)
        changed[pair] = gain > 0
        if gain > 0:
            x[a], x[b] = x[b], x[a]
            y[a], y[b] = y[b], y[a]
            saved += 2 * gain  # the traffic has each pair of cores twice
    return saved
