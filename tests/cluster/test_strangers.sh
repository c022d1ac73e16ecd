#!/bin/sh
# test_strangers.sh: a server of another cluster and a clone of a server are
# refused and change nothing.
. "$(dirname "$0")/lib.sh"

lab -n 3
raftctl put k v
raftctl -t 10s wait healthy
peers=$(raftlab ps -j | jq -r '"\(.id)=\(.peer)"' | paste -sd ,)
f=$(follower)

# unchanged WHAT: the cluster is what it was, and works.
remember() {
	before=$(raftctl members | jq -c '[.id,.address,.voter]')
	term=$(term)
}
unchanged() {
	is "$1: the members are the same" \
	    "$(raftctl members | jq -c '[.id,.address,.voter]')" "$before"
	is "$1: the term is the same" "$(term)" "$term"
	ok "$1: a put" raftctl -t 5s put k "$1"
	ok "$1: all digests are equal" wait_for 10 same_digest
}
stranger() { # OPTION...
	raftd "$@" >"$T/stranger.out" 2>"$T/stranger.log" </dev/null &
	stranger=$!
	child $stranger
}
# Some server has said in its log that it refused a peer.
refused() {
	cat "$RAFT_LAB"/*.log | grep -i 'refuse' | grep -q "$1"
}

remember
# It believes to be server 2 of these three.
stranger -n "$f" -d "$T/other" -p "unix:$T/other.peer" -c "unix:$T/other.c" \
    --cluster other --bootstrap \
    "$(printf '%s' "$peers" | sed "s|$f=[^,]*|$f=unix:$T/other.peer|")"
ok "a server of another cluster is refused" wait_for 15 refused cluster
unchanged "another cluster"
kill -s KILL $stranger
wait $stranger 2>/dev/null

# A copy of a stopped server's directory runs beside the original.
raftlab stop "$f"
cp -r "$RAFT_LAB/$f" "$T/clone"
raftlab start "$f"
raftctl -t 10s wait healthy
remember
before_boot=$(raftctl -s "$(client_of "$f")" get --read=stale k)
stranger -n "$f" -d "$T/clone" -p "unix:$T/clone.peer" -c "unix:$T/clone.c" \
    --bootstrap "$peers"
ok "a clone is refused" wait_for 15 refused clone ||
    show "$T/stranger.log" "$RAFT_LAB"/*.log
unchanged "a clone"
is "a clone: the original serves" \
    "$(raftctl -t 5s -s "$(client_of "$f")" get k)" "a clone"
is "a clone: it was right before" "$before_boot" "another cluster"
kill -s KILL $stranger 2>/dev/null
wait $stranger 2>/dev/null

end
