"""One step of a chip event by event, every link and core first come, first served.

Slow and plain: the model of `snncc.backends.cycle` but for the order in which links and cores
serve packets of different cores.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from itertools import count

from snncc.backends.cycle.replay import entry_ns, link_ns


def packets(w, rows, step):
    """By core: (gap since the last packet, resources on the way, work at the end) and the tail."""
    chip, work = w.chip, entry_ns(w)
    for core in range(len(w.cores)):
        passed, mine = 0.0, deque()
        for run in range(w.core_start[core], w.core_start[core + 1]):
            place = w.places[w.run_place[run]]
            r = step - place.lag
            for i in w.order[w.run_start[run] : w.run_start[run + 1]]:
                flag = int(rows[r, i]) if 0 <= r < len(rows) else 0
                if place.updates:
                    passed += (chip.neuron_active_s if flag & 1 else chip.neuron_inactive_s) * 1e9
                if w.row[i] < 0:
                    continue
                entries = range(w.row_start[w.row[i]], w.row_start[w.row[i] + 1])
                for _ in range(flag >> 1):
                    for at, entry in enumerate(entries, w.path_of_group[w.group[i]]):
                        path = w.path[at]
                        links = w.links[w.path_start[path] : w.path_start[path + 1]].tolist()
                        way = [*(("link", k) for k in links), ("core", int(w.entry_core[entry]))]
                        mine.append((passed + chip.axon_out_s * 1e9, way, work[entry]))
                        passed = 0.0
        yield mine, passed


class Chip:
    """Queues and events of one step."""

    def __init__(self, w, rows, step):
        self.depth, self.slot = w.chip.buffer_spikes, 1e9 / w.chip.link_spikes_s
        self.delay = link_ns(w)
        self.sends, self.tails = zip(*packets(w, rows, step), strict=True)
        self.queue, self.waiting = defaultdict(deque), defaultdict(deque)
        self.held, self.free, self.busy, self.armed = (
            defaultdict(int),
            defaultdict(float),
            set(),
            set(),
        )
        self.events, self.number, self.last = [], count(), 0.0

    def run(self) -> float:
        """When the last core is done, in nanoseconds."""
        for core in range(len(self.sends)):
            self.next_of(core, 0.0)
        while self.events:
            now, _, what, where, packet = heapq.heappop(self.events)
            if what == "comes":
                self.queue[where].append(packet)
                if len(self.queue[where]) == 1:
                    self.ask(where, now)
            elif what == "free":
                self.armed.discard(where)
                self.serve(where, now)
            else:
                self.busy.discard(where)
                self.last = max(self.last, now)
                if self.queue[where]:
                    self.work(where, now)
        return self.last

    def at(self, time, what, where, packet=None):
        heapq.heappush(self.events, (time, next(self.number), what, where, packet))

    def next_of(self, core, now):
        if self.sends[core]:
            gap, way, work = self.sends[core].popleft()
            self.at(now + gap, "comes", ("sender", core), (way, work))
        else:
            self.last = max(self.last, now + self.tails[core])

    def ask(self, queue, now):
        to = self.queue[queue][0][0][0]
        self.waiting[to].append(queue)
        self.serve(to, now)

    def serve(self, to, now):
        while self.waiting[to] and self.held[to] < self.depth:
            if to[0] == "link" and self.free[to] > now:
                if to not in self.armed:
                    self.armed.add(to)
                    self.at(self.free[to], "free", to)
                return
            queue = self.waiting[to].popleft()
            (_, *way), work = self.queue[queue].popleft()
            self.held[to] += 1
            if to[0] == "link":
                self.free[to] = now + self.slot
                self.at(now + self.delay[to[1]], "comes", to, (way, work))
            else:
                self.queue[to].append((way, work))
            if queue[0] == "sender":
                self.next_of(queue[1], now)
            else:
                self.held[queue] -= 1
                if self.queue[queue]:
                    self.ask(queue, now)
                self.serve(queue, now)
            if to[0] == "core" and to not in self.busy:
                self.work(to, now)

    def work(self, core, now):
        _, work = self.queue[core].popleft()
        self.busy.add(core)
        self.held[core] -= 1
        self.at(now + work, "done", core)
        self.serve(core, now)
