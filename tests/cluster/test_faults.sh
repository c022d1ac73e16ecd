#!/bin/sh
# test_faults.sh: a leader that dies or stalls, all servers dying, a restart,
# and a follower that was away, under load.
. "$(dirname "$0")/lib.sh"

lab -n 3
writers 3 a
ok "writes are acknowledged" more 50

old=$(leader)
term=$(term)
raftlab kill "$old"
ok "writes go on after kill -9 of the leader" more 50
new=$(leader)
like "another one leads" "$new" "[!$old]"
is "in a later term" "$([ "$(term)" -gt "$term" ] && echo yes)" yes
ok "the dead one comes back" raftlab start "$old"
ok "and catches up while writes go on" more 50
end_writers
nothing_lost "leader killed"

writers 3 b
more 50
raftlab kill 1 2 3
end_writers
ok "all come back after kill -9 of all" raftlab start 1 2 3
ok "and find a leader" raftctl -t 20s wait leader
nothing_lost "all killed"

# SIGTERM finishes what is in flight.
writers 3 c
more 50
for id in 1 2 3; do
	ok "server $id stops and starts again under load" sh -c \
	    'raftlab stop "$1" && raftlab start "$1"' _ $id
	is "with status 0, by its log" "$(grep -c 'level=error' \
	    "$RAFT_LAB/$id.log")" 0
	ok "and writes go on" more 20
done
end_writers
nothing_lost "all restarted in turn"
raftlab stop 1 2 3
ok "all start again after all were stopped" raftlab start 1 2 3
ok "and find a leader once more" raftctl -t 20s wait leader
nothing_lost "all stopped"

# A leader that stalls is replaced, and what it says later is too late.
writers 3 d
more 50
old=$(leader)
raftlab pause "$old"
ok "writes go on when the leader is paused" more 50 30
new=$(raftctl -t 10s -s "$(raftlab ps -j | jq -r \
    "select(.id != $old).client" | paste -sd ,)" status -j | jq .leader)
like "another one leads for it" "$new" "[!$old]"
raftlab resume "$old"
follows() {
	[ "$(raftctl -t 2s -s "$(client_of "$old")" status -j |
	    jq -r '.role + " " + (.leader | tostring)')" != "leader $old" ]
}
ok "the old one follows when it wakes" wait_for 10 follows
ok "and writes go on" more 20
end_writers
nothing_lost "leader paused"

# What a follower has forwarded to a leader that is silent goes to the next.
old=$(leader)
id=$(follower)
raftlab pause "$old"
begun=$(date +%s%N)
raftctl -s "$(client_of "$id")" -t 20s put forwarded once >"$T/out" 2>"$T/err"
status=$? took=$((($(date +%s%N) - begun) / 1000000))
raftlab resume "$old"
is "a write that a follower had sent to a paused leader is done" $status 0 ||
    show "$T/err"
ok "by the next leader, within some elections: $took ms" test $took -lt 5000
ok "all follow again" wait_for 20 raftctl -t 10s wait healthy

# A follower that was away gets all that it missed.
away=$(follower)
raftlab kill "$away"
writers 3 e
ok "writes go on without one follower" more 200
term=$(term)
raftlab start "$away"
end_writers
nothing_lost "follower away"
is "its return disturbed nobody" "$(term)" "$term"

# Damage inside a follower's log: it says so, and gets from the others what it
# cannot vouch for.
f=$(follower)
raftlab kill "$f"
raftwal dump --type entry "$RAFT_LAB/$f" |
    jq -s -r '.[length / 2 | floor] | [.offset + .len - 4, .file] | @tsv' \
    >"$T/where"
read -r offset file <"$T/where"
printf 'XXXX' | dd of="$RAFT_LAB/$f/$file" bs=1 seek="$offset" conv=notrunc \
    2>/dev/null
is "the log of a follower is damaged" "$(raftwal check "$RAFT_LAB/$f" |
    tail -n 1 | jq .ok)" false
writers 2 f
ok "it starts all the same" raftlab start "$f"
like "and says what it found" "$(grep level=error "$RAFT_LAB/$f.log")" \
    "*$file*damaged*"
ok "writes go on" more 50
end_writers
nothing_lost "follower damaged"
raftlab stop "$f"
is "its log knows of nothing that it lacks" "$(raftwal stat "$RAFT_LAB/$f" |
    jq -c '.groups[0] | [.damaged, .last == .last_known]')" '[false,true]'
ok "and it starts from it" sh -c 'raftlab start "$1" &&
    raftctl -t 10s wait healthy' _ "$f"
ok "with the same state" wait_for 10 same_digest

end
