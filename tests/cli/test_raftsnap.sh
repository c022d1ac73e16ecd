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
    jq -r 'select(.key) | .change + " " + .key' | tr '\n' ,)" \
    "changed k/8,added new,"

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

# ---- from a server that runs ------------------------------------------------

raftctl put late 1
raftsnap save - | tee "$T/l.snap" | raftsnap verify -
is "save of a server, tee and verify through pipes" "$?" 0
is "what was acknowledged before is in it" "$(raftsnap cat "$T/l.snap" late)" 1
two=$(client_of 2)
ok "of a server that is named, to a file" raftsnap -s "$two" save "$T/s.snap"
is "in the place of a file" "$(raftsnap -s "$two" ls la)" late
is "with the numbers of a record" "$(raftsnap -s "$two" -j ls late |
    jq -c '[.value, .version]')" '["1",1]'
is "keys that end with NUL" "$(raftsnap -0 ls "$T/l.snap" k/1 |
    tr '\0\n' '\n_' | wc -l)" 11
at=$(raftsnap info "$T/s.snap" | jq .index)
raftctl put later 1
ok "the newest that it has" raftsnap -s "$two" save --newest "$T/o.snap"
is "is not new" "$(raftsnap info "$T/o.snap" | jq .index)" "$at"
ok "without it another one is" test "$at" -lt \
    "$(raftsnap -s "$two" info | jq .index)"
ok "servers that write one at an index write the same" sh -c '
	for i in 1 2 3; do
		raftsnap -s "$(raftlab ps -j | jq -r "select(.id == $i).client")" \
		    save "$1/same.$i" || exit
	done
	cmp "$1/same.1" "$1/same.2" && cmp "$1/same.1" "$1/same.3"' - "$T"
raftsnap --progress=json -s "$two" save "$T/p.snap" 2>"$T/progress"
ok "progress as JSON" jq -se '.[-1] | .what == "save" and .done and
    .bytes == .total' "$T/progress"
must_fail "nobody is there" 69 raftsnap -s "unix:$T/none" -t 500ms save "$T/x"
must_fail "a place that is none" 64 raftsnap -s nonsense save "$T/x"
must_fail "no such hash" 1 raftsnap diff "$T/l.snap" "$T/a.snap"
like "a piece of no snapshot" "$("$(find_python msgpack || echo false)" \
    "$top/tests/cli/rpc.py" "$two" call snapshot.read \
    '["00000000000000000000000000000000", 0]')" '*ABSENT*'
ok "no file of a failure is left" sh -c '! ls "$1"/x* "$1"/*.tmp' - "$T"

# Stopped halfway: nothing stays, and it says by which signal.
mkfifo "$T/fifo"
raftsnap import - "$T/half" <"$T/fifo" 2>"$T/half.err" &
pid=$!
child $pid
exec 9>"$T/fifo"
echo '{"key":"a","value":"b"}' >&9
# It would die of it before it knows the signal: bit 9 of what it catches.
wait_for 20 sh -c 'cgt=$(sed -n "s/^SigCgt:[^0-9a-f]*/0x/p" /proc/$1/status)
    [ $((cgt & 0x200)) -ne 0 ]' - $pid
wait_for 5 sh -c 'kill -s USR1 "$1"; grep -q "import: " "$2"' - \
    $pid "$T/half.err"
is "SIGUSR1 tells how far it is" "$?" 0
kill -s TERM $pid
wait $pid
is "a signal ends it as such" "$?" 143
exec 9>&-
must_fail "nothing is left of it" 1 test -e "$T/half"

# ---- lines ------------------------------------------------------------------

raftsnap export "$T/a.snap" | raftsnap import - "$T/i.snap"
is "export, import" "$?" 0
is "are the same records" "$(raftsnap diff "$T/a.snap" "$T/i.snap" |
    jq -r 'select(.key)')" ""
printf '{"key":"a","value":"b"}\n{"key":"a","value":"c"}\n' >"$T/lines"
must_fail "a key that comes twice" 65 raftsnap import "$T/lines" "$T/j.snap"
like "is named by its line" "$(cat "$T/err")" '*line 2*'
must_fail "and makes no file" 1 test -e "$T/j.snap"

# ---- a new cluster of three -------------------------------------------------

old=$(raftctl -s "$one" status -j | jq -r .cluster)
raftsnap save "$T/a.snap" || tap 1 "save for the new cluster"
rev=$(raftsnap info "$T/a.snap" | jq .rev)
members="-m 1=unix:$T/n/1.p -m 2=unix:$T/n/2.p -m 3=unix:$T/n/3.p"
# shellcheck disable=SC2086
raftsnap restore - "$T/n" $members <"$T/a.snap" >"$T/restored"
is "restore makes a cluster, from a pipe" "$?" 0
is "three directories of one cluster" "$(jq -s -c '[length,
    (map(.cluster) | unique | length), (map(.digest) | unique | length),
    all(.[]; .ok)]' "$T/restored")" "[3,1,1,true]"
# shellcheck disable=SC2086
must_fail "not once more" 73 raftsnap restore "$T/a.snap" "$T/n" $members
# The one thing that differs when it is done one by one.
for id in 1 2; do
	# shellcheck disable=SC2086
	raftsnap -n $id restore "$T/a.snap" "$T/alone.$id" $members |
	    jq -r .cluster
done >"$T/alone"
is "one by one it is one cluster too" "$(sort -u "$T/alone" | wc -l)" 1
for id in 1 2 3; do
	raftd -n $id -d "$T/n/$id" -p "unix:$T/n/$id.p" -c "unix:$T/n/$id.s" \
	    --bootstrap "$id=unix:$T/n/$id.p" 2>"$T/n/$id.log" &
	child $!
done
new=unix:$T/n/1.s,unix:$T/n/2.s,unix:$T/n/3.s
ok "which servers begin with" wait_for 20 raftctl -s "$new" -t 1s wait healthy ||
    show "$T/n/1.log"
is "it serves what was saved" "$(raftctl -s "$new" get k/12)" "value 12"
must_fail "and not what was deleted" 1 raftctl -s "$new" get k/7
same_new() {
	raftctl -s "$new" status --all -j | jq -se 'length == 3 and
	    (map(.digest) | unique | length) == 1 and all(.[]; .ok)'
}
ok "all three serve the same digest" wait_for 10 same_new
ok "it is another cluster" test "$old" != \
    "$(raftctl -s "$new" status -j | jq -r .cluster)"
is "its state is the same" "$(raftsnap diff -s "$new" "$T/a.snap")" ""
is "also on disk" "$(raftsnap diff "$T/a.snap" "$T/n/1")" ""
raftctl -s "$new" put k/12 again
ok "no watcher sees time run back" test "$rev" -lt \
    "$(raftctl -s "$new" -j get k/12 | jq .mod_rev)"
must_fail "who goes on with an old revision hears of it" 75 \
    raftctl -s "$new" watch --since $((rev + 5)) --count 1 k/12
end
