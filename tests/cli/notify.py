#!/usr/bin/python3
# notify.py: watch by notifications, as raftrpc(5) has it, by
# python3-msgpack alone.
#
#	notify.py ENDPOINT events	what a watch is told, checked
#	notify.py ENDPOINT unread PID	a connection that is not read for a while
#	notify.py ENDPOINT slow		nor read at all: how that ends
#	notify.py ENDPOINT stop PID	what a server says that is stopped

import os
import signal
import sys
import time

import rpc


class Watcher(rpc.Client):
    """Notifications are kept until somebody asks for one."""

    def __init__(self, address):
        super().__init__(address, 20)
        self.kept = []

    def receive(self):
        m = super().receive()
        if m[0] == 2:
            self.kept.append(m)
        return m

    def event(self):
        while not self.kept:
            self.receive()
        method, (ident, event, more) = self.kept.pop(0)[1:]
        assert method == b"watch.event", method
        return ident, {k.decode(): v for k, v in event.items()}, more

    def watch(self, key, **options):
        error, ident = self.call("watch", key, options)
        assert error is None, error
        return ident


def check(what, got, want):
    if got != want:
        sys.exit("%s: %r, want %r" % (what, got, want))


def put(client, key, value):
    error, result = client.call("put", key, value)
    check("put", error, None)
    return result[b"rev"]


def short(e):
    return e[0], e[1]["type"], e[1]["key"], e[1]["value"], e[2]


def events(address):
    w, other = Watcher(address), rpc.Client(address)
    first = put(other, "n/a", "1")
    one = w.watch("n/a", since=first - 1)
    check("an event", short(w.event()), (one, b"put", b"n/a", b"1", False))
    ident, e, _ = w.event()
    check("sync", (ident, e["type"], e["rev"]), (one, b"sync", first))
    check("its keys", sorted(e), ["group", "key", "prev", "rev", "type", "value"])
    all_of = w.watch("n/", prefix=True, prev=True, since=first)
    check("sync", w.event()[1]["type"], b"sync")
    # One revision, several events: all but the last say that more follow.
    rev = put(other, "n/b", "2")
    check("told", short(w.event()), (all_of, b"put", b"n/b", b"2", False))
    error, r = other.call("delete", ["n/a", "n/b"])
    check("delete", (error, r[b"deleted"]), (None, 2))
    got = [w.event() for _ in range(3)]
    mine = [short(e) for e in got if e[0] == all_of]
    check("two of one revision", mine, [
        (all_of, b"delete", b"n/a", None, True),
        (all_of, b"delete", b"n/b", None, False)])
    check("what was there", [e[1]["prev"][b"value"] for e in got if e[0] == all_of],
          [b"1", b"2"])
    check("not for who did not ask", [e[1]["prev"] for e in got if e[0] == one], [None])
    check("revision", {e[1]["rev"] for e in got}, {rev + 1})
    # The same again out of the history.
    again = w.watch("n/", prefix=True, since=rev)
    got = [short(w.event()) for _ in range(3)]
    check("again", got, [(again, b"delete", b"n/a", None, True),
                         (again, b"delete", b"n/b", None, False),
                         (again, b"sync", None, None, False)])
    # Nobody is told of what concerns him not; progress says how far it is.
    signs = w.watch("none", since=rev, progress=50)
    ident, e, _ = w.event()
    check("sync", (ident, e["type"]), (signs, b"sync"))
    rev = put(other, "else", "3")
    while True:
        ident, e, _ = w.event()
        check("progress", (ident, e["type"]), (signs, b"progress"))
        if e["rev"] == rev:
            break
    for ident in (one, all_of, again, signs):
        check("cancel", w.call("watch.cancel", ident), (None, True))
    check("cancel again", w.call("watch.cancel", one), (None, False))
    w.kept.clear()
    put(other, "n/a", "4")
    w.call("status")
    check("nothing more", w.kept, [])
    for params in (["k", {"wait": 5}], [""], ["k", {"since": -1}], ["k", {"x": 1}]):
        error, _ = w.call("watch", *params)
        check("refused %r" % params, error[1].split(b":")[0], b"USAGE")
    error, _ = w.call("watch.next", "k", {"progress": 5})
    check("watch.next", error[1].split(b":")[0], b"USAGE")


def fill(other, count):
    value = b"x" * 65536
    return [put(other, "big/%d" % (i % 7), value) for i in range(count)]


def resident(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * 4096


def unread(address, pid):
    # Ten of them are far more than one connection may leave unread.
    w, other = Watcher(address), rpc.Client(address)
    since = put(other, "big/0", b"x")
    idents = [w.watch("big/", prefix=True, since=since) for _ in range(10)]
    for _ in idents:
        check("sync", w.event()[1]["type"], b"sync")
    fill(other, 7)
    before = resident(pid)
    revs = fill(other, 140)
    grown = resident(pid) - before
    if grown > 40 << 20:
        sys.exit("grown by %d bytes for one connection" % grown)
    seen = {i: [] for i in idents}
    while any(not s or s[-1] < revs[-1] for s in seen.values()):
        ident, e, more = w.event()
        if e["type"] == b"put":
            seen[ident].append(e["rev"])
    for s in seen.values():
        check("all, in order, once", s, list(range(since + 1, revs[-1] + 1)))


def slow(address):
    w, other = Watcher(address), rpc.Client(address)
    rev = put(other, "big/0", b"x")
    w.watch("big/", prefix=True, since=rev)
    fill(other, 100)
    time.sleep(12)
    told = rev
    while True:
        _, e, more = w.event()
        if e["type"] == b"end":
            check("where it stands", e["rev"], told)
            check("why", e["code"], b"BUSY")
            break
        if e["type"] == b"put":
            check("in order", e["rev"], told + 1)
            told = e["rev"]


def stop(address, pid):
    w, other = Watcher(address), rpc.Client(address)
    rev = put(other, "n/a", "5")
    w.watch("n/", prefix=True)
    check("sync", w.event()[1]["type"], b"sync")
    os.kill(pid, signal.SIGTERM)
    _, e, _ = w.event()
    check("the end", (e["type"], e["code"], e["rev"] >= rev), (b"end", b"STOPPING", True))


def main():
    address, command = sys.argv[1:3]
    if command == "events":
        events(address)
    elif command == "unread":
        unread(address, int(sys.argv[3]))
    elif command == "slow":
        slow(address)
    else:
        stop(address, int(sys.argv[3]))


if __name__ == "__main__":
    main()
