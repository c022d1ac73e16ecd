#!/bin/sh
# test_power_loss.sh: power lost under load, again and again, on real file
# systems that are shut down without being flushed: whatever was acknowledged
# is there, and every directory opens.  POWER_ROUNDS=100 for all of it.
# alone: whoever looks at all loop devices keeps those of others in use
. "$(dirname "$0")/lib.sh"

rounds=${POWER_ROUNDS:-4}
if [ "$(id -u)" != 0 ] || ! losetup -f >/dev/null 2>&1; then
	skip "loss of power" "needs root and loop devices"
	end
fi

# lose ID...: the power of all of these at once, and back.
lose() {
	for id; do
		faults disk powerloss "$id" >/dev/null || return 1
	done
	faults heal >/dev/null
}
running() { # ID...
	for id; do
		[ "$(raftlab ps -j |
		    jq -r "select(.id == $id).running")" = true ] || return 1
	done
}
# Segments are small and snapshots frequent, so that logs are cut on the way.
small="--wal-segment 64K --snapshot-entries 60 --heartbeat 20ms"

# A server by itself has nobody to ask.
# shellcheck disable=SC2086
lab -n 1 --disk 64M -- $small
writers 3 one
round=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	more $((10 + round * 7 % 50)) || break
	lose 1 || break
	running 1 || break
done
is "a lone server: rounds" $round "$rounds"
ok "it runs" running 1
ok "and writes" more 20
end_writers
is "no damage was found" "$(grep -c 'event=damaged' "$RAFT_LAB/1.log")" 0
ok "snapshots were taken" grep -q event=log_cut "$RAFT_LAB/1.log"
nothing_lost "a lone server"
raftlab down
rm -f "$T"/acked.*

# shellcheck disable=SC2086
lab -n 3 --disk 64M -- $small
writers 3 three
round=0
while [ $round -lt "$rounds" ]; do
	round=$((round + 1))
	more $((10 + round * 7 % 50)) || break
	case $((round % 4)) in
	0) lose 1 2 3 ;;
	1) lose "$(leader)" ;;
	*) lose $((round % 3 + 1)) ;;
	esac || break
	running 1 2 3 || break
done
is "three servers: rounds" $round "$rounds"
ok "all run" running 1 2 3
ok "and write" more 20
end_writers
is "no damage was found" \
    "$(cat "$RAFT_LAB"/[123].log | grep -c 'event=damaged')" 0
nothing_lost "three servers"
raftlab down
end
