#!/bin/sh
# test_disk_space.sh: full and stalled disks, with real file systems: what a
# server does, and that it goes on by itself when that is over.
# alone: whoever looks at all loop devices keeps those of others in use
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ] || ! losetup -f >/dev/null 2>&1; then
	skip "full and stalled disks" "needs root and loop devices"
	end
fi

value=$(head -c 3000 /dev/zero | tr '\0' v)
st() { # ID FILTER
	raftctl -t 2s -s "$(client_of "$1")" status -j | jq -r "$2"
}
disk_is() { # ID STATE
	[ "$(st "$1" .disk)" = "$2" ]
}
# Puts until one is refused; its status.
put_until_refused() {
	n=0
	while [ $n -lt 3000 ]; do
		n=$((n + 1))
		raftctl -t 10s put "fill/$n" "$value" >"$T/out" 2>"$T/err"
		status=$?
		[ $status -eq 0 ] || break
	done
	echo $status
}
puts() {
	raftctl -t 10s put again x
}

# ---- one server ----------------------------------------------------------

lab -n 1 --disk 64M -- --wal-segment 256K --snapshot-size 0
pid=$(pid_of 1)
ok "a put" raftctl -t 10s put key value
faults disk full 1 >/dev/null
put_until_refused >"$T/status"
is "a full disk refuses writes with 75" "$(cat "$T/status")" 75
like "and says why" "$(cat "$T/err")" '*full*'
note "$n puts until then"
must_fail "it goes on doing so" 75 raftctl -t 10s put key other
is "reads are served" "$(raftctl -t 10s get key)" value
ok "the status says so" disk_is 1 full
must_fail "a snapshot finds no space either" 75 raftctl -t 10s snapshot
is "nothing of it is left" "$(find "$RAFT_LAB/1.disk" -name '*.snap*' \
    -o -name '*snap*.tmp')" ""
is "the log was not cut" "$(st 1 .first)" 1
ok "heal" faults heal
ok "writes are taken again" wait_for 10 puts
ok "the status says so" disk_is 1 ok
ok "a snapshot, too" wait_for 20 raftctl -t 10s snapshot
is "all this without a restart" "$(pid_of 1)" "$pid"
ok "nothing is wrong with the log" raftlab stop 1
ok "as raftwal finds" raftwal check "$RAFT_LAB/1.disk/data"
raftlab down

# ---- three servers -------------------------------------------------------

lab -n 3 --disk 64M -- --wal-segment 256K --snapshot-size 0
full=$(leader)
raftctl -t 10s put seen v
writers 1 s
more 20
faults disk full "$full" >/dev/null
new_leader() { # ID: somebody else
	now=$(leader)
	[ -n "$now" ] && [ "$now" != "$1" ]
}
ok "a leader whose disk is full hands over" wait_for 30 new_leader "$full"
ok "it knows" disk_is "$full" full
ok "writes go on" more 100
is "it reads" "$(raftctl -s "$(client_of "$full")" -t 10s get seen)" v
end_writers
faults heal >/dev/null
for id in 1 2 3; do
	wait_for 10 disk_is $id ok
done
ok "all are level" wait_for 20 same_digest
for id in 1 2 3; do
	faults disk full $id >/dev/null
done
refused() {
	raftctl -t 10s put x "$value" >"$T/out" 2>"$T/err"
	[ $? -eq 75 ] && grep -q full "$T/err"
}
ok "when all are full writes are refused" wait_for 30 refused
last=$(leader)
in_sync() {
	raftctl -t 5s members -j | jq -se 'all(.lag_entries == 0)'
}
wait_for 10 in_sync || note "$(raftctl members -j)"
raftlab kill "$last"
ok "the full ones elect a leader" wait_for 20 new_leader "$last"
is "that reads" "$(raftctl -t 10s get seen)" v
must_fail "and does not write" 75 raftctl -t 10s put x y
raftlab start "$last"
ok "heal" faults heal --all
ok "writes are taken again" wait_for 10 puts
for id in 1 2 3; do
	ok "$id has space" wait_for 10 disk_is $id ok
done
nothing_lost "full disks"

# ---- a stalled leader ----------------------------------------------------

writers 1 t
more 20
stalled=$(leader)
follower=$(follower)
faults disk stall "$stalled" >/dev/null
from=$(date +%s%N)
moved() {
	now=$(raftctl -t 1s -s "$(client_of "$follower")" status -j |
	    jq -r .leader)
	[ "$now" != null ] && [ "$now" != "$stalled" ]
}
ok "leadership leaves a stalled disk" wait_for 20 moved
took=$((($(date +%s%N) - from) / 1000000))
ok "within two election timeouts of 500 ms: $took ms" test $took -le 1000
ok "writes go on" more 50
term=$(term)
sleep 1
is "the term does not run away" "$(term)" "$term"
ok "heal" faults heal
ok "the server is of use again" wait_for 20 disk_is "$stalled" ok
end_writers
nothing_lost "a stalled disk"
leads() {
	raftctl -t 10s transfer "$stalled" || [ "$(leader)" = "$stalled" ]
}
ok "it can lead" wait_for 10 leads
ok "and write" puts
raftlab down
end
