#!/usr/bin/python3
# watchcheck.py: were watchers told everything, in order, and the same?
#
#	watchcheck.py STATE WATCHED...	STATE is what raftctl ls -j printed
#
# Revisions never go back.  A server that had not kept what was asked for says
# so and is left; that is no event.  A line that repeats the one before it was
# sent again to a watcher that came back, and is left out.  The last event of
# each key is what the store holds.

import json
import sys


def read(path):
    with open(path) as f:
        for line in f:
            if line.endswith("\n"):
                yield json.loads(line)


def name(record):
    return record.get("key") or record.get("key_b64")


def events(path):
    found, last = [], (0, "")
    for e in read(path):
        if e["type"] not in ("put", "delete", "expire"):
            continue
        if e["rev"] < last[0]:
            sys.exit("%s: back from %d to %d" % (path, last[0], e["rev"]))
        last = (e["rev"], name(e))
        value = None if e["type"] != "put" else e.get(
            "value", e.get("value_b64"))
        event = (e["rev"], name(e), e["type"], value)
        if not found or found[-1] != event:
            found.append(event)
    return found


state = {name(r): r["mod_rev"] for r in read(sys.argv[1])}
watched = [events(p) for p in sys.argv[2:]]
for path, other in zip(sys.argv[3:], watched[1:]):
    if other != watched[0]:
        for a, b in zip(watched[0], other):
            if a != b:
                sys.exit("%s has %s, %s has %s"
                         % (sys.argv[2], a, path, b))
        sys.exit("%s has %d events, %s has %d" % (
            sys.argv[2], len(watched[0]), path, len(other)))
latest = {}
for rev, key, kind, _ in watched[0]:
    latest[key] = rev if kind == "put" else None
for key in set(latest) | set(state):
    if latest.get(key) != state.get(key):
        sys.exit("%s: watched %s, held %s"
                 % (key, latest.get(key), state.get(key)))
print(len(watched[0]))
