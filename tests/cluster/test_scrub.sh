#!/bin/sh
# test_scrub.sh: what rots under a running server is found by its scrub and
# mended, without a restart and without the others.
. "$(dirname "$0")/lib.sh"

lab -n 1 -- --scrub 300ms --scrub-rate 1G --wal-segment 64K --snapshot-size 0
dir=$RAFT_LAB/1
[ -d "$dir/wal" ] || dir=$(dirname "$(find "$RAFT_LAB" -type d -name wal)")
log=$RAFT_LAB/1.log
pid=$(pid_of 1)
flip() { # FILE OFFSET
	"$python" -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]
    f.seek(int(sys.argv[2])); f.write(bytes([b ^ 4]))' "$1" "$2"
}
said() { # EVENT COUNT
	[ "$(grep -c "event=$1" "$log")" -ge "$2" ]
}
disk_is() {
	[ "$(raftctl -t 5s status -j | jq -r .disk)" = "$1" ]
}

writers 2 a
more 200
ok "a scrub under load" wait_for 20 said scrub 3
is "finds nothing where nothing is" \
    "$(grep event=scrub "$log" | grep -vc 'log=whole snapshots_damaged=0')" 0
end_writers

segment=$(find "$dir/wal" -name '*.wal' | sort | head -n 1)
flip "$segment" 5000
ok "rot in the log is found" wait_for 20 said rot 1
ok "and mended" wait_for 20 said mended 1
ok "the damaged segment is gone" test ! -e "$segment"
ok "the status says so" wait_for 5 disk_is ok

# The segment that is written to, by a server that has nothing to do.
segment=$(find "$dir/wal" -name '*.wal' | sort | head -n 1)
flip "$segment" 5000
ok "in the last segment, too" wait_for 20 said mended 2

raftctl -t 10s put more data
ok "a snapshot" raftctl -t 10s snapshot
snap=$(find "$dir/snap" -type f | sort | tail -n 1)
flip "$snap" 200
ok "a snapshot that rots is found" wait_for 20 said snapshot_damaged 1
ok "and put aside" test -e "$dir/quarantine/$(basename "$snap")"
raftctl -t 10s put yet more
another() {
	[ "$(grep -c 'event=snapshot group' "$log")" -ge 3 ]
}
ok "another one is taken" wait_for 20 another
is "all this without a restart" "$(pid_of 1)" "$pid"
whole() {
	tail -n 1 "$log" | grep -q 'log=whole snapshots_damaged=0 result="Succ'
}
ok "the scrub finds nothing any more" wait_for 10 whole
raftlab kill 1
raftlab start 1
nothing_lost "rot"
is "the next start found no damage" "$(grep -c 'event=damaged' "$log")" 0
raftlab stop 1
ok "nor does raftwal" raftwal check "$dir"
raftlab down
end
