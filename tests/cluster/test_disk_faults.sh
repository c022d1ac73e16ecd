#!/bin/sh
# test_disk_faults.sh: disks that are full, slow, stalled, failing, and that
# forget at a loss of power, with real kernels and file systems.
# alone: whoever looks at all loop devices keeps those of others in use
. "$(dirname "$0")/lib.sh"

if ! strace -o /dev/null true 2>/dev/null; then
	skip "slow and failing disks" "strace does not work here"
	end
fi

lab -n 3
running() { # ID
	[ "$(raftlab ps -j | jq -r "select(.id == $1).running")" = true ]
}
is_dead() {
	! running "$1"
}
put_ms() { # median of 5
	for i in 1 2 3 4 5; do
		start=$(date +%s%N)
		raftctl -t 10s put "slow/$i" x || return 1
		echo $((($(date +%s%N) - start) / 1000000))
	done | sort -n | sed -n 3p
}
fast=$(put_ms)
for id in 1 2 3; do
	faults disk slow $id 200ms >/dev/null
done
slow=$(put_ms)
ok "a put waits for slow disks: $fast ms, then $slow ms" \
    test "$slow" -ge 190 -a "$slow" -gt "$fast"
ok "heal" faults heal
ok "a healed disk is fast" test "$(put_ms)" -lt 190

id=$(follower)
faults disk eio "$id" >/dev/null
raftctl -t 10s put key value
ok "EIO reaches the server, which ends" wait_for 10 is_dead "$id"
ok "and says so" grep -qi 'input/output error' "$RAFT_LAB/$id.log" ||
    tail -n 3 "$RAFT_LAB/$id.log" | sed 's/^/#   /'
ok "heal starts it again" faults heal
ok "it runs" running "$id"
ok "all catch up" wait_for 20 same_digest
ok "the lab ends" raftlab down

if [ "$(id -u)" != 0 ] || ! losetup -f >/dev/null 2>&1; then
	skip "full, stalled and forgetful disks" "needs root and loop devices"
	end
fi
lab -n 3 --disk 256M
ours=$RAFT_LAB
is "each server has a disk" "$(mount | grep -c "$RAFT_LAB/[123].disk")" 3
id=$(follower)
fill() {
	dd if=/dev/zero of="$RAFT_LAB/$id.disk/probe" bs=4096 count=1 \
	    conv=fsync 2>"$T/err"
}
faults disk full "$id" >/dev/null
ok "a full disk takes no byte" sh -c '! dd if=/dev/zero bs=4096 count=1 \
    of="$1" conv=fsync 2>"$2"; grep -q "No space" "$2"' _ \
    "$RAFT_LAB/$id.disk/probe" "$T/err"
ok "the others serve" raftctl -t 10s put key value
ok "heal" faults heal
ok "there is room again" fill
rm -f "$RAFT_LAB/$id.disk/probe"
ok "the server runs" running "$id"

faults disk stall "$id" >/dev/null
fill &
writer=$!
child $writer
sleep 0.5
ok "who writes to a stalled disk waits" kill -0 $writer
ok "the others serve" raftctl -t 10s put key other
ok "heal" faults heal
ok "and then goes on" wait $writer
rm -f "$RAFT_LAB/$id.disk/probe"

writers 2 p
more 50
for id in 1 2 3; do
	: >"$RAFT_LAB/$id.disk/unsynced"
	faults disk powerloss $id >/dev/null
	is "$id lost power" "$(is_dead $id && echo yes)" yes
	more 20
	ok "heal" faults heal
	ok "it is up again" running $id
	ok "what was not synced is gone" \
	    test ! -e "$RAFT_LAB/$id.disk/unsynced"
	ok "writes go on" more 20
done
end_writers
nothing_lost "power lost"

# Some of what was not synced is there: sectors of the log, of a file and of
# none that is new.
writers 2 r
more 20
for id in 1 2 3; do
	probe=$RAFT_LAB/$id.disk/data/probe
	dd if=/dev/zero of="$probe" bs=512 count=256 conv=fsync 2>/dev/null
	tr '\0' x </dev/zero | dd of="$probe" bs=512 count=256 conv=notrunc \
	    iflag=fullblock 2>/dev/null
	: >"$RAFT_LAB/$id.disk/data/unsynced"
	faults disk torn $id >/dev/null
	is "$id lost power" "$(is_dead $id && echo yes)" yes
	ok "heal" faults heal
	like "and tells what was torn" "$(jq -r .detail "$T/tap.out")" \
	    "torn $id: * of * sectors"
	ok "it is up again" running $id
	torn=$(tr -cd x <"$probe" | wc -c)
	ok "about half of the sectors were written: $((torn / 512)) of 256" \
	    test $((torn % 512)) -eq 0 -a "$torn" -ge $((512 * 80)) -a \
	    "$torn" -le $((512 * 176))
	ok "a name that was not synced is gone" \
	    test ! -e "$RAFT_LAB/$id.disk/data/unsynced"
	rm -f "$probe"
	ok "writes go on" more 20
done
end_writers
nothing_lost "torn sectors"

writers 2 q
more 20
for id in 1 2 3; do
	faults disk powerloss $id >/dev/null
done
end_writers
ok "all lost power, and are healed" faults heal --all
nothing_lost "all power lost"
ok "the lab ends" raftlab down
# Of ours: other tests have disks of their own.
is "no mount and no loop device is left" \
    "$({ mount && losetup -a; } | grep -F "$ours")" ''
echo "1..$tap_n"
[ "$tap_failed" -eq 0 ]
