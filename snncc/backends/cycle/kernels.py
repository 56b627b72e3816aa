"""The inner loops of the cycle backend, compiled by numba and kept in its cache.

Tables are those of `snncc.backends.cycle.wiring.Wiring`. A flag is one byte a neuron and step:
bit 0 whether the neuron is active, above it how many spikes it sends. Times are nanoseconds.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from snncc.compiled import compiled

_jit = compiled(nogil=True, error_model="numpy")


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


@njit(inline="always")
def _push(heap, count, item):
    """Add ``item`` to a heap, from index 1 on, of ``count``."""
    node = count + 1
    while node > 1 and heap[node >> 1] > item:
        heap[node] = heap[node >> 1]
        node >>= 1
    heap[node] = item


@njit(inline="always")
def _drop(heap, count):
    """Take the first item away; ``count`` are left."""
    node, down = 1, 2
    while down < count:
        down += heap[down + 1] < heap[down]
        heap[node] = heap[down]
        node = down
        down = 2 * node
    if down == count:
        heap[node] = heap[down]
        node = down
    item = heap[count + 1]
    while node > 1 and heap[node >> 1] > item:
        heap[node] = heap[node >> 1]
        node >>= 1
    heap[node] = item


_NONE = np.uint32(2**32 - 1)
_HOP, _STOP, _ENTRY = 0, 1, 2  # of a packet, as uint32
_READY, _THERE = 2, 3  # as float64


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

    Event by event. A node is a link, the inbox of a core or its sender, in this order. Links and
    inboxes are queues with room for ``depth`` packets; the first packet of a link and the packet
    of a sender ask for the node that is next on their way, and wait there in the order in which
    they asked. An event is the number of its node: the first packet of a link has come, a core has
    worked off a packet, a sender has made one; or of a link behind the senders: it is free again.
    Of events at the same time the lower number is first, and what follows from one is done before
    the next.
    """
    steps, cores = ends.shape
    inboxes = len(link_ns)
    senders = inboxes + cores
    frees = senders + cores
    # The heap holds times as their bits, in order because none is negative, with the number of the
    # event in place of the last of them.
    when = np.empty(frees + inboxes, np.float64)
    bits = when.view(np.int64)
    heap = np.empty(len(when) + 2, np.int64)
    mask = 1
    while mask < len(when):
        mask *= 2
    mask -= 1
    held = np.empty(senders, np.int64)
    first = np.empty(senders, np.int64)  # where in its ring the queue begins
    waits = np.empty((senders, 2), np.uint32)  # the first node that waits for this, and the last
    after = np.empty(frees, np.uint32)  # the node that waits behind this one
    listed = np.empty(senders, np.bool_)
    serve = np.empty(mask + 1, np.uint32)  # nodes that may take a packet in now, a ring
    busy = np.empty(cores, np.bool_)
    free = np.empty(inboxes, np.float64)
    armed = np.empty(inboxes, np.bool_)  # whether the event that it is free is on its way
    packet = np.empty((senders, depth, 4), np.float64)
    part = packet.view(np.uint32)
    gap = np.empty(most, np.float64)
    sender = np.empty(most, np.uint32)
    at = np.empty(cores + 1, np.int64)
    send = np.empty(cores, np.int64)
    entry = np.empty(cores, np.uint32)
    stop = np.empty(cores, np.uint32)
    way_of = np.empty(cores, np.int64)
    tail = np.empty(cores, np.float64)
    total = 0.0
    longest = 0.0
    for s in range(steps):
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
                now_flags = flags[r]
                for k in range(run_start[u], run_start[u + 1]):
                    i = order[k]
                    flag = now_flags[i]
                    passed += on if flag & np.uint8(1) else off
                    if flag > np.uint8(1) and row[i] >= 0:
                        for _ in range(flag >> np.uint8(1)):
                            gap[many] = passed
                            sender[many] = i
                            many += 1
                            passed = 0.0
            tail[c] = passed
        at[cores] = many
        held[:] = 0
        first[:] = 0
        waits[:] = _NONE
        listed[:] = False
        busy[:] = False
        free[:] = 0.0
        armed[:] = False
        count = 0
        for c in range(cores):
            ends[s, c] = tail[c]
            if at[c] < at[c + 1]:
                send[c] = at[c]
                i = sender[at[c]]
                entry[c] = row_start[row[i]]
                stop[c] = row_start[row[i] + 1]
                way_of[c] = path_of_group[group[i]] - entry[c]
                node = senders + c
                when[node] = gap[at[c]] + out_ns
                _push(heap, count, bits[node] & ~mask | node)
                count += 1
        while count > 0:
            event = np.uint32(heap[1] & mask)
            now = when[event]
            count -= 1
            _drop(heap, count)
            begins = _NONE  # an inbox whose core begins with the next packet
            asks = _NONE  # a node whose first packet asks for the next
            done = 0
            listing = 0
            if event >= frees:
                armed[event - frees] = False
                listed[event - frees] = True
                serve[0] = event - frees
                listing = 1
            elif event >= senders or event < inboxes:
                asks = event
            else:
                finish[s, event - inboxes] = now
                if held[event] > 0:
                    begins = event
                else:
                    busy[event - inboxes] = False
            while True:
                if begins != _NONE:
                    p = first[begins]
                    first[begins] = p + 1 if p + 1 < depth else 0
                    held[begins] -= 1
                    busy[begins - inboxes] = True
                    over = now + entry_ns[part[begins, p, _ENTRY]]
                    total += over - packet[begins, p, _READY]
                    longest = max(longest, over - packet[begins, p, _READY])
                    when[begins] = over
                    _push(heap, count, bits[begins] & ~mask | np.int64(begins))
                    count += 1
                    if waits[begins, 0] != _NONE and not listed[begins]:
                        listed[begins] = True
                        serve[listing & mask] = begins
                        listing += 1
                    begins = _NONE
                if asks != _NONE:
                    if asks < inboxes:
                        p = first[asks]
                        e, k = part[asks, p, _ENTRY], part[asks, p, _HOP]
                        k_stop = part[asks, p, _STOP]
                    else:
                        e = entry[asks - senders]
                        way = path[way_of[asks - senders] + e]
                        k, k_stop = path_start[way], path_start[way + 1]
                    to = links[k] if k < k_stop else np.uint32(inboxes + entry_core[e])
                    after[asks] = _NONE
                    if waits[to, 0] != _NONE:
                        after[waits[to, 1]] = asks
                    else:
                        waits[to, 0] = asks
                        if held[to] < depth and not listed[to]:
                            listed[to] = True
                            serve[listing & mask] = to
                            listing += 1
                    waits[to, 1] = asks
                    asks = _NONE
                if done == listing:
                    break
                to = serve[done & mask]
                node = waits[to, 0]
                blocked = node == _NONE or held[to] >= depth
                if not blocked and to < inboxes and free[to] > now:
                    blocked = True
                    again = frees + to
                    if not armed[to]:
                        armed[to] = True
                        when[again] = free[to]
                        _push(heap, count, bits[again] & ~mask | again)
                        count += 1
                if blocked:
                    listed[to] = False
                    done += 1
                    continue
                # The first packet of ``node`` goes to ``to``, to the place ``q`` of its ring.
                waits[to, 0] = after[node]
                q = first[to] + held[to]
                q -= depth if q >= depth else 0
                if node < inboxes:
                    p = first[node]
                    behind = p + 1 if p + 1 < depth else 0
                    first[node] = behind
                    held[node] -= 1
                    for field in range(3):
                        part[to, q, field] = part[node, p, field]
                    packet[to, q, _READY] = packet[node, p, _READY]
                    link_waited[to if to < inboxes else node] += now - packet[node, p, _THERE]
                    if held[node] > 0:
                        if packet[node, behind, _THERE] <= now:
                            asks = node
                        else:
                            when[node] = packet[node, behind, _THERE]
                            _push(heap, count, bits[node] & ~mask | np.int64(node))
                            count += 1
                    if waits[node, 0] != _NONE and not listed[node]:
                        listed[node] = True
                        serve[listing & mask] = node
                        listing += 1
                else:
                    c = node - senders
                    e = entry[c]
                    way = path[way_of[c] + e]
                    part[to, q, _ENTRY] = e
                    part[to, q, _HOP] = path_start[way]
                    part[to, q, _STOP] = path_start[way + 1]
                    packet[to, q, _READY] = when[node]
                    waited[s, c] += now - when[node]
                    if to < inboxes:
                        link_waited[to] += now - when[node]
                    when[node] = now + out_ns
                    more = True
                    if e + 1 < stop[c]:
                        entry[c] = e + 1
                    elif send[c] + 1 < at[c + 1]:
                        send[c] += 1
                        i = sender[send[c]]
                        entry[c] = row_start[row[i]]
                        stop[c] = row_start[row[i] + 1]
                        way_of[c] = path_of_group[group[i]] - entry[c]
                        when[node] += gap[send[c]]
                    else:
                        ends[s, c] = now + tail[c]
                        more = False
                    if more:
                        _push(heap, count, bits[node] & ~mask | np.int64(node))
                        count += 1
                held[to] += 1
                if to < inboxes:
                    free[to] = now + slot_ns
                    part[to, q, _HOP] += np.uint32(1)
                    packet[to, q, _THERE] = now + link_ns[to]
                    if held[to] == 1:
                        when[to] = now + link_ns[to]
                        _push(heap, count, bits[to] & ~mask | np.int64(to))
                        count += 1
                elif not busy[to - inboxes]:
                    begins = to
    latency[0] += total
    latency[1] = max(latency[1], longest)
