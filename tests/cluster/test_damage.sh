#!/bin/sh
# test_damage.sh: a log that is damaged where it had been synced.
#
# One of three servers: it follows, grants nothing, fetches what it lost, says
# so, and no acknowledged write is gone.  The damage is then a note of the
# past: a second start is like any other.
. "$(dirname "$0")/lib.sh"

lab -n 3
writers 4 a
ok "writes are acknowledged" more 400
end_writers
victim=$(follower)
raftlab kill "$victim"
log=$(find "$RAFT_LAB/$victim/wal" -name "*.wal" | sort | head -n 1)

# flip FILE OFFSET: 64 bytes of it.
flip() {
	python3 - "$1" "$2" <<-'EOF'
	import sys
	with open(sys.argv[1], "r+b") as f:
	    f.seek(int(sys.argv[2]))
	    b = f.read(64)
	    f.seek(int(sys.argv[2]))
	    f.write(bytes(x ^ 0x55 for x in b))
	EOF
}

# Amid the records: the tool knows where one begins.
offset=$(raftwal dump --from 100 --to 100 "$RAFT_LAB/$victim" |
    jq -s '.[0].offset')
ok "entry 100 is found" test "$offset" -gt 0
flip "$log" $((offset + 8))
must_fail "raftwal check sees it" 4 raftwal check "$RAFT_LAB/$victim"
ok "the server starts" raftlab start "$victim"
repaired() {
	raftlab logs "$victim" | grep -q event=repaired
}
ok "it says that it is whole again" wait_for 20 repaired
ok "it had said that it was not" \
    sh -c "raftlab logs $victim | grep -q event=damaged_log"
nothing_lost "after the repair"

ok "it stops" raftlab stop "$victim"
ok "it starts again" raftlab start "$victim"
again() {
	[ "$(raftlab logs "$victim" | grep -c event=repaired)" = 1 ]
}
ok "and needs no second repair" again
# It votes again: a quorum of it and one other elects.
other=$(raftlab ps -j | jq -r .id | grep -vx "$victim" | head -n 1)
ok "another server is killed" raftlab kill "$other"
ok "and it is of use for a quorum" raftctl -t 10s wait ready
ok "writes go on" raftctl -t 5s put after damage
ok "the other comes back" raftlab start "$other"
nothing_lost "at the end"

end
