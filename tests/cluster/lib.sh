#!/bin/sh
# lib.sh: writers for the tests of clusters, over those of the command line.
# shellcheck disable=SC2034 # for whoever reads this file
. "$(dirname "$0")/../cli/lib.sh"

python=$(find_python msgpack)
if [ -z "$python" ]; then
	skip "all of it" "python3-msgpack is missing"
	end
fi
rpc=$top/tests/cli/rpc.py

# writers COUNT PREFIX: each puts keys of its own, one after the other, and
# notes what was acknowledged.
writers() {
	writer=0
	writing=
	while [ $writer -lt "$1" ]; do
		writer=$((writer + 1))
		"$python" "$rpc" "$RAFT_ENDPOINTS" write "$2w$writer/" \
		    "$T/acked.$2$writer" 2>"$T/writer.err" &
		child $!
		writing="$writing $!"
	done
}

acked() {
	cat "$T"/acked.* 2>/dev/null | wc -l
}

# more COUNT: waits until so many more writes were acknowledged.
more() {
	more_goal=$(($(acked) + $1))
	wait_for "${2:-20}" reached
}
reached() {
	[ "$(acked)" -ge "$more_goal" ]
}

end_writers() {
	for writer in $writing; do
		kill -s KILL "$writer" 2>/dev/null
		wait "$writer" 2>/dev/null
	done
	writing=
}

# Each acknowledged write is there, and all servers hold the same state.
nothing_lost() { # NAME
	wait_for 30 raftctl -t 10s wait healthy
	ok "$1: no acknowledged write is lost" \
	    "$python" "$rpc" "$(client_of "$(leader)")" check "$T"/acked.*
	note "$(cat "$T/tap.out")"
	ok "$1: all digests are equal" wait_for 30 same_digest ||
	    raftctl status --all -j | jq -c '[.id,.role,.term,.commit,.applied,
		.digest]' | sed 's/^/#   /'
}

term() {
	raftctl -t 10s status -j | jq .term
}
