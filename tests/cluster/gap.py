#!/usr/bin/python3
# gap.py: how long a cluster takes no write.
#
#	gap.py gap SECONDS ADDRESS,...	the longest time in ms between two
#					writes that succeeded, from the first on
#	gap.py leader ADDRESS,...	which of them leads, from 1; of etcd only
#
# One writer a server: a small put every 5 ms; one that has no answer after
# 200 ms is given up with its connection.  An address that begins with http://
# is etcd's, whose gateway takes JSON.

import base64
import http.client
import json
import os
import sys
import threading
import time

LIMIT_S = 0.2


class Etcd:
    def __init__(self, address):
        self.http = http.client.HTTPConnection(
            address[len("http://"):], timeout=LIMIT_S)

    def ask(self, path, body):
        self.http.request("POST", path, json.dumps(body))
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError(text)
        return json.loads(text)

    def put(self, key):
        b64 = base64.b64encode(key.encode()).decode()
        self.ask("/v3/kv/put", {"key": b64, "value": "eA=="})


class Raftd:
    def __init__(self, address):
        sys.path.insert(0, os.path.dirname(
            os.path.abspath(__file__)) + "/../cli")
        from rpc import Client
        self.client = Client(address, LIMIT_S)

    def put(self, key):
        self.client.call("put", key, b"x")


def connect(address):
    return (Etcd if address.startswith("http://") else Raftd)(address)


def write(address, n, end, done):
    client = None
    while time.monotonic() < end:
        try:
            if client is None:
                client = connect(address)
            client.put("gap/%d" % n)
            done.append(time.monotonic())
            time.sleep(0.005)
        except Exception:
            client = None
            time.sleep(0.02)


def gap(seconds, addresses):
    end = time.monotonic() + seconds
    done = []
    threads = [threading.Thread(target=write, args=(a, n, end, done))
               for n, a in enumerate(addresses)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if not done:
        return seconds * 1000
    done.append(end)
    done.sort()
    return max(b - a for a, b in zip(done, done[1:])) * 1000


def leader(addresses):
    """All have to agree."""
    said = set()
    ids = []
    for a in addresses:
        status = Etcd(a).ask("/v3/maintenance/status", {})
        ids.append(status["header"]["member_id"])
        said.add(status.get("leader"))
    if len(said) != 1 or None in said:
        sys.exit(1)
    return ids.index(said.pop()) + 1


if sys.argv[1] == "gap":
    print(int(gap(float(sys.argv[2]), sys.argv[3].split(","))))
else:
    print(leader(sys.argv[2].split(",")))
