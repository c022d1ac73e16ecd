#!/usr/bin/python3
# lag.py: how far a server is behind, as a client of it sees it.
#
#	lag.py NEAR FAR STOP
#
# Until the file STOP is there: puts a number at NEAR and asks FAR every
# millisecond, stale, until it is seen.  Prints the milliseconds from the
# acknowledgement until then, one a line.

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)) + "/../cli")
from rpc import Client  # noqa: E402

near, far = Client(sys.argv[1]), Client(sys.argv[2])
n = 0
while not os.path.exists(sys.argv[3]):
    n += 1
    value = b"%d" % n
    error, _ = near.call("put", "sites/mark", value)
    acked = time.monotonic()
    while error is None:
        error, record = far.call("get", "sites/mark", {"read": "stale"})
        if record is not None and record[b"value"] == value:
            print("%.1f" % ((time.monotonic() - acked) * 1000))
            break
        time.sleep(0.001)
    time.sleep(0.1)
