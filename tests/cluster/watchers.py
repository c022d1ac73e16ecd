#!/usr/bin/python3
# watchers.py: many watchers over few connections, by python3-msgpack alone.
#
#	watchers.py watch ENDPOINTS WATCHERS CONNECTIONS GOAL OUT
#	watchers.py churn ENDPOINTS SEED GOAL	puts and deletes of w/0 to w/99
#	watchers.py judge OUT			the dump of a log is its input
#
# watch: each watcher has a prefix or a key of its own; it goes on behind the
# last revision that it was told, on another server when its own is lost, and
# ends when it has been told of everything up to the revision that the file
# GOAL holds once it is there.  OUT has what each was told.
#
# judge: what every watcher was told is what the log has for it: all of it,
# in order, once.

import json
import os
import random
import selectors
import sys
import time

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
import rpc

KEYS = 100


def interest(n):
    """What watcher n watches: key, is it a prefix."""
    kind = n % 4
    if kind == 0:
        return "w/", True
    if kind == 1:
        return "w/%d" % (n // 4 % 10), True
    return "w/%d" % (n // 4 % KEYS), False


class Watcher:
    def __init__(self, n):
        self.n = n
        self.key, self.prefix = interest(n)
        self.rev = 0
        self.partial = None
        self.told = []


class Link:
    """One connection, and the watchers on it."""

    def __init__(self, endpoints, n, watchers):
        self.endpoints = endpoints
        self.turn = n
        self.watchers = watchers
        self.socket = None
        self.heard = 0.0
        self.resumed = -1

    def open(self):
        self.resumed += 1
        self.socket = rpc.connect(self.endpoints[self.turn % len(self.endpoints)], 2)
        self.unpacker = msgpack.Unpacker(raw=True, max_buffer_size=1 << 30)
        self.asked = {}
        self.by_id = {}
        self.heard = time.monotonic()
        out = b""
        for w in self.watchers:
            # What was told of a revision that was cut off comes again.
            if w.partial is not None:
                w.told = w.told[: w.partial]
                w.partial = None
            out += msgpack.packb([0, w.n, "watch", [w.key, {
                "prefix": w.prefix, "since": w.rev, "progress": 500}]])
        self.socket.sendall(out)
        self.socket.setblocking(False)

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.turn += random.randrange(1, 3)

    def read(self, events):
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError("closed")
        self.heard = time.monotonic()
        self.unpacker.feed(data)
        for m in self.unpacker:
            if m[0] == 1:
                if m[2] is not None:
                    raise EOFError("refused: %r" % (m[2],))
                w = next(w for w in self.watchers if w.n == m[1])
                self.by_id[m[3]] = w
            elif m[1] == b"watch.event":
                self.take(self.by_id[m[2][0]], m[2][1], m[2][2], events)

    def take(self, w, e, more, events):
        rev, kind = e[b"rev"], e[b"type"]
        if kind in (b"sync", b"progress"):
            w.rev = max(w.rev, rev)
            return
        if kind in (b"end", b"compacted"):
            if kind == b"compacted":
                sys.exit("compacted at %d" % w.rev)
            raise EOFError("the server lets go")
        line = (rev, kind.decode(), e[b"key"].decode(), (e[b"value"] or b"").decode())
        if events.setdefault((rev, line[2]), line) != line:
            sys.exit("two stories of one event: %r %r" % (line, events[(rev, line[2])]))
        if w.partial is None:
            w.partial = len(w.told)
        w.told.append(events[(rev, line[2])])
        if not more:
            w.rev = rev
            w.partial = None


def watch(endpoints, count, connections, goal_path, out):
    watchers = [Watcher(n) for n in range(count)]
    links = [Link(endpoints, i, watchers[i::connections]) for i in range(connections)]
    events = {}
    goal = None
    sel = selectors.DefaultSelector()
    while True:
        for link in links:
            if link.socket is None:
                try:
                    link.open()
                    sel.register(link.socket, selectors.EVENT_READ, link)
                except OSError:
                    link.close()
        for key, _ in sel.select(0.05):
            link = key.data
            try:
                link.read(events)
            except (OSError, EOFError):
                sel.unregister(link.socket)
                link.close()
        for link in links:
            if link.socket is not None and time.monotonic() - link.heard > 3:
                sel.unregister(link.socket)
                link.close()
        if goal is None and os.path.exists(goal_path):
            goal = int(open(goal_path).read())
        if goal is not None and all(w.rev >= goal for w in watchers):
            break
    with open(out, "w") as f:
        json.dump({"goal": goal, "told": [w.told for w in watchers],
                   "resumed": sum(link.resumed for link in links)}, f)


def churn(endpoints, seed, stop_path):
    rng = random.Random(seed)
    client = None
    turn = seed
    n = 0
    while not os.path.exists(stop_path):
        n += 1
        time.sleep(0.02)
        key = "w/%d" % rng.randrange(KEYS)
        try:
            if client is None:
                client = rpc.Client(endpoints[turn % len(endpoints)], 5)
            if rng.random() < 0.2:
                # Two keys, so that a revision has more than one event.
                client.call("delete", [key, "w/%d" % rng.randrange(KEYS)])
            else:
                client.call("put", key, "%d.%d" % (seed, n))
        except (OSError, EOFError):
            client = None
            turn += 1
            time.sleep(0.01)


def replay(lines):
    """The changes that a log makes: (rev, type, key, value)."""
    last = {}
    for line in lines:
        r = json.loads(line)
        if r["kind"] == "entry" and not r["hidden"]:
            last[r["index"]] = r
    state = set()
    rev = 0
    changes = []
    for index in sorted(last):
        op = last[index].get("op")
        method = op.get("method") if op else None
        if method == "put":
            rev += 1
            changes.append((rev, "put", op["key"], op["value"]))
            state.add(op["key"])
        elif method == "delete":
            keys = op["params"][0] if "params" in op else [op["key"]]
            gone = []
            for k in keys:
                if k in state and k not in gone:
                    gone.append(k)
            if gone:
                rev += 1
            for k in gone:
                changes.append((rev, "delete", k, ""))
                state.discard(k)
    return changes


def judge(path):
    with open(path) as f:
        result = json.load(f)
    changes = [c for c in replay(sys.stdin) if c[0] <= result["goal"]]
    if not changes or changes[-1][0] != result["goal"]:
        sys.exit("the log has %d changes, the goal is revision %d"
                 % (len(changes), result["goal"]))
    bad = told = 0
    for n, got in enumerate(result["told"]):
        key, prefix = interest(n)
        want = [list(c) for c in changes
                if (c[2].startswith(key) if prefix else c[2] == key)
                and c[0] <= result["goal"]]
        got = [e for e in got if e[0] <= result["goal"]]
        told += len(got)
        if got != want:
            bad += 1
            for i in range(max(len(got), len(want))):
                a = got[i] if i < len(got) else None
                b = want[i] if i < len(want) else None
                if a != b:
                    print("watcher %d of %s: event %d is %r, want %r" % (n, key, i, a, b))
                    break
    print("%d watchers, %d changes, %d events told, %d resumed connections, %d wrong"
          % (len(result["told"]), len(changes), told, result["resumed"], bad))
    sys.exit(1 if bad else 0)


def main():
    command = sys.argv[1]
    if command == "watch":
        watch(sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4]),
              sys.argv[5], sys.argv[6])
    elif command == "churn":
        churn(sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4])
    else:
        judge(sys.argv[2])


if __name__ == "__main__":
    main()
