#!/bin/sh
# test_failover.sh: how long nothing can be written after the leader is gone.
#
# The figure is printed, not judged: machines differ.  What is judged is that
# a closed connection tells, with an election timeout that is far longer.
# ROUNDS is how many (5).
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-5}

# measure: ROUNDS times, the ms from kill -9 to the next put, in $T/ms.
measure() {
	: >"$T/ms"
	i=0
	while [ $i -lt "$rounds" ]; do
		i=$((i + 1))
		raftctl -t 20s wait healthy || return 1
		victim=$(leader)
		"$python" "$rpc" "$(client_of "$(follower)")" fail \
		    "$(pid_of "$victim")" >>"$T/ms" || return 1
		raftlab start "$victim" || return 1
	done
}

say_times() {
	sort -n "$T/ms" | awk '{ t[NR] = $1 } END {
		printf "%s: median %.0f ms, worst %.0f ms of %d\n", name,
		    t[int((NR + 1) / 2)], t[NR], NR }' name="$1"
}

lab -n 3
ok "$rounds leaders are killed, election timeout 500ms" measure
note "$(say_times 'failover')"
raftlab down

lab -n 3 -- --election 10s --heartbeat 1s
rounds=2
ok "and with an election timeout of 10s" measure
note "$(say_times 'failover, election timeout 10s')"
is "the closed connection tells" "$(sort -n "$T/ms" | tail -n 1 |
    awk '{ print ($1 < 5000) ? "yes" : $1 " ms" }')" yes

end
