#!/usr/bin/python3
# once.py: clients in sessions over connections that break, by
# python3-msgpack alone.
#
#	once.py proxy SEED FROM=TO ...		unix sockets: each connection is
#						cut at random, and replies are
#						dropped before
#	once.py append ENDPOINTS CLIENTS COUNT KEYS HISTORY
#						appends of distinct tokens, and
#						reads among them; what was done
#						and seen goes to HISTORY
#	once.py judge ENDPOINTS CLIENTS COUNT KEYS
#						each token is there once, those
#						of a client in order

import asyncio
import json
import os
import random
import sys
import threading
import time

import msgpack

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
import rpc

# ---- the proxy ---------------------------------------------------------------


async def pump(reader, writer, fate, out):
    """Bytes on, until fate says otherwise.  out: from server to client."""
    try:
        while True:
            data = await reader.read(4096)
            if not data:
                break
            fate["left"] -= 1
            if fate["left"] <= 0:
                if out and fate["silent"]:
                    # The request was carried out, its answer is lost.
                    continue
                # Any part of it may still arrive.
                writer.write(data[: fate["random"].randrange(len(data) + 1)])
                break
            writer.write(data)
            await writer.drain()
            if out and fate["silent"] and fate["left"] < 4:
                break
    except OSError:
        pass
    finally:
        writer.close()


async def proxy(seed, pairs):
    rng = random.Random(seed)

    def serve(target):
        async def handle(reader, writer):
            try:
                r, w = await asyncio.open_unix_connection(target)
            except OSError:
                writer.close()
                return
            fate = {"left": rng.randrange(1, 120), "silent": rng.random() < 0.5,
                    "random": rng}
            await asyncio.gather(pump(reader, w, fate, False),
                                 pump(r, writer, fate, True))
        return handle

    for pair in pairs:
        path, target = pair.split("=")
        await asyncio.start_unix_server(serve(target), path)
    print("ready", flush=True)
    await asyncio.Event().wait()


# ---- clients in sessions -----------------------------------------------------


class Session:
    """One write at a time, each carried out once."""

    def __init__(self, endpoints, n, seed):
        self.endpoints = endpoints
        self.turn = n
        self.client = None
        self.name = "once-%d-%d" % (seed, n)
        self.since = None
        self.seq = 0
        self.tries = 0

    def connect(self):
        self.client = rpc.Client(
            self.endpoints[self.turn % len(self.endpoints)], 2)
        error, hello = self.client.call("hello", {"errors": "map"})
        if error is None and self.since is None:
            self.since = hello[b"time"]

    def call(self, method, *params):
        """Until there is an answer: the result."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.tries += 1
            try:
                if self.client is None:
                    self.connect()
                error, result = self.client.call(method, *params)
            except (OSError, EOFError, ValueError):
                self.client = None
                self.turn += 1
                continue
            if error is None:
                return result
            if error[b"code"] == b"SESSION":
                raise RuntimeError("the session was forgotten: %r" % error)
            time.sleep(0.005)
            self.turn += 1
            self.client = None
        raise RuntimeError("no answer for a minute")

    def append(self, key, token):
        while self.since is None:
            self.call("get", key)
        self.seq += 1
        before = self.tries
        r = self.call("put", key, token, {
            "append": True, "session": self.name, "seq": self.seq,
            "ack": self.seq, "since": self.since})
        return r[b"duplicate"], self.tries - before > 1


def token(client, n):
    return "%d.%d;" % (client, n)


def key_of(client, n, keys):
    return "once/%d" % ((client * 7919 + n) % keys)


def append(endpoints, clients, count, keys, path):
    lock = threading.Lock()
    history = open(path, "w")
    index = [0]
    sums = {"duplicate": 0, "again": 0, "failed": 0}

    def note(process, kind, f, key, value):
        with lock:
            history.write(json.dumps({
                "index": index[0], "time": time.monotonic_ns(),
                "process": process, "type": kind, "f": f, "key": key,
                "value": value}, separators=(",", ":")) + "\n")
            index[0] += 1

    def work(c):
        s = Session(endpoints, c, os.getpid())
        rng = random.Random(c)
        for n in range(count // clients):
            key = key_of(c, n, keys)
            try:
                note(c, "invoke", "append", key, token(c, n))
                duplicate, again = s.append(key, token(c, n))
                note(c, "ok", "append", key, token(c, n))
                with lock:
                    sums["duplicate"] += duplicate
                    sums["again"] += again
                if rng.random() < 0.1:
                    key = "once/%d" % rng.randrange(keys)
                    note(c, "invoke", "get", key, None)
                    r = s.call("get", key)
                    note(c, "ok", "get", key,
                         None if r is None else r[b"value"].decode())
            except RuntimeError as e:
                print("client %d: %s" % (c, e), file=sys.stderr)
                with lock:
                    sums["failed"] += 1
                return

    threads = [threading.Thread(target=work, args=(c,)) for c in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    history.close()
    print("%d appends by %d clients, %d asked again, %d answered as duplicates"
          % (count // clients * clients, clients, sums["again"], sums["duplicate"]))
    sys.exit(1 if sums["failed"] else 0)


def judge(endpoints, clients, count, keys):
    s = Session(endpoints, 0, 0)
    wrong = total = 0
    for k in range(keys):
        r = s.call("get", "once/%d" % k)
        value = "" if r is None else r[b"value"].decode()
        got = value.split(";")[:-1]
        total += len(got)
        want = {token(c, n)[:-1] for c in range(clients)
                for n in range(count // clients)
                if key_of(c, n, keys) == "once/%d" % k}
        if len(got) != len(set(got)) or set(got) != want:
            wrong += 1
            print("once/%d: %d tokens, %d distinct, %d wanted"
                  % (k, len(got), len(set(got)), len(want)))
        for c in range(clients):
            mine = [int(t.split(".")[1]) for t in got if t.startswith("%d." % c)]
            if mine != sorted(mine):
                wrong += 1
                print("once/%d: those of client %d are out of order" % (k, c))
    print("%d tokens in %d keys, %d wrong" % (total, keys, wrong))
    sys.exit(1 if wrong or total != count // clients * clients else 0)


def main():
    command = sys.argv[1]
    if command == "proxy":
        asyncio.run(proxy(int(sys.argv[2]), sys.argv[3:]))
    endpoints = sys.argv[2].split(",")
    clients, count, keys = (int(a) for a in sys.argv[3:6])
    if command == "append":
        append(endpoints, clients, count, keys, sys.argv[6])
    else:
        judge(endpoints, clients, count, keys)


if __name__ == "__main__":
    main()
