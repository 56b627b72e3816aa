"""The inner loops of the cycle backend, compiled by numba and kept in its cache.

Tables are those of `snncc.backends.cycle.wiring.Wiring`. A flag is one byte a neuron and step:
bit 0 whether the neuron is active, above it how many spikes it sends. Times are nanoseconds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def touch(spikes, sources, targets, start, heard, delay, touched):
    """Set ``touched`` (T, n) where a spike of ``spikes`` (T, m) arrives, ``delay`` steps later."""
    steps, neurons = spikes.shape
    said = np.zeros(len(start) - 1, np.uint8)
    hit = np.zeros(targets.max() + 1 if len(targets) else 0, np.uint8)
    for t in range(delay, steps):
        said[:] = 0
        for i in range(neurons):
            said[sources[i]] |= spikes[t - delay, i] > 0
        hit[:] = 0
        for c in range(len(said)):
            if said[c]:
                for k in range(start[c], start[c + 1]):
                    hit[heard[k]] = 1
        for i in range(len(targets)):
            touched[t, i] |= hit[targets[i]]


@_jit
def mark(spikes, touched, rest, driven, forgets, memoryless, flags):
    """The flags (T, n) of one sample from its spikes (T, n) and the events that arrive."""
    steps, neurons = flags.shape
    alive = np.empty(neurons, np.uint8)
    for i in range(neurons):
        alive[i] = 1 - rest[i]
    for t in range(steps):
        for i in range(neurons):
            count = np.uint8(spikes[t, i])
            active = np.uint8(touched[t, i] | alive[i] | driven[i])
            calm = np.uint8(forgets & (count > 0)) | np.uint8(
                memoryless & ((touched[t, i] | driven[i]) == 0)
            )
            alive[i] = active & (np.uint8(1) - calm)
            flags[t, i] = np.uint8(count << np.uint8(1)) | active


@_jit
def source_flags(spikes, flags):
    """The flags (T, n) of a source: it sends and is never updated."""
    steps, neurons = flags.shape
    for t in range(steps):
        for i in range(neurons):
            flags[t, i] = np.uint8(np.uint8(spikes[t, i]) << np.uint8(1))


@_jit
def tally(
    flags, begin, first, lag, updates, core, row, group, row_start, entry_core, entry_events,
    layer_start, layer_place, layer_events, group_hops,
    packets_out, packets_in, events, active, core_hops, sent, layer_events_in, layer_active,
    layer_packets, layer_hops, group_spikes,
):  # fmt: skip
    """Count one run of steps. ``flags`` (R, n); step s is row ``begin + s - lag`` of each place.

    Fills (S, K) packets_out, packets_in, events, active and (S, K, 3) core_hops; (S, P) sent (the
    spikes), layer_events_in, layer_active, layer_packets and (S, P, 3) layer_hops; (G,)
    group_spikes.
    """
    steps = len(packets_out)
    rows = len(row_start) - 1
    of_row = np.zeros(rows, np.int64)
    used = np.empty(rows, np.int32)
    for s in range(steps):
        many = 0
        for p in range(len(lag)):
            r = begin + s - lag[p]
            if r < 0 or r >= len(flags):
                continue
            now = flags[r]
            alive = 0
            spikes = 0
            for i in range(first[p], first[p + 1]):
                flag = now[i]
                if flag == 0:
                    continue
                on = flag & np.uint8(1)
                alive += on
                c = core[i]
                active[s, c] += on
                count = flag >> np.uint8(1)
                if count == 0:
                    continue
                spikes += count
                r_i = row[i]
                if r_i < 0:
                    continue
                if of_row[r_i] == 0:
                    used[many] = r_i
                    many += 1
                of_row[r_i] += count
                g = group[i]
                group_spikes[g] += count
                out = count * (row_start[r_i + 1] - row_start[r_i])
                packets_out[s, c] += out
                layer_packets[s, p] += out
                for k in range(3):
                    hops = count * group_hops[g, k]
                    core_hops[s, c, k] += hops
                    layer_hops[s, p, k] += hops
            layer_active[s, p] = alive if updates[p] else 0
            sent[s, p] = spikes
        for k in range(many):
            r_i = used[k]
            count = of_row[r_i]
            of_row[r_i] = 0
            for e in range(row_start[r_i], row_start[r_i + 1]):
                packets_in[s, entry_core[e]] += count
                events[s, entry_core[e]] += count * entry_events[e]
            for e in range(layer_start[r_i], layer_start[r_i + 1]):
                layer_events_in[s, layer_place[e]] += count * layer_events[e]


@_jit
def deliver(
    flags, begin, lag, updates, order, run_start, run_place, core_start, row, group, row_start,
    entry_core, entry_ns, path_of_group, path, path_start, links, link_ns, slot_ns,
    active_ns, inactive_ns, out_ns, depth, most,
    ends, finish, waited, link_waited, latency,
):  # fmt: skip
    """Time every packet of one run of steps; no step has more than ``most`` spikes.

    Fills (S, K) ends, when a core has updated its last neuron and sent its last packet, finish,
    when it has worked off its last packet, and waited, how long its packets stood ready before a
    link or core took them; (L,) link_waited, how long packets stood before a link and behind it;
    (2,) latency, the sum and the longest time from ready to worked off.
    """
    steps, cores = ends.shape
    size = 1
    while size < cores:
        size *= 2
    far = np.inf
    key = np.empty(2 * size, np.float64)
    who = np.empty(2 * size, np.int32)
    # Of each link and each core: when it is free, and when its last packets left its buffer; and
    # the last time it stands idle before that, waiting for a packet on its way.
    nowhere = len(link_ns)
    link_free = np.empty((nowhere + 1, 1 + depth), np.float64)
    link_idle = np.empty((nowhere, 2), np.float64)
    link_turn = np.empty(nowhere, np.int64)
    core_free = np.empty((cores, 1 + depth), np.float64)
    core_idle = np.empty((cores, 2), np.float64)
    core_turn = np.empty(cores, np.int64)
    gap = np.empty(most, np.float64)
    sender = np.empty(most, np.int32)
    at = np.empty(cores + 1, np.int64)
    send = np.empty(cores, np.int64)
    entry = np.empty(cores, np.int64)
    stop = np.empty(cores, np.int64)
    way_of = np.empty(cores, np.int64)
    tail = np.empty(cores, np.float64)
    for s in range(steps):
        link_free[:] = 0.0
        link_idle[:] = 0.0
        link_turn[:] = 1
        core_free[:] = 0.0
        core_idle[:] = 0.0
        core_turn[:] = 1
        many = 0
        for c in range(cores):
            at[c] = many
            passed = 0.0
            for u in range(core_start[c], core_start[c + 1]):
                p = run_place[u]
                r = begin + s - lag[p]
                on = active_ns if updates[p] else 0.0
                off = inactive_ns if updates[p] else 0.0
                if r < 0 or r >= len(flags):
                    passed += off * (run_start[u + 1] - run_start[u])
                    continue
                now = flags[r]
                for k in range(run_start[u], run_start[u + 1]):
                    i = order[k]
                    flag = now[i]
                    passed += on if flag & np.uint8(1) else off
                    if flag > np.uint8(1) and row[i] >= 0:
                        for _ in range(flag >> np.uint8(1)):
                            gap[many] = passed
                            sender[many] = i
                            many += 1
                            passed = 0.0
            tail[c] = passed
        at[cores] = many
        for c in range(size):
            key[size + c] = far
            who[size + c] = c
            if c < cores:
                ends[s, c] = tail[c]
                if at[c] < at[c + 1]:
                    i = sender[at[c]]
                    send[c] = at[c]
                    entry[c] = row_start[row[i]]
                    stop[c] = row_start[row[i] + 1]
                    way_of[c] = path_of_group[group[i]] - entry[c]
                    key[size + c] = gap[at[c]] + out_ns
        for node in range(size - 1, 0, -1):
            left = 2 * node if key[2 * node] <= key[2 * node + 1] else 2 * node + 1
            key[node] = key[left]
            who[node] = who[left]
        while many > 0 and key[1] < far:
            ready = key[1]
            c = who[1]
            e = entry[c]
            to = entry_core[e]
            way = path[way_of[c] + e]
            t = ready
            sent = ready
            behind = nowhere
            turn_behind = 0
            first_link = path_start[way]
            for k in range(first_link, path_start[way + 1]):
                link = links[k]
                enter = max(t, link_idle[link, 0])
                if enter + slot_ns <= link_idle[link, 1]:
                    link_idle[link, 0] = enter + slot_ns
                    link_free[behind, turn_behind] = enter
                    behind = nowhere
                else:
                    turn = link_turn[link]
                    enter = max(link_free[link, 0], link_free[link, turn])
                    if t > enter:
                        link_idle[link, 0] = enter
                        link_idle[link, 1] = t
                        enter = t
                    link_free[behind, turn_behind] = enter
                    link_free[link, 0] = enter + slot_ns
                    link_turn[link] = turn + 1 if turn < depth else 1
                    behind = link
                    turn_behind = turn
                link_waited[link] += enter - t
                sent = enter if k == first_link else sent
                t = enter + link_ns[link]
            work = entry_ns[e]
            enter = t
            begins = max(t, core_idle[to, 0])
            if begins + work <= core_idle[to, 1]:
                core_idle[to, 0] = begins + work
            else:
                turn = core_turn[to]
                free = core_free[to, 0]
                enter = max(t, core_free[to, turn])
                begins = max(enter, free)
                if begins > free:
                    core_idle[to, 0] = free
                    core_idle[to, 1] = begins
                core_free[to, 0] = begins + work
                core_free[to, turn] = begins
                core_turn[to] = turn + 1 if turn < depth else 1
            link_free[behind, turn_behind] = enter
            done = begins + work
            if first_link == path_start[way + 1]:
                sent = enter
            else:
                link_waited[links[path_start[way + 1] - 1]] += enter - t
            waited[s, c] += sent - ready
            latency[0] += done - ready
            latency[1] = max(latency[1], done - ready)
            e += 1
            if e < stop[c]:
                entry[c] = e
                key[size + c] = sent + out_ns
            elif send[c] + 1 < at[c + 1]:
                send[c] += 1
                i = sender[send[c]]
                entry[c] = row_start[row[i]]
                stop[c] = row_start[row[i] + 1]
                way_of[c] = path_of_group[group[i]] - entry[c]
                key[size + c] = sent + gap[send[c]] + out_ns
            else:
                key[size + c] = far
                ends[s, c] = sent + tail[c]
            node = size + c
            first_key = key[node]
            first_who = who[node]
            while node > 1:
                other_key = key[node ^ 1]
                other_who = who[node ^ 1]
                earlier = other_key < first_key
                first_key = other_key if earlier else first_key
                first_who = other_who if earlier else first_who
                node >>= 1
                key[node] = first_key
                who[node] = first_who
        for c in range(cores):
            finish[s, c] = core_free[c, 0]
