#!/bin/sh
# test_snapshot.sh: the log is cut, and a follower that was away gets the
# snapshot, under load, whoever is killed on the way.
. "$(dirname "$0")/lib.sh"

lab -n 3 -- --snapshot-size 256K --wal-segment 64K

writers 3 a
more 300
away=$(follower)
raftlab kill "$away"
more 600
ok "every server that runs cuts its log" raftctl -t 20s compact -j
for id in $(raftlab ps -j | jq -r 'select(.running).id'); do
	raftctl -t 20s -s "$(client_of "$id")" compact -j >"$T/cut.$id"
	ok "server $id begins its log behind the snapshot" jq -e \
	    '.first == .index + 1 and .bytes > 0' "$T/cut.$id"
done
more 50
raftlab start "$away"

caught_up() { # ID
	raftctl -t 2s -s "$(client_of "$1")" status -j >"$T/st" 2>/dev/null &&
	    jq -e --argjson i "$(jq .index "$T/cut.$(leader)")" \
		'.ok and .applied > $i' "$T/st"
}
ok "a follower that was away catches up by the snapshot" \
    wait_for 30 caught_up "$away"
ok "it installed one" grep -q 'event=snapshot_install .*used=1' \
    "$RAFT_LAB/$away.log"

# Once more, and it is killed as soon as it has begun to receive.
rounds=0
while [ $rounds -lt 4 ]; do
	rounds=$((rounds + 1))
	raftlab kill "$away"
	more 200
	for id in $(raftlab ps -j | jq -r 'select(.running).id'); do
		raftctl -t 20s -s "$(client_of "$id")" compact -j >"$T/cut.$id"
	done
	raftlab start "$away"
	if [ $((rounds % 2)) -eq 0 ]; then
		raftlab kill "$away"
		raftlab start "$away"
	fi
done
end_writers
ok "killed and started, it catches up" wait_for 40 same_digest
nothing_lost "after snapshots"

for id in 1 2 3; do
	raftlab kill "$id"
done
for id in 1 2 3; do
	raftlab start "$id"
done
nothing_lost "after all were killed"

# A damaged newest snapshot is put aside, and an older one or the leader helps.
raftctl -t 20s -s "$(client_of "$away")" snapshot -j >"$T/snap"
raftlab kill "$away"
newest=$RAFT_LAB/$away/$(jq -r .file "$T/snap")
size=$(wc -c <"$newest")
printf 'X' | dd of="$newest" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
raftlab start "$away"
nothing_lost "after damage of a snapshot"
ok "the damaged one is in quarantine" \
    ls "$RAFT_LAB/$away/quarantine/$(basename "$newest")"
# Without any of them.
raftlab kill "$away"
rm -f "$RAFT_LAB/$away"/snap/*.snap
raftlab start "$away"
nothing_lost "after loss of all snapshots"
end
