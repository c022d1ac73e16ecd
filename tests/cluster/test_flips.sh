#!/bin/sh
# test_flips.sh: bytes of a stopped server's log and snapshot are changed, in
# one of three, and it is whole again: by itself, or by raftwal repair.
#
# ROUNDS is how many (4).  SEED picks server, file and byte.  Each round is
# counted: noticed by check or verify, started, no write lost.
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-4}
seed=${SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
note "SEED=$seed ROUNDS=$rounds"

# flip FILE OFFSET BYTES
flip() {
	"$python" - "$1" "$2" "$3" <<-'EOF'
	import sys
	with open(sys.argv[1], "r+b") as f:
	    f.seek(int(sys.argv[2]))
	    b = f.read(int(sys.argv[3]))
	    f.seek(int(sys.argv[2]))
	    f.write(bytes(x ^ 0x10 for x in b))
	EOF
}

# 0 .. $1 - 1.  A linear congruence is random enough.
pick() {
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	echo $((seed / 64 % $1))
}

caught_up() { # ID
	raftctl -t 5s members >"$T/members" && jq -e -s \
	    "map(select(.id == $1 and .in_sync)) | length == 1" "$T/members"
}

lab -n 3 -- --snapshot-entries 300
writers 3 a
more 400 || note "few writes: $(acked)"
i=0
noticed=0
silent=0
mended=0
back=0
while [ $i -lt "$rounds" ]; do
	i=$((i + 1))
	more 150 30
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	victim=$(($(pick 3) + 1))
	d=$RAFT_LAB/$victim
	raftlab kill "$victim"
	snap=$(find "$d/snap" -name '*.snap' 2>/dev/null | sort | tail -n 1)
	if [ $((i % 4)) -eq 3 ] && [ -n "$snap" ]; then
		flip "$snap" "$(pick "$(stat -c %s "$snap")")" 1
		raftsnap verify "$snap" >/dev/null 2>&1
		status=$?
	else
		log=$(raftwal ls "$d" | jq -r 'select(.records > 0).file' |
		    head -n 1)
		used=$(raftwal ls "$d" | jq "select(.file == \"$log\").used")
		at=$(pick "$used")
		# One bit, or more than the log can make good by itself.
		[ $((i % 2)) -eq 0 ] && len=1 || len=700
		flip "$d/$log" "$at" $len
		raftwal check "$d" >"$T/check.$i" 2>/dev/null
		status=$?
		! grep -q torn "$T/check.$i" || status=4
		note "round $i: server $victim $log byte $at, $len bytes"
	fi
	if [ $status -eq 0 ]; then
		silent=$((silent + 1))
		note "silent: server $victim ${snap:-} ${log:-}"
	else
		noticed=$((noticed + 1))
	fi
	if [ $((i % 4)) -eq 0 ] || [ $((i % 4)) -eq 1 ]; then
		raftwal repair --write --from-peer "$RAFT_ENDPOINTS" "$d" \
		    >"$T/repair.$i" 2>&1
		[ $? -ne 0 ] || mended=$((mended + 1))
		note "$(tail -n 1 "$T/repair.$i")"
	fi
	raftlab start "$victim" && wait_for 30 caught_up "$victim" &&
	    back=$((back + 1))
done
end_writers
is "$rounds damaged files: none is silent" "$noticed $silent" "$rounds 0"
is "each server is in sync again" "$back" "$rounds"
is "raftwal repair with a peer mends what it is tried on" \
    "$mended" "$(((rounds + 3) / 4 + rounds / 4))"
nothing_lost "after all rounds"
ok "all votes are there: any one may go" sh -c \
    'raftlab kill 1 && raftctl -t 20s put x y'

end
