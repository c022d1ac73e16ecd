#!/usr/bin/python3
# gap.py: how long a cluster takes no write.
#
#	gap.py SECONDS ADDRESS,...	the longest time in ms between two
#					writes that succeeded, from the first on
#
# One writer a server: a small put every 5 ms; one that has no answer after
# 200 ms is given up with its connection.

import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../cli")
from rpc import Client  # noqa: E402

seconds, addresses = float(sys.argv[1]), sys.argv[2].split(",")
end = time.monotonic() + seconds
done = []


def write(address, n):
    client = None
    while time.monotonic() < end:
        try:
            if client is None:
                client = Client(address, 0.2)
            client.call("put", "gap/%d" % n, b"x")
            done.append(time.monotonic())
            time.sleep(0.005)
        except Exception:
            client = None
            time.sleep(0.02)


threads = [threading.Thread(target=write, args=(a, n))
           for n, a in enumerate(addresses)]
for t in threads:
    t.start()
for t in threads:
    t.join()
done.append(end)
done.sort()
print(int(max(b - a for a, b in zip(done, done[1:])) * 1000)
      if len(done) > 1 else int(seconds * 1000))
