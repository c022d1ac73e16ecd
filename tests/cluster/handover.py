#!/usr/bin/python3
# handover.py: how long it takes to hand leadership over, and what it costs.
#
#	handover.py transfer COUNT ADDRESS,...	ms of each transfer, from asking
#						to the answer that another leads
#	handover.py stop PID ADDRESS,...	SIGTERM to the leader: the longest
#						time in ms, from then on for one
#						second, between two writes of
#						clients that succeeded
#
# Over connections that stand already: no start of a program is measured.

import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../cli")
from rpc import Client  # noqa: E402


def transfer(count, addresses):
    client = Client(addresses[0], 5)
    for _ in range(count):
        before = client.call("status")[1][b"leader"]
        start = time.monotonic()
        error, answer = client.call("transfer")
        took = (time.monotonic() - start) * 1000
        if error is not None or answer[b"leader"] == before:
            print("failed: %r %r" % (error, answer), file=sys.stderr)
            took = 1e6
        print("%.1f" % took, flush=True)
        time.sleep(0.05)


def stop(pid, addresses):
    done = []
    end = [time.monotonic() + 30]

    def write(address, n):
        client = None
        while time.monotonic() < end[0]:
            try:
                if client is None:
                    client = Client(address, 1)
                error, _ = client.call("put", "stop/%d" % n, b"x")
                if error is None:
                    done.append(time.monotonic())
            except (OSError, EOFError):
                client = None
                time.sleep(0.005)

    threads = [
        threading.Thread(target=write, args=(a, n)) for n, a in enumerate(addresses)
    ]
    for t in threads:
        t.start()
    while len(done) < 100 and time.monotonic() < end[0]:
        time.sleep(0.005)
    os.kill(pid, signal.SIGTERM)
    start = time.monotonic()
    end[0] = start + 1
    for t in threads:
        t.join()
    times = [start] + sorted(t for t in done if t >= start)
    gaps = [b - a for a, b in zip(times, times[1:])]
    print("%.1f" % (max(gaps) * 1000 if gaps else 1e6))


def main():
    what, number, addresses = sys.argv[1:4]
    {"transfer": transfer, "stop": stop}[what](int(number), addresses.split(","))


main()
