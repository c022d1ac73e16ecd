#!/bin/sh
# test_transfer.sh: leadership is handed over under full load, and when its
# holder is told to stop.
#
# TRANSFERS is how often under load (20), STOPS how often by SIGTERM (5).
# Each transfer must end within one election timeout; the median of what the
# stops cost must be below 50 ms, the worst is printed: the machine may be
# doing other things.
. "$(dirname "$0")/lib.sh"

transfers=${TRANSFERS:-20}
stops=${STOPS:-5}
handover=$top/tests/cluster/handover.py
election=500

lab -n 3

# Closed loop: as many writes as the machine can do.
loadgen run --mix put=90,get=10 --clients 64 --keys 2000 --prefix full \
    --time 10m --warmup 0s --progress none --history "$T/history" \
    >"$T/load" 2>"$T/load.err" &
load=$!
child $load
wait_for 10 test -s "$T/history"
ok "$transfers transfers under full load" "$python" "$handover" transfer \
    "$transfers" "$(client_of 1)"
cp "$T/tap.out" "$T/took"
kill -s INT $load
wait $load
slow() {
	awk -v max=$election '$1 > max' "$T/took" | wc -l
}
is "each within an election timeout of $election ms" \
    "$(wc -l <"$T/took") $(slow)" "$transfers 0"
note "$(sort -n "$T/took" | awk '{ t[NR] = $1 } END {
	printf "median %.1f ms, worst %.1f ms of %d", t[int((NR + 1) / 2)],
	    t[NR], NR }') at $(jq '.ops_per_s | floor' "$T/load") ops/s"
is "nobody is told that an outcome is unknown" "$(jq .unknown "$T/load")" 0
is "nothing fails but what may be tried again" \
    "$(jq -c '.errors | del(.NO_LEADER, .BUSY, .NOT_APPLIED)' "$T/load")" '{}'
ok "the history is linearizable" loadgen check "$T/history"

# ---- a leader that stops ----------------------------------------------------

i=0
while [ $i -lt "$stops" ]; do
	i=$((i + 1))
	wait_for 20 raftctl -t 5s wait healthy
	id=$(leader)
	others=$(for other in 1 2 3; do
		[ $other = "$id" ] || client_of $other
	done | paste -sd , -)
	"$python" "$handover" stop "$(pid_of "$id")" "$others" >>"$T/stops" \
	    2>>"$T/stops.err" || show "$T/stops.err"
	wait_for 10 gone "$(pid_of "$id")"
	raftlab start "$id"
done
below() {
	[ "$(wc -l <"$T/stops")" = "$stops" ] &&
	    sort -n "$T/stops" | awk '{ t[NR] = $1 }
	    END { exit !(t[int((NR + 1) / 2)] < 50) }'
}
ok "SIGTERM of the leader costs clients less than 50 ms" below
note "$(sort -n "$T/stops" | awk '{ t[NR] = $1; n += $1 < 50 } END {
	printf "gap: median %.1f ms, worst %.1f ms, %d of %d below 50",
	    t[int((NR + 1) / 2)], t[NR], n, NR }');$(uptime | sed 's/.*load/ load/')"

end
