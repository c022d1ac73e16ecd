#!/bin/sh
# test_raftsnap.sh: snapshots out of a directory, through pipes, compared,
# damaged, and as the beginning of a new cluster.
. "$(dirname "$0")/lib.sh"

lab -n 3
i=0
while [ $i -lt 40 ]; do
	i=$((i + 1))
	raftctl put "k/$i" "value $i"
done
raftctl del k/7
one=$(client_of 1)
raftctl -t 10s -s "$one" wait healthy >/dev/null
ok "a server takes a snapshot when asked" raftctl -s "$one" -j snapshot
dir=$RAFT_LAB/1

raftsnap -d "$dir" save - | tee "$T/a.snap" | raftsnap verify -
is "save, tee and verify through pipes" "$?" 0
ok "the copy is whole" raftsnap verify "$T/a.snap"
ok "save to a file" raftsnap -d "$dir" save "$T/b.snap"
ok "which is the same" cmp "$T/a.snap" "$T/b.snap"
is "two copies do not differ" "$(raftsnap diff "$T/a.snap" "$T/b.snap")" ""
ok "info says what it is" sh -c 'raftsnap info "$1" | jq -e "
	.ok and .format == 1 and .group == 1 and .keys == 39 and
	(.members | length) == 3 and .bytes > .compressed_bytes"' - "$T/a.snap" ||
	note "$(raftsnap info "$T/a.snap")"
is "ls has the keys" "$(raftsnap ls "$T/a.snap" k/1 | wc -l | tr -d ' ')" 11
is "cat has the bytes" "$(raftsnap cat "$T/a.snap" k/12)" "value 12"
must_fail "cat of an absent key" 1 raftsnap cat "$T/a.snap" k/7
is "export is a line a record" "$(raftsnap export "$T/a.snap" |
    jq -r 'select(.key == "k/3").value')" "value 3"

raftctl put k/8 other
raftctl put new 1
raftctl -s "$one" snapshot >/dev/null
raftsnap -d "$dir" save "$T/c.snap"
must_fail "snapshots that differ" 1 raftsnap diff "$T/a.snap" "$T/c.snap"
is "diff names the keys" "$(raftsnap diff "$T/a.snap" "$T/c.snap" |
    jq -r '.change + " " + .key' | tr '\n' ,)" "changed k/8,added new,"

# Damage.
size=$(wc -c <"$T/a.snap")
for at in 0 8 100 $((size / 3)) $((size / 2)) $((size - 1)); do
	cp "$T/a.snap" "$T/bad"
	printf '\377\001' | dd of="$T/bad" bs=1 seek="$at" conv=notrunc \
	    2>/dev/null
	must_fail "changed at $at" 65 raftsnap verify "$T/bad"
	must_fail "and not restored" 65 raftsnap -n 1 -m 1=127.0.0.1:9 \
	    restore "$T/bad" "$T/never"
done
head -c $((size - 30)) "$T/a.snap" >"$T/short"
must_fail "cut short" 65 raftsnap restore -n 1 "$T/short" "$T/never" \
    -m 1=127.0.0.1:9
must_fail "nothing was made of them" 1 test -e "$T/never"
must_fail "no such file" 66 raftsnap verify "$T/none"
must_fail "no such command" 64 raftsnap fly
must_fail "a directory that is in use" 73 raftsnap -n 1 -m 1=127.0.0.1:9 \
    restore "$T/a.snap" "$dir"

# A new cluster of one.
port=$("${python:=$(find_python socket)}" -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ok "restore makes a directory" raftsnap -n 5 -m "5=127.0.0.1:$port" \
    restore "$T/a.snap" "$T/new"
raftd -n 5 -d "$T/new" -p "127.0.0.1:$port" \
    --bootstrap "5=127.0.0.1:$port" 2>"$T/raftd.log" &
child $!
new=unix:$T/new/raftd.sock
ok "which a server begins with" wait_for 10 raftctl -s "$new" -t 1s wait ready ||
    show "$T/raftd.log"
is "it serves what was saved" "$(raftctl -s "$new" get k/12)" "value 12"
must_fail "and not what was deleted" 1 raftctl -s "$new" get k/7
old=$(raftctl -s "$one" status -j | jq -r .cluster)
ok "it is another cluster" test "$old" != \
    "$(raftctl -s "$new" status -j | jq -r .cluster)"
raftctl -s "$new" snapshot >/dev/null
raftsnap -d "$T/new" save "$T/n.snap"
is "its state is the same" "$(raftsnap diff "$T/a.snap" "$T/n.snap")" ""
end
