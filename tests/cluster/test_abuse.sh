#!/bin/sh
# test_abuse.sh: garbage, half frames, bombs and idle connections, on the
# ports of clients and of peers.
. "$(dirname "$0")/lib.sh"

ulimit -n "$(ulimit -Hn)" 2>/dev/null
abuse=$top/tests/cluster/abuse.py

rss_kb() { # PID
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

abused() { # HOW ADDRESS-KEY
	victim=$(leader)
	address=$(raftlab ps -j | jq -r "select(.id == $victim).$2")
	pid=$(pid_of "$victim")
	before_kb=$(rss_kb "$pid")
	for kind in garbage not-rpc bombs nesting lengths half; do
		ok "$1: $kind is refused" timeout 60 "$python" "$abuse" \
		    "$address" $kind
		note "$(cut -c 1-100 "$T/tap.out")"
	done
	if [ "$2" = client ]; then
		like "$1: what is no request gets an answer" \
		    "$("$python" "$abuse" "$address" not-rpc)" '*PROTOCOL*'
	fi
	"$python" "$abuse" "$address" idle 1000 >"$T/idle" 2>&1 &
	idle=$!
	child $idle
	ok "$1: 1000 idle connections" wait_for 20 grep -q '1000 connected' \
	    "$T/idle" || show "$T/idle"
	ok "$1: writes go on beside them" more 50
	ok "$1: so does a new client" raftctl -t 5s put k v
	grown_mb=$((($(rss_kb "$pid") - before_kb) / 1024))
	note "$1: memory grew by $grown_mb MiB"
	is "$1: memory is bounded" \
	    "$([ $grown_mb -lt $limit_mb ] || echo "$grown_mb MiB")" ""
	kill -s KILL $idle
	wait $idle 2>/dev/null
	is "$1: the leader is the same process" "$(pid_of "$(leader)")" "$pid"
	is "$1: and the term is the same" "$(term)" "$term"
}

# A sanitizer keeps what was freed for a while.
case $build in *-address* | *-thread*) limit_mb=600 ;; *) limit_mb=64 ;; esac

lab -n 3
writers 2 u
more 20
term=$(term)
abused "client socket" client
abused "peer socket" peer
end_writers
nothing_lost "abuse of sockets"
raftlab down
rm -f "$T"/acked.*

lab -n 3 --tcp
writers 2 t
more 20
term=$(term)
abused "client port" client
abused "peer port" peer
end_writers
nothing_lost "abuse of ports"

end
