#!/bin/sh
# test_bounded.sh: writes without end leave a bounded directory and flat
# memory.  What an hour of them does with the default snapshot-size a short
# run does with a small one: the number of cuts counts.  BOUNDED_TIME=90s
# for more of them.
. "$(dirname "$0")/lib.sh"

time=${BOUNDED_TIME:-8s}
lab -n 3 -- --snapshot-size 2M --wal-segment 1M --cache 4M
dirs=$(find "$RAFT_LAB" -type d -name wal -exec dirname {} \;)
size() { # of the largest, in KiB
	for dir in $dirs; do
		du -sk "$dir" | cut -f 1
	done | sort -n | tail -n 1
}
memory() { # of the largest, in KiB
	for id in 1 2 3; do
		awk '/^VmRSS/ { print $2 }' "/proc/$(pid_of $id)/status"
	done | sort -n | tail -n 1
}
load() { # DURATION
	loadgen run --clients 32 --pipeline 8 --mix put=100 --keys 1000 \
	    --value-size 1K --time "$1" --warmup 0s --progress none >"$T/load"
}
load 4s
settled=$(memory)
load "$time" &
child $!
job=$!
size_max=0 memory_max=0
while kill -0 $job 2>/dev/null; do
	sleep 0.5
	now=$(size)
	[ "$now" -le $size_max ] || size_max=$now
	now=$(memory)
	[ "$now" -le $memory_max ] || memory_max=$now
done
wait $job
cuts=$(cat "$RAFT_LAB"/[123].log | grep -c event=log_cut)
written=$(awk '/event=log_cut/ { for (i = 1; i <= NF; i++)
	if (split($i, a, "=") == 2 && a[1] == "last") n = a[2] }
	END { print int(n / 1000) }' "$RAFT_LAB/1.log")
note "$written thousand writes of 1 KiB, $cuts cuts on three servers;" \
    "directory at most $size_max KiB, memory $settled KiB settled," \
    "$memory_max at most"
ok "the log was cut again and again" test "$cuts" -ge 6
# Two snapshots of 1 MiB, log for two and what is on the way, segments.
ok "the directory is bounded" test $size_max -le 24576
ok "memory is flat" test "$memory_max" -le $((settled + settled / 2))
raftlab down
end
