#!/usr/bin/python3
# latency.py: latencies of a history in two spans of time.
#
#	latency.py HISTORY BEFORE-END CHANGE-BEGIN CHANGE-END
#
# The bounds are seconds since the history began.  Prints one JSON object:
# operations, p50 and p99 in ms of those that began before BEFORE-END, and of
# those that began from CHANGE-BEGIN to CHANGE-END, puts and gets together.
# What was refused and what is in doubt has no latency and is not counted
# here; whoever calls looks at the errors.

import json
import sys


def percentile(values, share):
    if not values:
        return None
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 3)


def main():
    path = sys.argv[1]
    before, begin, end = (float(a) for a in sys.argv[2:5])
    open_at = {}
    spans = {"before": [], "during": []}
    with open(path) as f:
        for line in f:
            event = json.loads(line)
            time, process = event["time"] / 1e9, event["process"]
            if event["type"] == "invoke":
                open_at[process] = time
                continue
            start = open_at.pop(process, None)
            if start is None or event["type"] != "ok":
                continue
            if start < before:
                spans["before"].append((time - start) * 1e3)
            elif begin <= start < end:
                spans["during"].append((time - start) * 1e3)
    out = {}
    for name, values in spans.items():
        out[name] = {
            "ops": len(values),
            "p50": percentile(values, 0.5),
            "p99": percentile(values, 0.99),
        }
    print(json.dumps(out))


main()
